"""Webhooks, the gateway, MCP servers and scorers, into a server: MLflow itself is the judge."""

# Most of this has no public client call, so it goes through the stores that MLflow's client uses.
from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from mlflow.entities.gateway_endpoint import (
    FallbackConfig,
    FallbackStrategy,
    GatewayEndpointModelConfig,
    GatewayEndpointTag,
    GatewayModelLinkageType,
    RoutingStrategy,
)
from mlflow.entities.mcp_server import MCPStatus, MCPTool
from mlflow.genai.judges import make_judge
from mlflow.tracking._tracking_service.utils import _get_store

import mlporter
from tests.support.mlflow_session import environment, mlflow_at, sqlite_url

pytestmark = pytest.mark.timeout(200)


@pytest.fixture
def source(mlflow_sqlite):
    """The address of an empty registry; `mlflow_at` fills it."""
    return sqlite_url(mlflow_sqlite)


def lost(result):
    """What was left out, and is no rule."""
    return [item for item in result.left_out.first if not item.expected]


def changed(database, statement, *values):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement, values)


# --- Gateway --------------------------------------------------------------------------------------


def made_gateway():
    """An endpoint that is tracked, with a spare model."""
    store = _get_store()
    secret = store.create_gateway_secret("key", {"api_key": "sk-0123456789"}).secret_id
    ids = [
        store.create_gateway_model_definition(n, secret, "openai", "gpt").model_definition_id
        for n in ("first", "second", "third")
    ]
    linked = GatewayModelLinkageType
    models = [
        GatewayEndpointModelConfig(ids[0], linked.PRIMARY, 0.75),
        GatewayEndpointModelConfig(ids[2], linked.FALLBACK, 1.0, 1),
        GatewayEndpointModelConfig(ids[1], linked.FALLBACK, 1.0, 2),
    ]
    endpoint = store.create_gateway_endpoint(
        "chat",
        models,
        created_by="zoë",
        routing_strategy=RoutingStrategy.REQUEST_BASED_TRAFFIC_SPLIT,
        fallback_config=FallbackConfig(FallbackStrategy.SEQUENTIAL, 2),
    )
    store.set_gateway_endpoint_tag(endpoint.endpoint_id, GatewayEndpointTag("team", "ü"))
    return store.get_gateway_endpoint(endpoint.endpoint_id)


def told(endpoint):
    """What MLflow says of an endpoint, without ids and times."""
    models = [
        (m.model_definition.name, m.linkage_type.value, m.weight, m.fallback_order)
        for m in endpoint.model_mappings
    ]
    return {
        "name": endpoint.name,
        "by": endpoint.created_by,
        "models": sorted(models),
        "routing": endpoint.routing_strategy,
        "fallback": endpoint.fallback_config,
        "tracked": endpoint.usage_tracking,
        "tags": [(tag.key, tag.value) for tag in endpoint.tags],
    }


def test_an_endpoint_is_the_same_without_its_secret(source, server, writes):
    with mlflow_at(source):
        expected = told(made_gateway())
    result = mlporter.copy(source, server.address)
    assert {(item.id, item.reason) for item in lost(result)} == {
        ("model_definitions", "secret"),
        ("secrets", "secret"),
    }
    with mlflow_at(server.address):
        (endpoint,) = _get_store().list_gateway_endpoints()
        assert told(endpoint) == expected
        assert _get_store().list_secret_infos() == []
        assert {d.secret_id for d in _get_store().list_gateway_model_definitions()} <= {None, ""}
        experiment = _get_store().get_experiment(endpoint.experiment_id)
    assert experiment.name == "gateway/chat"
    assert experiment.tags["mlflow.experiment.sourceId"] == endpoint.endpoint_id
    order = json.loads(server.rows("SELECT fallback_config_json FROM endpoints")[0][0])
    names = dict(server.rows("SELECT model_definition_id, name FROM model_definitions"))
    assert [names[id_] for id_ in order["model_definition_ids"]] == ["third", "second"]

    writes.clear()
    again = mlporter.copy(source, server.address)
    assert (writes, again.rows, lost(again)) == ([], 0, lost(result))


