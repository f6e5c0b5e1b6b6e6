# SPDX-License-Identifier: GPL-2.0-or-later
"""daemon/openapi.yaml, and what it says of an answer."""

import copy

import jsonschema
import yaml

from lab import paths

METHODS = ("get", "put", "post")


class Description:
    def __init__(self):
        self.document = yaml.safe_load((paths.TOP / "daemon/openapi.yaml").read_text())
        self._strict = copy.deepcopy(self.document)
        for schema in objects(self._strict["components"]["schemas"]):
            schema.setdefault("additionalProperties", False)

    def operations(self):
        """{(METHOD, path): operation}"""
        return {(method.upper(), path): item[method]
                for path, item in self.document["paths"].items()
                for method in METHODS if method in item}

    def parameters(self, method, path):
        """Those of the path and of the operation, by name."""
        item = self.document["paths"][path]
        listed = item.get("parameters", []) + item[method.lower()].get("parameters", [])
        return {found["name"]: found for found in map(self.resolve, listed)}

    def resolve(self, thing):
        while "$ref" in thing:
            found = self.document
            assert thing["$ref"].startswith("#/")
            for key in thing["$ref"][2:].split("/"):
                found = found[key]
            thing = found
        return thing

    def statuses(self, method, path):
        return {int(status) for status in self.operations()[method, path]["responses"]}

    def check(self, schema, answer):
        """That the answer is what components/schemas/SCHEMA says, and has no field that it does not name."""
        jsonschema.Draft202012Validator(
            {"$ref": f"#/components/schemas/{schema}", "components": self._strict["components"]}
        ).validate(answer)

    def check_answer(self, method, path, status, answer):
        response = self.resolve(self.operations()[method, path]["responses"][str(status)])
        content = response["content"]["application/json"]["schema"]
        self.check(content["$ref"].rpartition("/")[2], answer)


def objects(thing):
    """Every schema of an object in it."""
    if isinstance(thing, list):
        for part in thing:
            yield from objects(part)
    elif isinstance(thing, dict):
        if thing.get("type") == "object":
            yield thing
        for part in thing.values():
            yield from objects(part)
