# SPDX-License-Identifier: GPL-2.0-or-later
"""The metrics: in both formats, over both sockets, and as a real Prometheus sees them."""

import contextlib
import os
import re
import shutil
import socket

import pytest

import scene
from lab import paths, procs, prometheus
from lab.daemon import Daemon, merge_policy

IDLE = {"cpu-percent": 100, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off",
        "ksm-owner": "stand-by"}
LISTENING = re.compile(r"metrics are at http://(\S+)/metrics")


@pytest.fixture
def daemon():
    """Listens on TCP, and leaves KSM alone."""
    with Daemon(config={**IDLE, "metrics-listen": "127.0.0.1:0"}) as running:
        yield running


@pytest.fixture
def needs_prometheus():
    if reason := prometheus.missing():
        pytest.skip(reason)


def address(daemon):
    """ADDRESS:PORT where it has said last that it listens."""
    return LISTENING.findall(daemon.log())[-1]


def connect(where):
    host, port = where.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), timeout=10)


def ask(where, line="GET /metrics", headers="", body=""):
    """(status, headers, body) from a TCP address, or a Unix socket's path."""
    if isinstance(where, str):
        connection = connect(where)
    else:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(where))
    with connection:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}"
                           f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), body.decode()


def names(text):
    return re.findall(r"^# TYPE (\S+)", text, re.M)


# ---- what is said ----

def test_promtool_has_nothing_to_say_against_the_text_format(daemon, needs_prometheus):
    with procs.memcheck("--mib", "4") as target:
        daemon.write_policy("a.conf", merge_policy(f"pid:{target.pid}"))
        daemon.reload()
        daemon.wait_for(lambda _status: (daemon.vm(target.pid) or {}).get("pages_scanned"))
        status, head, text = ask(daemon.socket_path)
    assert status == 200 and "Content-Type: text/plain; version=0.0.4" in head
    assert f'pagefold_vm_info{{name="memcheck",group="default",pid="{target.pid}"' in text
    checked = prometheus.promtool("check", "metrics", text=text)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    # The daemon runs on jemalloc, and says what that takes; under a sanitizer it does not.
    resident = re.findall(r"^pagefold_allocator_resident_bytes (\d+)$", text, re.M)
    assert [int(size) > 1 << 20 for size in resident] == \
        ([] if os.environ.get("PAGEFOLD_SANITIZED") else [True])


def test_openmetrics_are_well_formed(daemon):
    parser = pytest.importorskip("prometheus_client.openmetrics.parser",
                                 reason="no python3-prometheus-client")
    daemon.wait_passes(1)
    status, head, text = ask(daemon.socket_path,
                             headers="Accept: application/openmetrics-text; version=1.0.0\r\n")
    assert status == 200 and "Content-Type: application/openmetrics-text; version=1.0.0" in head
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    assert families["pagefold_cpu_seconds"].unit == "seconds"
    assert families["pagefold_passes"].type == "counter"
    assert families["pagefold_build"].type == "info"
    plain = ask(daemon.socket_path)[2]
    assert {re.sub("_(total|info)$", "", name) for name in names(plain)} == set(families)


def of_each(text, name, *processes):
    """The samples of these processes."""
    found = dict(re.findall(rf'^{name}{{.*pid="(\d+)".*}} (\S+)$', text, re.M))
    return [float(found[str(process.pid)]) for process in processes]


def test_what_is_folded_and_what_breaks_is_counted(ksm_alone):
    with scene.pair() as (one, two), scene.pagefoldd(one, two) as daemon:
        scene.wait_folded(daemon, one, two)
        daemon.wait_passes(1)
        text = ask(daemon.socket_path)[2]
        each = of_each(text, "pagefold_vm_reclaimed_bytes", one, two)
        assert min(each) > 1 << 20
        host = float(re.search(r"^pagefold_reclaimed_bytes (\S+)$", text, re.M)[1])
        assert host == sum(each)
        assert re.search(r'^pagefold_vms{state="folded"} 2$', text, re.M)
        before = of_each(text, "pagefold_vm_cow_breaks_total", one, two)
        one.write(500)

        def counted(_status):
            now = of_each(ask(daemon.socket_path)[2], "pagefold_vm_cow_breaks_total", one, two)
            return now[0] - before[0] >= 200 and now[1] == before[1]

        daemon.wait_for(counted, 20)


# ---- over TCP ----

def test_tcp_has_the_metrics_and_nothing_else(daemon):
    where = address(daemon)
    daemon.wait_passes(1)
    status, head, text = ask(where)
    assert status == 200 and "Content-Type: text/plain; version=0.0.4" in head
    assert names(text) == names(ask(daemon.socket_path)[2])
    assert ask(where, "HEAD /metrics")[0::2] == (200, "")
    for path in ("/", "/v1/status", "/v1/vms", "/metrics/", "/metricsx", "/%6detrics", "/v1/pause"):
        for method in ("GET", "POST", "PUT"):
            assert ask(where, f"{method} {path}")[0] == 404, path
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        status, head, _ = ask(where, f"{method} /metrics", body="{}")
        assert status == 405 and "Allow: GET, HEAD" in head
    assert ask(where, body="x" * 100000)[0] in (200, 413)
    assert daemon.status()["host"]["paused"] is False


