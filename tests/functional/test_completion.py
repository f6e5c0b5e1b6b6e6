# SPDX-License-Identifier: GPL-2.0-or-later
"""Bash completion: what is offered comes from the program's own table."""

import os
import subprocess

import pytest

from lab import paths

SCRIPT = """
source "$1"
COMP_LINE=$2 COMP_POINT=${#2}
_pagefold
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(line):
    environment = {**os.environ, "PATH": f"{paths.BUILD}:{os.environ['PATH']}",
                   "PAGEFOLD_SOCKET": "/nonexistent"}
    done = subprocess.run(["bash", "--norc", "-c", SCRIPT, "bash",
                           paths.TOP / "tools/completions/pagefold.bash", line],
                          env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("line, offered", [
    ("pagefold st", ["status"]),
    ("pagefold config ", ["check"]),
    ("pagefold config check --j", ["--json"]),
    ("pagefold status --", ["--json", "--socket", "--help"]),
    ("pagefold release --f", ["--force"]),
    ("pagefold top --", ["--json", "--socket", "--interval", "--count", "--help"]),
    ("pagefold --socket /x/y re", ["release", "resume"]),
    ("pagefold set web1 hu", ["hugepages=keep", "hugepages=balance", "hugepages=fold"]),
    # To bash, what stands before '=' is a word of its own.
    ("pagefold set web1 hugepages=ba", ["balance"]),
    ("pagefold frobnicate -", ["--help", "--version"]),
])
def test_words_that_fit_are_offered(line, offered):
    assert complete(line) == offered


def test_every_command_is_offered():
    listed = subprocess.run([paths.program("pagefold"), "--list-commands"], capture_output=True,
                            text=True, check=True).stdout.splitlines()
    first_words = {line.split("\t")[0].split()[0] for line in listed}
    assert first_words <= set(complete("pagefold "))
