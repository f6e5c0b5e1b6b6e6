# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may read: root and the socket's group. Who may change something: root. A real daemon, and other users."""

import json
import os
import shutil
import stat
import subprocess

import pytest

from lab import paths
from lab.daemon import Daemon
from scene import EAGER, UNUSED_UID, public_copies

GROUP = UNUSED_UID + 1
NOBODY = 65534
CHANGES = [("PUT", "/v1/vms/pid:1/policy"), ("POST", "/v1/vms/pid:1/release?force=1"),
           ("POST", "/v1/release"), ("POST", "/v1/pause"), ("POST", "/v1/resume")]
READABLE = ["/v1/status", "/v1/vms", "/v1/plan", "/v1/matrix", "/metrics"]


@pytest.fixture(scope="module")
def daemon():
    """Its socket is the group's, as it is where there is a group pagefold."""
    if os.geteuid() != 0:
        pytest.skip("to be somebody else takes root")
    with Daemon(config={**EAGER, "ksm-owner": "stand-by"}) as running:
        running.directory.chmod(0o755)
        running.wait_for(lambda status: status["pass"]["number"] >= 1)
        os.chown(running.socket_path, -1, GROUP)
        yield running


def as_user(*command, uid=UNUSED_UID, gid=UNUSED_UID, groups=()):
    return subprocess.run([str(word) for word in command], user=uid, group=gid, extra_groups=groups,
                          cwd="/", capture_output=True, text=True, timeout=60, check=False)


def curl(daemon, path, *options, **user):
    """(HTTP status, body); status 0: not even connected."""
    if not shutil.which("curl"):
        pytest.skip("no curl here")
    done = as_user("curl", "--silent", "--max-time", 30, "--write-out", "\n%{http_code}",
                   "--unix-socket", daemon.socket_path, *options, f"http://localhost{path}", **user)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_the_socket_is_for_root_and_one_group(daemon):
    status = daemon.socket_path.stat()
    assert stat.S_IMODE(status.st_mode) == 0o660 and status.st_uid == 0


def test_others_cannot_even_connect(daemon):
    for path in READABLE:
        assert curl(daemon, path, uid=NOBODY, gid=NOBODY) == (0, "")


@pytest.mark.parametrize("user", [{"gid": GROUP}, {"groups": [GROUP]}],
                         ids=["primary group", "supplementary group"])
def test_the_group_reads_and_may_not_change_anything(daemon, user):
    for path in READABLE:
        assert curl(daemon, path, **user)[0] == 200
    for method, path in CHANGES:
        status, body = curl(daemon, path, "--request", method, "--data", '{"mode": "off"}', **user)
        assert status == 403
        assert json.loads(body) == {"schema": 1, "error": "Only root may change something."}
    assert daemon.status()["host"]["paused"] is False


def test_the_root_of_another_group_changes_things(daemon):
    """It is the user that counts, not the group."""
    assert curl(daemon, "/v1/resume", "--request", "POST", uid=0, gid=NOBODY)[0] == 200


def test_the_command_line_tool_says_which_of_the_two_it_was(daemon, tmp_path):
    program, = public_copies(tmp_path, paths.program("pagefold"))
    command = [program, "--socket", daemon.socket_path]
    assert as_user(*command, "status", gid=GROUP).returncode == 0
    refused = as_user(*command, "pause", gid=GROUP)
    assert (refused.returncode, refused.stderr) == (1, "pagefold: Only root may change something.\n")
    unknown = as_user(*command, "status")
    assert unknown.returncode == 3
    assert "Reading is for root and the group pagefold" in unknown.stderr
