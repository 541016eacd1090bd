"""Servers that are none, names that a server refuses: said by name, and safe to run again."""

from __future__ import annotations

import pytest

import mlporter
from tests.support.databases import execute
from tests.support.faulty_server import HTML, LOGIN, Answer, as_json, faulty_server
from tests.support.mlflow_session import sqlite_url


def test_names_that_the_server_refuses_are_listed_and_the_rest_arrives(plain_sqlite, server, cli):
    """`@`, `%` and `//` in keys of metrics, which older MLflows took."""
    run, bad = plain_sqlite.run_ids[0], ("a@b", "50%", "a//b")
    rows = (f"('{run}', '{key}', 1.0, 1, 0, 0)" for key in bad)
    execute(
        plain_sqlite.tracking_uri,
        "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan) "
        f"VALUES {', '.join(rows)}",
    )
    result = mlporter.copy(plain_sqlite.tracking_uri, server.address, artifacts="none")
    assert result.exit_code == 3
    left = {item.path for item in result.left_out.first if item.reason == "refused"}
    assert left == {f"metrics/{key}" for key in bad}
    before = plain_sqlite.client().get_metric_history(run, "metric 0")
    copy = server.copy_of(run).info.run_id
    assert len(server.client().get_metric_history(copy, "metric 0")) == len(before)
    again = mlporter.copy(plain_sqlite.tracking_uri, server.address, artifacts="none")
    assert (again.exit_code, again.rows) == (3, 0)
    done = cli("copy", plain_sqlite.tracking_uri, server.address, "--artifacts", "none")
    assert done.code == 3
    assert all(f"metrics/{key}" in done.err for key in bad)


SEARCH = "/api/2.0/mlflow/experiments/search"
DENIED = {"error_code": "PERMISSION_DENIED", "message": "Permission denied"}

PLACES = {
    "nobody": ("http://127.0.0.1:9", None, "cannot be reached"),
    "no TLS": ("https", None, "TLS failed"),
    "401": ("http", Answer(401, b"You are not authenticated", kind="text/html"), "HTTP 401"),
    "403": ("http", as_json(DENIED, 403), "HTTP 403: Permission denied"),
    "another web server": ("http", Answer(404, b"<title>Shop</title>", kind="text/html"), "404"),
    "a login page": ("http", LOGIN, "an HTML page and not with JSON: Log in"),
    "an error page": ("http", HTML, "HTTP 502: Bad gateway"),
    "hangs up": ("http", Answer(hang_up=True), "the connection failed"),
    "half a body": ("http", Answer(200, b'{"a"', length=99), "connection failed"),
    "half a document": ("http", Answer(200, b'{"a": [1, 2'), "incomplete"),
}
"""Its address or scheme, what it answers, and what is said of it."""


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("name", PLACES)
def test_what_is_no_server_is_said_with_its_name_and_exit_code(name, cli, mlflow_sqlite, tmp_path):
    """As a source and as a target, and a second time: there is nothing that stands in the way."""
    scheme, answer, says = PLACES[name]
    source = sqlite_url(mlflow_sqlite)
    with faulty_server() as faulty:
        address = scheme if "://" in scheme else faulty.address.replace("http", scheme, 1)
        for path in (SEARCH, "/version"):
            faulty.says(path, *([answer] if answer else []))
        for words in (
            ("export", address, tmp_path / "backup"),
            ("copy", source, address),
            ("copy", source, address),
        ):
            done = cli(*words, "--retry-time", "0.1")
            told = " ".join(done.err.split())
            assert done.code == 6, done.err
            assert says in told
            assert address in told
            assert "Traceback" not in done.err
    assert not (tmp_path / "backup" / "manifest.yaml").exists()


def test_a_workspace_that_the_server_has_not(plain_sqlite, server, writes, cli):
    done = cli("copy", plain_sqlite.tracking_uri, server.address, "--to-workspace", "team-b")
    assert done.code == 4
    assert "workspaces" in done.err
    assert "team-b" in done.err
    assert writes == []


def test_a_deleted_experiment_that_holds_the_name(plain_sqlite, server, writes, cli):
    client, name = server.client(), plain_sqlite.experiment_name
    client.delete_experiment(client.create_experiment(name))
    done = cli("copy", plain_sqlite.tracking_uri, server.address, "--artifacts", "none")
    told = " ".join(done.err.split())
    assert done.code == 4
    assert name in told
    assert "mlflow experiments restore --experiment-id 1" in told
    assert "--undelete" in told
    assert "--rename" in told
    assert writes == []
