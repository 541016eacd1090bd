"""Killed anywhere and run again: nothing is missing, and nothing is there twice."""

from __future__ import annotations

import http.client
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

import mlporter
from tests.support.mlflow_session import environment
from tests.support.processes import mlporter_process, wait_until_paused

pytestmark = pytest.mark.timeout(400)

STEPS = (
    "making runs",  # when there are experiments
    "writing metrics",  # and logged models
    "copying artifacts",  # and inputs
    "making versions",
    "reading back",
)


def counts(server):
    """How much there is of what could be there twice."""
    tables = ("experiments", "runs", "metrics", "inputs", "logged_models", "model_versions")
    return {table: server.rows(f"SELECT count(*) FROM {table}") for table in tables}


def whole(source, server):
    """Run it to its end, and look whether all is there once."""
    result = mlporter.copy(source, server.address)
    assert result.exit_code == 0
    assert mlporter.diff(source, server.address).identical
    return counts(server)


@pytest.fixture(scope="module")
def once(plain_sqlite_template, running_server):
    """What there is after an import that nobody disturbed."""
    running_server.reset()
    return whole(plain_sqlite_template.tracking_uri, running_server)


def test_killed_and_run_again(plain_sqlite, server, once):
    """At each step: the next one goes on from there, and is killed at a later one."""
    for step in STEPS:
        process = mlporter_process(
            "copy", plain_sqlite.tracking_uri, server.address, "--quiet", paused_at=step
        )
        wait_until_paused(process)
        process.kill()
        process.communicate()
        so_far = counts(server)
        assert [table for table in once if so_far[table] > once[table]] == [], step
    assert whole(plain_sqlite.tracking_uri, server) == once


@contextmanager
def cutting_proxy(address, cut, how="cut"):
    """A proxy that passes requests on, and spoils the answers to some after they were carried out.

    Args:
        address: Where they go.
        cut: Told method and path; whether the answer is spoilt.
        how: ``cut`` (it hangs up), ``half`` (half an answer), ``late`` (later than anybody waits).
    """
    there, ended = urlsplit(address), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            onward = http.client.HTTPConnection(there.hostname, there.port, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            onward.request(self.command, self.path, body, headers)
            answer = onward.getresponse()
            content = answer.read()
            onward.close()
            spoilt = cut(self.command, self.path)
            if spoilt and how == "late":
                ended.wait(60)
            if spoilt and how != "half":
                self.close_connection = True
                return
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.close_connection = self.close_connection or spoilt
            self.wfile.write(content[: len(content) // 2] if spoilt else content)

        def log_message(self, *_):
            """Say nothing."""

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        setattr(Handler, f"do_{method}", Handler.pass_on)
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
    finally:
        ended.set()
        proxy.shutdown()
        proxy.server_close()
        thread.join()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("how", ["cut", "half", "late"])
def test_answers_that_are_lost_make_nothing_twice(plain_sqlite, server, once, how, cli):
    """Every first answer to a request that makes something is lost after it was carried out."""
    lost = []
    seconds = "1" if how == "late" else "60"

    def cut(method, path):
        first = method not in {"GET", "OPTIONS"} and "search" not in path and path not in lost
        # Late ones are waited for: so it is only some of them.
        if first and (how != "late" or path.endswith(("runs/create", "/logged-models"))):
            lost.append(path)
            return True
        return False

    with (
        cutting_proxy(server.address, cut, how) as address,
        environment({"MLFLOW_HTTP_REQUEST_TIMEOUT": seconds}),
    ):
        done = cli("copy", plain_sqlite.tracking_uri, address, "--retry-time", "100")
    assert done.code == 0, done.err
    assert {path.rpartition("/")[2] for path in lost} >= {"create", "logged-models"}
    assert counts(server) == once
    assert mlporter.diff(plain_sqlite.tracking_uri, server.address).identical
