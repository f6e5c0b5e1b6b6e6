# SPDX-License-Identifier: GPL-2.0-or-later
"""A private Prometheus: its own port, configuration and data, and nothing left of it.

    with Prometheus(targets=["127.0.0.1:9743"]) as prometheus:
        prometheus.wait_for("pagefold_passes_total > 1")
"""

import contextlib
import http.server
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

from lab import children, paths

PROGRAM = paths.DEPS / "prometheus/usr/bin/prometheus"
PROMTOOL = paths.DEPS / "prometheus/usr/bin/promtool"
RULES = paths.TOP / "tools/prometheus/pagefold.rules.yml"
READY_SECONDS = 30


class PrometheusError(Exception):
    """It did not start, or did not see what it should."""


def missing():
    """Why there is none; None where there is."""
    return None if PROGRAM.exists() and PROMTOOL.exists() else "no Prometheus: run `make deps-test`"


def promtool(*arguments, text=None, cwd=None):
    return subprocess.run([str(word) for word in (PROMTOOL, *arguments)], input=text, text=True,
                          capture_output=True, check=False, cwd=cwd, timeout=60)


class Prometheus:
    """Scrapes the targets ("ADDRESS:PORT") as job pagefold, and evaluates the shipped rules, each second."""

    def __init__(self, targets, rules=RULES.read_text()):
        self.directory = Path(tempfile.mkdtemp(prefix="pagefold-prometheus-"))
        (self.directory / "rules.yml").write_text(rules)
        (self.directory / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "pagefold", "static_configs": [{"targets": targets}]}],
        }))
        self.process = None
        self.address = None

    def __enter__(self):
        try:
            with children.shielded(), open(self.directory / "log", "wb") as log:
                self.process = children.start(
                    [str(PROGRAM), "--config.file", str(self.directory / "prometheus.yml"),
                     "--storage.tsdb.path", str(self.directory / "data"),
                     "--web.listen-address", "127.0.0.1:0"],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self._wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception):
        self.close()

    def _wait_ready(self):
        deadline = time.monotonic() + READY_SECONDS
        while True:
            log = (self.directory / "log").read_text(errors="replace")
            self.address = (re.findall(r'"Listening on" address=(\S+)', log) or [None])[0]
            if self.address and "Server is ready" in log:
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise PrometheusError(f"it did not become ready:\n{log}")
            time.sleep(0.05)

    def close(self):
        with children.shielded():
            if self.process:
                children.end(self.process, READY_SECONDS)
                self.process = None
            shutil.rmtree(self.directory, ignore_errors=True)

    def _get(self, path, **parameters):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=READY_SECONDS) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        """[(labels, value)] of now."""
        return [(entry["metric"], float(entry["value"][1]))
                for entry in self._get("query", query=expression)["result"]]

    def firing(self):
        """{name of the alert: its labels}"""
        return {alert["labels"]["alertname"]: alert["labels"]
                for alert in self._get("alerts")["alerts"] if alert["state"] == "firing"}

    def targets(self):
        return self._get("targets")["activeTargets"]

    def wait_for(self, question, timeout=30):
        """The first answer that is true, to a question to this object."""
        deadline = time.monotonic() + timeout
        while True:
            if answer := question(self):
                return answer
            if time.monotonic() > deadline:
                raise PrometheusError(f"not within {timeout} s; targets: {self.targets()}, firing: "
                                      f"{self.firing()}")
            time.sleep(0.1)


@contextlib.contextmanager
def exporter(text):
    """ADDRESS:PORT of something that has this to say, {count} being how often it was asked."""
    class Handler(http.server.BaseHTTPRequestHandler):
        count = 0

        def do_GET(self):  # pylint: disable=invalid-name
            Handler.count += 1
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.format(count=Handler.count).encode())

        def log_message(self, *_arguments):  # pylint: disable=arguments-differ
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield "127.0.0.1:%d" % server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