def test_what_a_killed_import_left_is_found_and_finished(source, server):
    """The secret that stood in is still there, and an endpoint has no tags yet."""
    with mlflow_at(source):
        made_gateway()
    mlporter.copy(source, server.address)
    with mlflow_at(server.address):
        store = _get_store()
        secret = store.create_gateway_secret("mlporter.placeholder", {"api_key": "none"})
        definition = store.list_gateway_model_definitions()[0].model_definition_id
        store.update_gateway_model_definition(definition, secret_id=secret.secret_id)
        endpoint = store.list_gateway_endpoints()[0].endpoint_id
        store.delete_gateway_endpoint_tag(endpoint, "team")
    result = mlporter.copy(source, server.address)
    assert result.rows == 1
    assert server.rows("SELECT key FROM endpoint_tags") == [("team",)]
    assert server.rows("SELECT * FROM secrets") == []


def test_another_definition_of_the_same_name_stays_and_is_listed(source, server):
    with mlflow_at(source):
        made_gateway()
    with mlflow_at(server.address):
        secret = _get_store().create_gateway_secret("other", {"api_key": "sk-1"}).secret_id
        _get_store().create_gateway_model_definition("first", secret, "anthropic", "claude")
    result = mlporter.copy(source, server.address)
    conflicts = [item for item in lost(result) if item.reason == "conflict"]
    assert [(item.kind, item.id) for item in conflicts] == [("model_definitions", "first")]
    found = server.rows("SELECT provider FROM model_definitions WHERE name = 'first'")
    assert found == [("anthropic",)]
    assert server.rows("SELECT secret_name FROM secrets") == [("other",)]


def test_a_server_without_a_gateway_says_so_for_each_object(source, server, monkeypatch):
    from mlporter.stores.server import capabilities  # noqa: PLC0415

    with mlflow_at(source):
        made_gateway()
    path = "/api/3.0/mlflow/no/such/gateway"
    monkeypatch.setitem(capabilities.FAMILIES, "gateway", path)
    result = mlporter.copy(source, server.address)
    unsupported = {item.id for item in lost(result) if item.reason == "unsupported"}
    assert unsupported == {
        "model_definitions",
        "endpoints",
        "endpoint_model_mappings",
        "endpoint_tags",
    }
    assert server.rows("SELECT * FROM endpoints") == []


# --- Scorers --------------------------------------------------------------------------------------


def test_scorers_keep_numbers_endpoints_and_what_they_run_on(source, server, writes):
    with mlflow_at(source):
        made_gateway()
        for number, model in enumerate(("openai:/a", "openai:/b", "gateway:/chat"), start=1):
            judge = make_judge(name="j", instructions=f"{number} {{{{ outputs }}}}", model=model)
            judge.register(experiment_id="0")
        _get_store().delete_scorer("0", "j", 2)
        _get_store().upsert_online_scoring_config("0", "j", 0.5, None)
    left = lost(mlporter.copy(source, server.address))
    assert [item for item in left if item.reason != "secret"] == []
    with mlflow_at(server.address):
        found = {v.scorer_version: v for v in _get_store().list_scorer_versions("0", "j")}
        bindings = _get_store().list_endpoint_bindings()
    assert sorted(found) == [1, 3]
    assert "gateway:/chat" in str(found[3].serialized_scorer)
    assert [binding.resource_id for binding in bindings] == [found[3].scorer_id]
    assert server.rows("SELECT sample_rate FROM online_scoring_configs") == [(0.5,)]

    writes.clear()
    assert mlporter.copy(source, server.address).rows == 0
    assert writes == []


# --- MCP servers ----------------------------------------------------------------------------------


