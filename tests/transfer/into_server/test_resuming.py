"""Killed anywhere and run again: nothing is missing, and nothing is there twice."""

from __future__ import annotations

import http.client
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

import mlporter
from tests.support.processes import mlporter_process, wait_until_paused

pytestmark = pytest.mark.timeout(400)

STEPS = (
    "making experiments",
    "making runs",
    "making logged models",
    "writing metrics",
    "writing inputs",
    "copying artifacts",
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


@pytest.mark.parametrize("step", STEPS)
def test_killed_and_run_again(plain_sqlite, server, once, step):
    process = mlporter_process(
        "copy", plain_sqlite.tracking_uri, server.address, "--quiet", paused_at=step
    )
    wait_until_paused(process)
    process.kill()
    process.communicate()
    assert whole(plain_sqlite.tracking_uri, server) == once


@contextmanager
def cutting_proxy(address, cut):
    """A proxy that passes requests on, and drops the answers to some after they were carried out.

    Args:
        address: Where they go.
        cut: Told method and path; whether the answer is dropped.
    """
    there = urlsplit(address)

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
            if cut(self.command, self.path):
                self.close_connection = True
                return
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

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
        proxy.shutdown()
        proxy.server_close()
        thread.join()


def test_answers_that_are_lost_make_nothing_twice(plain_sqlite, server, once):
    """Every first answer to a request that makes something is lost after it was carried out."""
    lost = []

    def cut(method, path):
        first = method != "GET" and "search" not in path and path not in lost
        if first:
            lost.append(path)
        return first

    with cutting_proxy(server.address, cut) as address:
        result = mlporter.copy(plain_sqlite.tracking_uri, address, retry_time=60)
    assert result.exit_code == 0
    assert {path.rpartition("/")[2] for path in lost} >= {"create", "logged-models", "log-batch"}
    assert counts(server) == once
    assert mlporter.diff(plain_sqlite.tracking_uri, server.address).identical
