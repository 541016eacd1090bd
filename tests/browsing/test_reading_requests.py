"""Which requests only read: held against the routes of the installed MLflow."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from mlporter.browsing.gate import read_only_asgi, read_only_wsgi
from mlporter.browsing.reading_requests import READING_POSTS, is_refused

HERE = "127.0.0.1:5000"
WRITING = Path(__file__).with_name("writing_routes.txt")
"""Routes that are refused, and that somebody looked at: of MLflow 2.18, 3.17 and 3.18."""


def routes_of_mlflow():
    """Each method and path of MLflow's server, with * for what may be anything."""
    server = pytest.importorskip("mlflow.server")
    for rule in server.app.url_map.iter_rules():
        for method in rule.methods:
            yield method, re.sub(r"<[^>]+>", "*", str(rule))
    asgi = pytest.importorskip("mlflow.server.fastapi_app")
    from fastapi import APIRouter  # noqa: PLC0415 -- as above

    prefixes = {"mcp_server_router": "/ajax-api/3.0/mlflow/mcp-servers"}
    prefixes["skill_registry_router"] = "/ajax-api/3.0/mlflow/skills"
    for name, router in vars(asgi).items():
        if isinstance(router, APIRouter):
            for route in router.routes:
                path = re.sub(r"{[^}]+}", "*", prefixes.get(name, "") + route.path)
                yield from ((method, path) for method in route.methods)


def below_the_api(path):
    return re.sub(r"^/(ajax-)?api(?=/)", "", path)


def test_every_route_that_may_write_is_refused_or_known_to_read():
    changing = {
        f"{method} {below_the_api(path)}"
        for method, path in routes_of_mlflow()
        if method not in {"GET", "HEAD", "OPTIONS"}
    }
    refused = {route for route in changing if route.removeprefix("POST ") not in READING_POSTS}
    known = set(WRITING.read_text().split("\n"))
    # What is new is to be looked at: what reads belongs into READING_POSTS, the rest into the file.
    assert sorted(refused - known) == []


def test_nothing_is_both():
    known = WRITING.read_text().splitlines()
    assert [line for line in known if line.removeprefix("POST ") in READING_POSTS] == []


def test_what_reads_is_a_route_of_mlflow():
    there = {below_the_api(path) for method, path in routes_of_mlflow() if method == "POST"}
    assert sorted(READING_POSTS - there) == []


def test_mutations_of_graphql_are_searches_and_an_echo():
    extensions = pytest.importorskip("mlflow.server.graphql.graphql_schema_extensions")
    assert sorted(extensions.schema.graphql_schema.mutation_type.fields) == [
        "mlflowSearchDatasets",
        "mlflowSearchRuns",
        "testMutation",
    ]


@pytest.mark.parametrize("line", WRITING.read_text().splitlines())
def test_a_route_that_writes_is_refused_under_every_prefix(line):
    method, path = line.split(" ", 1)
    for prefix in ("", "/api", "/ajax-api"):
        assert is_refused(method, prefix + path.replace("*", "1"), HERE)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/static-files/main.js"),
        ("GET", "/get-artifact"),
        ("HEAD", "/health"),
        ("OPTIONS", "/ajax-api/2.0/mlflow/runs/search"),
        ("POST", "/ajax-api/2.0/mlflow/runs/search"),
        ("POST", "/api/2.0/mlflow/runs/search"),
        ("POST", "/api/3.0/mlflow/traces/search"),
        ("POST", "/graphql"),
    ],
)
def test_what_reads_goes_through(method, path):
    assert is_refused(method, path, HERE) is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ajax-api/2.0/mlflow/gateway-proxy"),
        ("GET", "/ajax-api/3.0/mlflow/assistant/sessions/1/stream"),
        ("POST", "/api/2.0/mlflow/runs/search/../create"),
        ("POST", "/somewhere/api/2.0/mlflow/runs/search"),
        ("POST", "/api/9.0/mlflow/things/new"),
        ("PUT", "/api/2.0/mlflow/runs/search"),
        ("BREW", "/"),
    ],
)
def test_what_is_not_known_to_read_is_refused(method, path):
    assert is_refused(method, path, HERE)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8080", "LOCALHOST", "[::1]:80"])
def test_this_machine_is_let_in_by_any_of_its_names(host):
    assert is_refused("GET", "/", host) is None


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil"])
def test_other_hosts_are_not(host):
    assert is_refused("GET", "/", host)


def test_the_gate_of_older_mlflows():
    began = []

    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"in"]

    gate = read_only_wsgi(app)
    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_HOST": HERE}
    assert gate(asked, lambda *words: began.append(words)) == [b"in"]
    (body,) = gate({**asked, "REQUEST_METHOD": "PUT"}, lambda *words: began.append(words))
    assert json.loads(body)["error_code"] == "PERMISSION_DENIED"
    assert [status.split()[0] for status, _ in began] == ["200", "403"]


def test_a_web_socket_is_closed():
    sent = []

    async def send(message):
        sent.append(message["type"])

    async def app(*_):
        raise AssertionError

    asyncio.run(read_only_asgi(app)({"type": "websocket"}, None, send))
    assert sent == ["websocket.close"]
