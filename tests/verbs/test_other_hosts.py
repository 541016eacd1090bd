"""Hosts that rows name: they are not asked, and nobody's password is sent to them.

Whoever may write a run may write any address into it. Whoever exports has a token, and sits in a
network that others cannot reach. The hosts here are real servers that note what they are sent.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import mlporter
from mlporter.artifacts.uris.allowed_hosts import Hosts
from mlporter.errors import OutsideError
from mlporter.stores.rest.client import Client
from mlporter.stores.server.target_places import ServerPlaces
from tests.support.databases import execute
from tests.support.file_stores import FolderStore, put
from tests.support.listener import NAME, PLANTED, PROXY, listening
from tests.support.mlflow_session import sqlite_url
from tests.support.processes import mlflow_server
from tests.verbs.test_outside_files import NAMED, add_runs_at, point, unexpected

TOKEN = "token-of-the-exporter"
PASSWORD = "password-of-the-exporter"


@pytest.fixture
def stranger():
    """A server that nobody but a row names."""
    with listening() as found:
        yield found


@pytest.fixture
def friend():
    """A server that the user names."""
    with listening() as found:
        yield found


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    """What MLflow's settings say."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)


def carried(folder):
    """Files below a folder that hold what the servers send."""
    return [
        path for path in Path(folder).rglob("*") if path.is_file() and PLANTED in path.read_bytes()
    ]


def spellings(host):
    return [
        f"http://{host}{PROXY}/1/x/artifacts",
        f"HTTP://{host}{PROXY}/1/x/artifacts",
        f"https://{host}{PROXY}/1/x/artifacts",
        f"http://me:pw@{host}{PROXY}/1/x/artifacts",
        f"http://{host}/prefix{PROXY}/1/x/artifacts",
        f"http://{host}/mlflow-artifacts/artifacts/1/x",
        f"mlflow-artifacts://{host}/1/x/artifacts",
        f"http://{host}/latest/meta-data",
        f"ftp://{host}/x",
        f"sftp://{host}/x",
        f"hdfs://{host}/x",
        f"viewfs://{host}/x",
        f"abfss://files@{host}/x",
        f"r2://bucket@{host}/x",
        f"b2://bucket@{host}/x",
    ]


@pytest.mark.parametrize("kind", NAMED)
def test_an_owner_that_names_another_host_is_named(kind, plain_sqlite, stranger, tmp_path):
    uri = f"{stranger.url}{PROXY}/1/x/artifacts"
    point(plain_sqlite, kind, uri)
    url = plain_sqlite.tracking_uri
    result = mlporter.export(url, tmp_path / "bundle")
    [item] = unexpected(result)
    assert stranger.asked == []
    assert (result.exit_code, item.kind, item.reason) == (3, kind, "outside")
    assert f"--map-uri '{uri}={uri}'" in item.detail
    mapped = mlporter.export(url, tmp_path / "mapped", uri_map=[f"{uri}={uri}"])
    assert (mapped.exit_code, len(carried(tmp_path / "mapped"))) == (0, 1)


def test_however_it_is_spelt(plain_sqlite, stranger, tmp_path):
    named = add_runs_at(plain_sqlite, spellings(stranger.host))
    result = mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle")
    found = {named[item.id]: item.reason for item in unexpected(result)}
    assert found == dict.fromkeys(spellings(stranger.host), "outside")
    assert result.exit_code == 3
    assert stranger.asked == []


