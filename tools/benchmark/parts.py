# SPDX-License-Identifier: GPL-2.0-or-later
"""What has been measured already, kept in files: a measurement of an hour goes on where it was interrupted."""

import json
import os
import tempfile


def write_whole(path, document):
    """All of it or, should we be stopped, what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as part:
        part.write(json.dumps(document, indent=1) + "\n")
    os.rename(part.name, path)


class Parts:
    """key: what a result holds for. reuse: what was measured for the same key is not measured again."""

    def __init__(self, directory, key, reuse):
        self._directory = directory
        self._key = key
        self._reuse = reuse

    def once(self, name, measure):
        """(what measure() gave, as JSON keeps it; whether it was known)"""
        path = self._directory / f"{name}.json"
        known = self._known(path) if self._reuse else None
        if known is not None:
            return known, True
        result = measure()
        write_whole(path, {"key": self._key, "result": result})
        return json.loads(json.dumps(result)), False

    def _known(self, path):
        if not path.exists():
            return None
        document = json.loads(path.read_text())
        return document.get("result") if document["key"] == self._key else None