def made_mcp():
    """One version of each kind; icons of its own, and others of a version."""
    store, name = _get_store(), "io.example/ducks"
    icon = {"src": "https://1.1.1.1/own.png", "mimeType": "image/png"}
    store.create_mcp_server(name, description="ü", icons=[icon])
    store.update_mcp_server(name, display_name="Ducks")
    for version, tools in (("1.0.0", None), ("1.1.0", []), ("2.0.0", [MCPTool(name="quack")])):
        icons = [{"src": "https://1.1.1.1/v.png", "theme": "dark"}]
        text = {"name": name, "version": version, "icons": icons, "_meta": {"x": [1, None]}}
        store.create_mcp_server_version(text, status=MCPStatus.ACTIVE, tools=tools)
    store.update_mcp_server_version(name, "1.0.0", status=MCPStatus.DEPRECATED)
    store.set_mcp_server_version_tag(name, "1.1.0", "t", "1")
    store.set_mcp_server_alias(name, "stable", "2.0.0")
    store.create_mcp_access_endpoint(name, "https://1.1.1.1/mcp", server_version="2.0.0")
    store.create_mcp_access_endpoint(name, "https://1.1.1.1/mcp", server_alias="stable")
    return name


def told_of_mcp(name):
    """What MLflow says of an MCP server, without ids and times."""
    store = _get_store()
    server, versions = store.get_mcp_server(name), store.search_mcp_server_versions(name)
    return {
        "server": (server.display_name, server.description, server.icons, server.aliases),
        "versions": {
            v.version: (v.status, v.server_json, v.tools or [], v.tags, v.source) for v in versions
        },
        "places": sorted(
            (e.url, e.server_version or "", e.server_alias or "", str(e.transport_type))
            for e in server.access_endpoints
        ),
    }


def test_an_mcp_server_is_the_same(source, server, writes):
    with mlflow_at(source):
        expected = told_of_mcp(made_mcp())
    assert mlporter.copy(source, server.address).exit_code == 0
    with mlflow_at(server.address):
        assert told_of_mcp("io.example/ducks") == expected

    writes.clear()
    again = mlporter.copy(source, server.address)
    assert (writes, again.exit_code, again.rows) == ([], 0, 0)
    assert mlporter.diff(source, server.address).identical


def test_what_became_of_an_mcp_server_is_brought_over(source, server):
    with mlflow_at(source):
        name = made_mcp()
    mlporter.copy(source, server.address)
    with mlflow_at(source):
        store = _get_store()
        store.update_mcp_server_version(name, "1.0.0", status=MCPStatus.ACTIVE)
        store.update_mcp_server_version(name, "1.0.0", status=MCPStatus.DRAFT)
        store.set_mcp_server_alias(name, "stable", "1.1.0")
        store.create_mcp_server_version({"name": name, "version": "3.0.0"})
        expected = told_of_mcp(name)
    assert mlporter.copy(source, server.address).exit_code == 0
    with mlflow_at(server.address):
        assert told_of_mcp(name) == expected


def test_another_mcp_server_stays_and_is_listed(source, server):
    with mlflow_at(source):
        name = made_mcp()
    with mlflow_at(server.address):
        _get_store().create_mcp_server(name, description="another")
    result = mlporter.copy(source, server.address)
    assert [(item.kind, item.reason, item.id) for item in lost(result)] == [
        ("mcp_servers", "conflict", name)
    ]
    assert server.rows("SELECT description FROM mcp_servers") == [("another",)]


def test_a_deleted_version_of_an_mcp_server_stays_where_it_is(source, server, mlflow_sqlite):
    with mlflow_at(source):
        made_mcp()
    changed(mlflow_sqlite, "UPDATE mcp_server_versions SET status = 'deleted' WHERE version = ?",
            "1.1.0")  # fmt: skip
    result = mlporter.copy(source, server.address)
    assert result.exit_code == 0
    hidden = [item.id for item in result.left_out.first if item.kind == "mcp_server_versions"]
    assert hidden == ["io.example/ducks/1.1.0"]
    found = server.rows("SELECT version FROM mcp_server_versions ORDER BY 1")
    assert found == [("1.0.0",), ("2.0.0",)]
    report = mlporter.diff(source, server.address)
    assert report.identical


# --- Webhooks -------------------------------------------------------------------------------------