@pytest.mark.parametrize(
    "uri",
    ["s3://b/x", "gs://b/x", "what:/x", "hdfs:/x", "viewfs:///x", "b2://b@s3.eu.backblazeb2.com/x",
     "abfss://f@a.dfs.core.windows.net/x", "r2://b@id.r2.cloudflarestorage.com/x"],
)  # fmt: skip
def test_stores_whose_host_no_row_can_name_are_as_they_were(uri):
    Hosts.of(None).find(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "abfss://f@dfs.core.windows.net.evil/x",
        "abfss://f@evil\\@a.dfs.core.windows.net/x",
        "abfss://f@evil.com@a.dfs.core.windows.net/x",
        "abfss://f@a.dfs.core.windows.net:443/x",
        "r2://b@evil/.r2.cloudflarestorage.com",
        "http://own\\@evil/api/2.0/mlflow-artifacts/artifacts/x",
        "http://own:80@evil/api/2.0/mlflow-artifacts/artifacts/x",
        "http://own:81/api/2.0/mlflow-artifacts/artifacts/x",
        "https://own/api/2.0/mlflow-artifacts/artifacts/x",
        "http://own/api/2.0/mlflow-artifacts/artifactsx",
        "http://own.evil/api/2.0/mlflow-artifacts/artifacts/x",
        "http:///api/2.0/mlflow-artifacts/artifacts/x",
        "mlflow-artifacts://ow\tn/x",
        "mlflow-artifacts://own:81/x",
        "mlflow-artifacts:/../x",
    ],
)
def test_odd_addresses_are_of_no_server(uri):
    with pytest.raises(OutsideError):
        Hosts.of("http://own").find(uri)


def test_one_server_has_many_spellings():
    hosts = Hosts.of("http://Own:5000/prefix/")
    proxy = "prefix/api/2.0/mlflow-artifacts/artifacts"
    for uri in (f"HTTP://oWn:5000/{proxy}/1/x", f"http://me:pw@own.:5000/{proxy}/1/x/",
                "mlflow-artifacts://OWN:5000/1/x", "mlflow-artifacts:/1/x"):  # fmt: skip
        found = hosts.find(uri)
        assert found is not None
        assert found[1] == "1/x", uri
    assert Hosts.of("http://own").find("mlflow-artifacts://own:80/x") is not None
    assert Hosts.of("https://own").find(f"https://own:443{PROXY}/x") is not None


def test_file_systems_count_where_an_experiment_keeps_its_files():
    hosts = Hosts.of(None, ["ftp://b/x"], [("7", "sftp://a:22/mlflow/7"), ("", "hdfs://n/w")])
    for uri in ("sftp://a:22/mlflow/7/r", "sftp://a:22/mlflow/8/r", "hdfs://n/w/1", "ftp://b/x/1"):
        assert hosts.find(uri) is None
    for uri in ("sftp://a/mlflow/7/r", "sftp://a:22/home/me", "sftp://a:22/mlflow/7/../../home/me",
                "hdfs://n/user/me", "hdfs://other/w", "ftp://b/y"):  # fmt: skip
        with pytest.raises(OutsideError):
            hosts.find(uri)


def test_an_experiment_makes_no_host_of_its_own(plain_sqlite, stranger, tmp_path):
    """A token would go there; and who may write a run may make an experiment."""
    uri = f"{stranger.url}{PROXY}/0"
    point(plain_sqlite, "run", f"{uri}/x/artifacts")
    execute(plain_sqlite.tracking_uri, f"UPDATE experiments SET artifact_location = '{uri}'")
    result = mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle")
    assert {item.reason for item in unexpected(result)} == {"outside"}
    assert stranger.asked == []


def test_a_run_of_a_file_store(stranger, tmp_path):
    store = FolderStore(tmp_path / "mlruns")
    store.run(store.experiment(), artifact_uri=f"{stranger.url}{PROXY}/1/x/artifacts")
    result = mlporter.export(store.root, tmp_path / "bundle")
    assert [item.reason for item in unexpected(result)] == ["outside"]
    assert stranger.asked == []


# --- Whose credentials go where -------------------------------------------------------------------


