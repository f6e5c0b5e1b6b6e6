# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon and daemon/openapi.yaml say the same: every route is there, every answer has the fields that
are there and no others, and the manual's examples work as they stand."""

import json
import os
import re
import shutil
import subprocess

import pytest

from lab import paths, procs
from scene import EAGER, pagefoldd, pair, wait_folded

jsonschema = pytest.importorskip("jsonschema", reason="package python3-jsonschema is missing")
pytest.importorskip("yaml", reason="package python3-yaml is missing")

from lab import openapi  # noqa: E402
from lab.daemon import Daemon  # noqa: E402

WATCHING = {**EAGER, "ksm-owner": "stand-by"}
# What the examples call web1: a name that no VM of this host has.
NAME = f"web1-{os.getpid()}"


@pytest.fixture(scope="module")
def described():
    return openapi.Description()


@pytest.fixture
def web1(tmp_path):
    """A daemon that has read two processes, of which one is called NAME."""
    program = shutil.copy(paths.test_helper("twins"), tmp_path / NAME)
    with procs.Twins([program, "r1*600", "z*20"]) as one, procs.twins("r1*500") as other:
        policy = "".join(f"[target t{target.pid}]\nmatch = pid:{target.pid}\nmode = observe\n"
                         for target in (one, other))
        with Daemon(config=WATCHING, policies={"test.conf": policy}) as daemon:
            daemon.wait_for(lambda status: {one.pid, other.pid} <= {
                vm["pid"] for vm in status["vms"] if vm["pages_scanned"]})
            yield daemon


def so_many_called(count):
    return lambda status: sum(vm["name"] == NAME for vm in status["vms"]) == count


# ---- the description by itself ----

def routes():
    """{(METHOD, path)} of the daemon's own table."""
    source = (paths.TOP / "daemon/api_routes.c").read_text()
    table = re.findall(r'^\t\{ "([^"]+)", (.*)\},?$', source, re.M)
    assert table
    return {(method.upper(), "/" + path.replace("*", "{NAME}"))
            for path, handlers in table for method in re.findall(r"\.(get|put|post) =", handlers)}


def test_every_route_is_described_and_nothing_else(described):
    assert set(described.operations()) == routes()


def test_the_description_is_whole(described):
    assert described.document["openapi"].startswith("3.1.")
    schemas = described.document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    names = [operation["operationId"] for operation in described.operations().values()]
    assert len(set(names)) == len(names)
    text = (paths.TOP / "daemon/openapi.yaml").read_text()
    used = set(re.findall(r"\$ref: '?(#/[\w/]+)", text))
    for reference in used:
        assert described.resolve({"$ref": reference})["description" if "schemas" not in reference
                                                      else "type" if "Event" not in reference[-5:]
                                                      else "oneOf"]
    assert {f"#/components/{kind}/{name}" for kind, named in
            described.document["components"].items() for name in named} == used
    for method, path in described.operations():
        assert ("NAME" in described.parameters(method, path)) == ("{NAME}" in path)


def test_whatever_is_described_of_an_answer_is_always_there(described):
    """Null where it was not measured, never absent. What may be absent is named here."""
    optional = {"candidates", "message", "mode", "group", "hook", "hugepages"}
    for schema in openapi.objects(described.document["components"]["schemas"]):
        assert set(schema["properties"]) - set(schema.get("required", [])) <= optional
        assert set(schema.get("required", [])) <= set(schema["properties"])


# ---- the daemon ----

def ask(daemon, described, method, path, body="", query=""):
    """An answer whose status is one of the described, and which is as described."""
    status, answer = daemon.request(method, path.replace("{NAME}", NAME) + query, body)
    if isinstance(answer, dict):
        described.check_answer(method, path, status, answer)
    return status, answer


def test_every_answer_is_as_described(described, web1):
    streams = {("GET", "/v1/events"), ("GET", "/metrics")}
    assert ask(web1, described, "GET", "/v1/vms/{NAME}")[1]["extents"]
    assert ask(web1, described, "GET", "/v1/matrix")[1]["pairs"]
    for method, path in sorted(set(described.operations()) - streams):
        operation = described.operations()[method, path]
        body = described.resolve(operation.get("requestBody", {})).get("content", {})
        example = body.get("application/json", {}).get("example")
        status, answer = ask(web1, described, method, path, json.dumps(example) if example else "")
        assert status == 200 and isinstance(answer, dict), (method, path, answer)
    assert "pagefold_" in web1.get("/metrics")[1]
    assert ask(web1, described, "POST", "/v1/release", query="?force=1")[0] == 200