def made_webhooks(client):
    with environment({"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}):
        url = "https://localhost:9/hook"
        client.create_webhook("both", url, ["model_version.created", "prompt.created"], secret="s")
        client.create_webhook("both", url, ["registered_model.created"], description="ü")
        gone = client.create_webhook("gone", url, ["prompt.created"])
        client.delete_webhook(gone.webhook_id)


def told_of_webhooks(client):
    return sorted(
        (w.name, w.url, str(w.status), w.description or "", sorted(map(str, w.events)))
        for w in client.list_webhooks()
    )


def test_webhooks_are_what_the_client_lists(source, server, writes):
    """Two alike but for what they listen to; a deleted one; a secret that nobody can read."""
    import mlflow  # noqa: PLC0415

    with mlflow_at(source):
        made_webhooks(mlflow.MlflowClient())
        expected = told_of_webhooks(mlflow.MlflowClient())
    result = mlporter.copy(source, server.address)
    assert [(item.id, item.path, item.reason) for item in lost(result)] == [
        ("webhooks", "secret", "secret")
    ]
    assert told_of_webhooks(server.client()) == expected

    writes.clear()
    again = mlporter.copy(source, server.address)
    assert (writes, again.rows, lost(again)) == ([], 0, lost(result))


def test_a_webhook_that_is_refused_is_one_line_each_time(source, server, mlflow_sqlite):
    import mlflow  # noqa: PLC0415

    with mlflow_at(source):
        made_webhooks(mlflow.MlflowClient())
    changed(mlflow_sqlite, "UPDATE webhooks SET name = 'bad', url = ? WHERE description = 'ü'",
            "ftp://x/y")  # fmt: skip
    for _ in range(2):
        result = mlporter.copy(source, server.address)
        (item,) = [item for item in lost(result) if item.reason == "refused"]
        assert (item.kind, item.id) == ("webhooks", "bad")
        assert item.detail.startswith("HTTP 400: Invalid webhook URL scheme: 'ftp'")
        assert "\n" not in item.detail
        assert [name for name, *_ in told_of_webhooks(server.client())] == ["both"]


# --- Numbers of traces ----------------------------------------------------------------------------


def test_numbers_that_a_server_has_as_columns_are_no_loss(source, server, mlflow_sqlite):
    """Of older MLflows: what 3.17 has as columns of the trace, and what it does not know."""
    changed(
        mlflow_sqlite,
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms,"
        " status, db_payload_generation, total_tokens) VALUES ('tr-1', 0, 5, 1, 'OK', 0, 7)",
    )
    for key, value in (("total_tokens", 7.0), ("input_tokens", 3.0), ("own", 1.5)):
        changed(mlflow_sqlite, "INSERT INTO trace_metrics VALUES ('tr-1', ?, ?)", key, value)
    result = mlporter.copy(source, server.address)
    found = [(item.id, item.path) for item in lost(result) if item.kind == "trace_metrics"]
    assert found == [("tr-1", "input_tokens"), ("tr-1", "own")]


# --- Files that no row points to ------------------------------------------------------------------


def test_orphans_go_where_the_proxy_keeps_files(plain_sqlite, server, tmp_path, writes):
    """Beside the others, as in a database; on a server without a proxy they are listed."""
    folder = next(path for path in tmp_path.rglob("artifacts") if path.parent.name == "plain")
    run = plain_sqlite.run_ids[0]
    (owner,) = (path.parent for path in folder.rglob("artifacts") if path.parent.name == run)
    lost_run = owner.parent / ("e" * 32)
    (lost_run / "artifacts" / "deep").mkdir(parents=True)
    (lost_run / "artifacts" / "deep" / "x#1.txt").write_bytes(b"refused")
    (lost_run / "artifacts" / "deep" / "x.txt").write_bytes(b"12345")
    result = mlporter.copy(plain_sqlite.tracking_uri, server.address, orphans=True)
    assert [(item.path, item.reason) for item in lost(result)] == [("deep/x#1.txt", "refused")]
    (found,) = (server.files / "orphans").rglob("x.txt")
    assert found.read_bytes() == b"12345"

    writes.clear()
    again = mlporter.copy(plain_sqlite.tracking_uri, server.address, orphans=True)
    assert again.files.stored_files == 0
    assert [line for line in writes if "x.txt" in line] == []
