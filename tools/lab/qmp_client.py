# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of a guest's QMP socket, beside the daemon."""

import json
import socket


def talk(guest):
    """A client that has QEMU's QMP socket to itself."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(guest.qmp_path))
    stream = client.makefile("rw")
    assert "QMP" in json.loads(stream.readline())
    return client, stream


def ask(stream, command, **arguments):
    stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    stream.flush()
    while True:
        answer = json.loads(stream.readline())
        if "event" not in answer:
            return answer["return"]


def merge_property(guest):
    client, stream = talk(guest)
    with client:
        ask(stream, "qmp_capabilities")
        return ask(stream, "qom-get", path="/objects/pc.ram", property="merge")