def test_answers_of_a_host_that_folds_are_as_described(described, ksm_alone):
    with pair() as targets, pagefoldd(*targets) as daemon:
        wait_folded(daemon, *targets)
        for path in ("/v1/status", "/v1/vms", "/v1/plan", "/v1/matrix"):
            assert ask(daemon, described, "GET", path)[0] == 200
        for target in targets:
            status, answer = daemon.get(f"/v1/vms/pid:{target.pid}")
            described.check_answer("GET", "/v1/vms/{NAME}", status, answer)
            assert any(extent["folded"] for extent in answer["extents"])


def test_refusals_are_as_described(described, web1, tmp_path):
    with procs.Twins([tmp_path / NAME, "r1*9"]) as namesake:
        web1.write_policy("more.conf", f"[target n]\nmatch = pid:{namesake.pid}\nmode = observe\n")
        web1.reload()
        web1.wait_for(so_many_called(2))
        status, answer = ask(web1, described, "GET", "/v1/vms/{NAME}")
        assert status == 409 and len(answer["candidates"]) == 2
    cases = [("PUT", "/v1/vms/{NAME}/policy", "{", "", 400),
             ("PUT", "/v1/vms/{NAME}/policy", '{"mode": 7}', "", 400),
             ("PUT", "/v1/vms/{NAME}/policy", " " * 5000, "", 413),
             ("GET", "/v1/status", "", "?farce=1", 400)]
    web1.wait_for(so_many_called(1))
    for method, path, body, query, expected in cases:
        assert ask(web1, described, method, path, body, query)[0] == expected
    for method, path in (("GET", "/v1/vms/nobody"), ("POST", "/v1/vms/nobody/release")):
        status, answer = web1.request(method, path)
        described.check_answer(method, path.replace("nobody", "{NAME}"), status, answer)
        assert status == 404
    for method, path, expected in (("DELETE", "/v1/status", 405), ("GET", "/v1/nothing", 404)):
        status, answer = web1.request(method, path)
        described.check("Error", answer)
        assert status == expected


def test_events_are_as_described(described, web1):
    process = subprocess.Popen(
        ["curl", "--silent", "--no-buffer", "--max-time", "20", "--unix-socket",
         web1.socket_path, "http://localhost/v1/events"], stdout=subprocess.PIPE, text=True)
    kinds = []
    with process:
        for line in process.stdout:
            event = json.loads(line)
            described.check("Event", event)
            kinds.append(event["event"])
            if kinds == ["start"]:
                web1.request("PUT", f"/v1/vms/{NAME}/policy", '{"mode": "off"}')
                web1.request("POST", "/v1/pause")
                web1.write_policy("gone.conf", "[target g]\nmatch = pid:4194304\nmode = off\n")
                web1.reload()
                (web1.policy_dir / "test.conf").unlink()
                web1.request("POST", "/v1/resume")
                web1.reload()
            if {"pass", "vm-policy", "vm-state", "paused", "resumed", "warning"} <= set(kinds):
                break
        else:
            pytest.fail(f"only these were told: {kinds}")
        process.kill()


# ---- the manual ----

def manual_examples():
    """The curl commands of pagefoldd(8), as a shell reads them."""
    text = (paths.TOP / "man/pagefoldd.8").read_text().replace(r"\e" + "\n", "\\\n")
    return re.findall(r"^# (curl (?:.*\\\n)*.*)$", text, re.M)


def test_the_manual_has_examples_of_reading_listening_and_changing():
    text = "".join(manual_examples())
    assert all(words in text for words in ("/v1/status", "/v1/matrix", "/v1/events", "--request PUT",
                                           "--request POST"))


@pytest.mark.parametrize("number", range(len(manual_examples())))
def test_an_example_of_the_manual_works_as_it_stands(number, described, web1):
    command = manual_examples()[number].replace("/run/pagefold/api.sock", str(web1.socket_path))
    command = command.replace("/vms/web1/", f"/vms/{NAME}/")
    if "unix-socket" not in command:
        pytest.skip("it is for a daemon that listens on TCP: " + command)
    endless = "/v1/events" in command
    done = subprocess.run(["bash", "-c", f"{command} --silent --max-time {1 if endless else 20}"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == (28 if endless else 0), done.stderr
    if endless:
        described.check("Event", json.loads(done.stdout.splitlines()[0]))
    elif "/metrics" not in command:
        answer = json.loads(done.stdout)
        assert answer["schema"] == 1 and "error" not in answer