def test_the_server_of_the_settings_is_asked_and_gets_its_token(
    plain_sqlite, friend, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{friend.url}/")
    for number, uri in enumerate(
        [f"{friend.url}{PROXY}/1/x", f"mlflow-artifacts://{friend.host}/1/x"]
    ):
        point(plain_sqlite, "run", uri)
        result = mlporter.export(plain_sqlite.tracking_uri, tmp_path / f"bundle-{number}")
        assert (result.exit_code, len(carried(tmp_path / f"bundle-{number}"))) == (0, 1)
    assert {head["Authorization"] for *_, head in friend.asked} == {f"Bearer {TOKEN}"}


def test_each_side_has_a_server_of_its_own(plain_sqlite, friend, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:9")
    monkeypatch.setenv("DEV_MLFLOW_TRACKING_URI", friend.url)
    monkeypatch.setenv("DEV_MLFLOW_TRACKING_TOKEN", "token-of-dev")
    point(plain_sqlite, "run", f"{friend.url}{PROXY}/1/x")
    url = plain_sqlite.tracking_uri
    assert mlporter.export(url, tmp_path / "other").exit_code == 3
    assert friend.asked == []
    assert mlporter.export(url, tmp_path / "dev", source_env="DEV_").exit_code == 0
    assert {head["Authorization"] for *_, head in friend.asked} == {"Bearer token-of-dev"}


@pytest.mark.parametrize(
    "uri", ["{url}/other{proxy}/1/x", "{url}{proxy}/../../secret/x", "{url}{proxy}/%2e%2E/x"]
)
def test_nothing_else_of_that_server_is_asked(uri, plain_sqlite, friend, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", friend.url)
    point(plain_sqlite, "run", uri.format(url=friend.url, proxy=PROXY))
    result = mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle")
    assert [item.reason for item in unexpected(result)] == ["outside"]
    assert friend.asked == []


@pytest.mark.parametrize("is_theirs", [True, False])
def test_a_mapped_server_gets_what_is_meant_for_it(
    is_theirs, plain_sqlite, friend, tmp_path, monkeypatch
):
    """The settings' token is for the server that they name; for any, if they name none."""
    if not is_theirs:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{PASSWORD}@localhost:9")
    point(plain_sqlite, "run", "mlflow-artifacts:/1/x/artifacts")
    result = mlporter.export(
        plain_sqlite.tracking_uri,
        tmp_path / "bundle",
        uri_map=[f"mlflow-artifacts:/={friend.url}{PROXY}"],
    )
    assert (result.exit_code, len(carried(tmp_path / "bundle"))) == (0, 1)
    assert (TOKEN in friend.heads) == is_theirs
    assert PASSWORD not in friend.heads


def test_a_mapped_server_gets_the_password_in_its_address(plain_sqlite, friend, tmp_path):
    point(plain_sqlite, "run", "mlflow-artifacts:/1/x/artifacts")
    to = f"http://me:{PASSWORD}@{friend.host}{PROXY}"
    result = mlporter.export(
        plain_sqlite.tracking_uri, tmp_path / "bundle", uri_map=[f"mlflow-artifacts:/={to}"]
    )
    assert result.exit_code == 0
    assert {head["Authorization"].split()[0] for *_, head in friend.asked} == {"Basic"}


def test_a_redirect_to_another_host_carries_nothing(
    plain_sqlite, friend, stranger, tmp_path, monkeypatch
):
    friend.leads_to = stranger.url
    monkeypatch.setenv("MLFLOW_TRACKING_URI", friend.url)
    point(plain_sqlite, "run", f"{friend.url}{PROXY}/1/x/artifacts")
    result = mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle")
    assert (result.exit_code, len(carried(tmp_path / "bundle"))) == (0, 1)
    assert TOKEN in friend.heads
    [(_, _, head)] = stranger.asked
    assert {name.lower() for name in head} <= {
        "host", "accept", "accept-encoding", "connection", "user-agent"
    }  # fmt: skip


# --- Servers --------------------------------------------------------------------------------------


def test_a_host_that_a_server_names_is_not_asked(plain_sqlite, stranger, tmp_path, monkeypatch):
    url = plain_sqlite.tracking_uri
    point(plain_sqlite, "run", f"{stranger.url}{PROXY}/1/x/artifacts")
    point(plain_sqlite, "model_version", f"mlflow-artifacts://{stranger.host}/1/x/artifacts")
    with mlflow_server(url, tmp_path / "files") as address:
        with_password = address.replace("://", f"://me:{PASSWORD}@")
        result = mlporter.export(with_password, tmp_path / "bundle")
        own = f"{address}{PROXY}/1/x"
        point(plain_sqlite, "run", own)
        put(tmp_path / "files/1/x" / NAME, PLANTED)
        at_home = mlporter.export(address, tmp_path / "own")
        # A database whose files lie behind a server, which the settings may name.
        point(plain_sqlite, "run", tmp_path / "files/1/x")
        put(tmp_path / "files/1/x" / NAME, PLANTED)
        behind = sqlite_url(tmp_path / "behind.db")
        options = {"artifact_root": f"{address}{PROXY}/root", "allow_root": [tmp_path / "files"]}
        copied = mlporter.copy(url, behind, **options)
        unnamed = mlporter.export(behind, tmp_path / "unnamed")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        named = mlporter.export(behind, tmp_path / "named")
    outside = {item.kind for item in unexpected(result) if item.reason == "outside"}
    assert {"run", "model_version"} <= outside
    assert stranger.asked == []
    assert plain_sqlite.run_ids[0] not in {item.id for item in unexpected(at_home)}
    assert len(carried(tmp_path / "own")) == 1
    assert {item.reason for item in unexpected(unnamed)} == {"outside"}
    assert named.files.files == copied.files.files > 5
    assert len(carried(tmp_path / "named")) == 1


def test_a_host_that_a_target_names_gets_no_files(friend, stranger):
    client = Client(friend.url)
    places = ServerPlaces(client)
    for uri in (f"{stranger.url}{PROXY}/1", f"mlflow-artifacts://{stranger.host}/1"):
        for ask in (
            lambda uri=uri: places.sizes(uri),
            lambda uri=uri: places.put(uri, "x", 1, lambda: io.BytesIO(b"x")),
        ):
            with pytest.raises(OutsideError):
                ask()
    places.put("mlflow-artifacts:/1", "x", 1, lambda: io.BytesIO(b"x"))
    assert (len(friend.asked), stranger.asked) == (1, [])
    assert TOKEN in friend.heads
    mapped = ServerPlaces(client, (f"mlflow-artifacts:/={stranger.url}{PROXY}",))
    mapped.put("mlflow-artifacts:/1", "x", 1, lambda: io.BytesIO(b"x"))
    assert [method for method, *_ in stranger.asked] == ["PUT"]
    assert TOKEN not in stranger.heads
    client.close()


# --- inspect --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NAMED)
def test_inspect_names_what_lies_outside(kind, plain_sqlite, stranger, tmp_path, cli):
    url = plain_sqlite.tracking_uri
    assert mlporter.inspect(url).losses == ()
    put(tmp_path / "theirs/x", "x")
    for uri in (f"{stranger.url}{PROXY}/1/x/artifacts", str(tmp_path / "theirs")):
        point(plain_sqlite, kind, uri)
        [found] = mlporter.inspect(url).losses
        assert (found.kind, found.reason) == (kind, "outside")
        [same] = unexpected(mlporter.export(url, tmp_path / f"bundle-{len(uri)}"))
        assert found == same
        execute(url, "DELETE FROM trace_tags", "DELETE FROM trace_info")
    assert stranger.asked == []
    if not kind.startswith("trace"):
        shown = cli("inspect", url)
        assert (shown.code, "theirs" in "".join(shown.out.split())) == (0, True)
        assert mlporter.inspect(url, allow_root=[tmp_path]).losses == ()