def test_tcp_survives_those_who_connect_and_say_nothing(daemon):
    where = address(daemon)
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(connect(where)).send(b"GET /metr")
        assert ask(where)[0] == 200
        # The daemon itself is not held up, and the API's socket has connections of its own.
        daemon.wait_passes(1)
        assert ask(daemon.socket_path)[0] == 200


def test_a_port_that_is_taken_is_said_and_the_daemon_goes_on(daemon):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = "127.0.0.1:%d" % other.getsockname()[1]
        before = address(daemon)
        daemon.write_config({**IDLE, "metrics-listen": taken})
        daemon.reload()
        assert f"metrics-listen: {taken}: Address already in use" in daemon.log()
        with pytest.raises(ConnectionRefusedError):
            connect(before)
        daemon.wait_passes(1)
    # The same configuration, loaded again, is tried again.
    daemon.reload()
    assert address(daemon) == taken and ask(taken)[0] == 200
    # And what has not changed stays.
    with connect(taken) as kept:
        daemon.reload()
        kept.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert kept.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_reload_moves_and_ends_it(daemon):
    first = address(daemon)
    if not socket.has_ipv6 or not open("/proc/net/if_inet6", encoding="ascii").read():
        pytest.skip("no IPv6 here")
    daemon.write_config({**IDLE, "metrics-listen": "[::1]:0"})
    daemon.reload()
    second = address(daemon)
    assert second.startswith("[::1]:") and ask(second)[0] == 200
    with pytest.raises(ConnectionRefusedError):
        connect(first)
    daemon.write_config({**IDLE, "metrics-listen": ""})
    daemon.reload()
    with pytest.raises(ConnectionRefusedError):
        connect(second)
    assert ask(daemon.socket_path)[0] == 200


# ---- Prometheus ----

# The names in the test are those of files in one directory.
def test_the_rules_are_what_their_test_says(needs_prometheus, tmp_path):
    shutil.copy(prometheus.RULES, tmp_path)
    shutil.copy(paths.TOP / "tests/data/prometheus/pagefold.rules.test.yml", tmp_path)
    for words in (("check", "rules", "pagefold.rules.yml"), ("test", "rules", "pagefold.rules.test.yml")):
        done = prometheus.promtool(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_a_test_and_uses_metrics_that_the_manual_has():
    rules = prometheus.RULES.read_text()
    tests = (paths.TOP / "tests/data/prometheus/pagefold.rules.test.yml").read_text()
    manual = (paths.TOP / "man/pagefoldd.8").read_text()
    alerts = re.findall(r"^ +- alert: (\w+)$", rules, re.M)
    assert alerts and set(alerts) == set(re.findall(r"alertname: (\w+)\n +exp_alerts", tests))
    for name in re.findall(r"\bpagefold_\w+", " ".join(re.findall(r"^ +expr: (.*)$", rules, re.M))):
        assert f".It Li {name}\n" in manual, name


# A VM that is held up more and more, on a host that could not bear its folds.
DANGER = """\
pagefold_exposure_bytes 2000
pagefold_host_available_bytes 1000
pagefold_host_swap_free_bytes 500
pagefold_vm_stall_seconds_total{{name="web1"}} {count}00.5
"""


def test_prometheus_scrapes_the_daemon_and_the_alerts_fire(daemon, needs_prometheus):
    """As they are shipped, but for how long something must be so."""
    rules = re.sub(r"^( +for:) \w+$", r"\1 0s", prometheus.RULES.read_text(), flags=re.M)
    with scene.target() as target, prometheus.exporter(DANGER) as danger, \
            prometheus.Prometheus([address(daemon), danger], rules) as server:
        server.wait_for(lambda it: it.query("pagefold_passes_total > 1"))
        (build, one), = server.query("pagefold_build_info")
        assert (build["version"], build["job"], one) == (daemon_version(), "pagefold", 1)
        server.wait_for(lambda it: {entry["health"] for entry in it.targets()} == {"up"})
        assert not {"PagefoldDown", "PagefoldBlocked", "PagefoldStuck"} & set(server.firing())
        # It is to fold, and may not drive ksmd.
        daemon.write_policy("a.conf", merge_policy(f"pid:{target.pid}"))
        daemon.reload()
        blocked = server.wait_for(lambda it: it.firing().get("PagefoldBlocked"))
        assert blocked["instance"] == address(daemon)
        server.wait_for(lambda it: {"PagefoldExposure", "PagefoldStalls"} <= set(it.firing()))
        assert server.firing()["PagefoldStalls"]["name"] == "web1"
        daemon.kill()
        down = server.wait_for(lambda it: it.firing().get("PagefoldDown"))
        assert down["instance"] == address(daemon)


def daemon_version():
    return re.search(r"^VERSION := (\S+)$", (paths.TOP / "Makefile").read_text(), re.M)[1]
