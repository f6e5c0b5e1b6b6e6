# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are in the source tree."""

import os
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("PAGEFOLD_BUILD", TOP / "build"))
DEPS = TOP / ".deps"


def guest_program(name):
    """A static program that runs in guests, and mostly on the host too."""
    return _built(BUILD / "tools/lab/guest" / name)


def test_helper(name):
    return _built(BUILD / "tests/functional/helpers" / name)


def bench_program(name):
    return _built(BUILD / "tools/benchmark" / name)


def program(name):
    """pagefoldd, pagefold or pagefold-attach."""
    return _built(BUILD / name)


def _built(path):
    if not path.exists():
        raise FileNotFoundError(f"{path} is not built: run `make all lab`")
    return path
