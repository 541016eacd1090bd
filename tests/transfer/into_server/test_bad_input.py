"""Servers that are none, names that a server refuses: said by name, and safe to run again."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import mlporter
from tests.support.databases import execute


def test_names_that_the_server_refuses_are_listed_and_the_rest_arrives(plain_sqlite, server):
    """`@`, `%` and `//` in keys of metrics, which older MLflows took."""
    run, bad = plain_sqlite.run_ids[0], ("a@b", "50%", "a//b")
    rows = (f"('{run}', '{key}', 1.0, 1, 0, 0)" for key in bad)
    execute(
        plain_sqlite.tracking_uri,
        "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan) "
        f"VALUES {', '.join(rows)}",
    )
    result = mlporter.copy(plain_sqlite.tracking_uri, server.address)
    assert result.exit_code == 3
    left = {item.path for item in result.left_out.first if item.reason == "refused"}
    assert left == {f"metrics/{key}" for key in bad}
    before = plain_sqlite.client().get_metric_history(run, "metric 0")
    copy = server.copy_of(run).info.run_id
    assert len(server.client().get_metric_history(copy, "metric 0")) == len(before)
    again = mlporter.copy(plain_sqlite.tracking_uri, server.address)
    assert (again.exit_code, again.rows) == (3, 0)


def test_nobody_is_there(plain_sqlite):
    with pytest.raises(mlporter.MlporterError, match="cannot be reached") as refused:
        mlporter.copy(plain_sqlite.tracking_uri, "http://127.0.0.1:9", retry_time=1)
    assert refused.value.exit_code == 6


def test_a_web_server_that_is_not_mlflow(plain_sqlite):
    class Page(BaseHTTPRequestHandler):
        def answer(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>Log in</html>")

        def log_message(self, *_):
            """Say nothing."""

    for method in ("GET", "POST", "OPTIONS"):
        setattr(Page, f"do_{method}", Page.answer)
    with HTTPServer(("127.0.0.1", 0), Page) as page:
        thread = threading.Thread(target=page.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{page.server_address[1]}"
            with pytest.raises(mlporter.MlporterError, match="HTML") as refused:
                mlporter.copy(plain_sqlite.tracking_uri, address, retry_time=1)
        finally:
            page.shutdown()
            thread.join()
    assert refused.value.exit_code == 6


def test_a_workspace_that_the_server_has_not(plain_sqlite, server, writes):
    with pytest.raises(mlporter.MlporterError, match="workspaces") as refused:
        mlporter.copy(plain_sqlite.tracking_uri, server.address, to_workspace="team-b")
    assert refused.value.exit_code == 4
    assert writes == []
