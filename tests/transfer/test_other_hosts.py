"""Hosts that rows name: they are not asked, and nobody's password is sent to them.

Whoever may write a run may write any address into it. Whoever exports has a token, and sits in a
network that others cannot reach. The hosts here are real servers that note what they are sent.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import mlporter
from tests.support.listener import PLANTED, PROXY, listening
from tests.transfer.test_outside_files import NAMED, point, unexpected

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
    assert (mapped.exit_code, len(carried(tmp_path / "mapped/blobs"))) == (0, 1)


def test_however_it_is_spelt(plain_sqlite, stranger, tmp_path):
    for number, uri in enumerate(spellings(stranger.host)):
        point(plain_sqlite, "run", uri)
        result = mlporter.export(plain_sqlite.tracking_uri, tmp_path / f"bundle-{number}")
        assert [item.reason for item in unexpected(result)] == ["outside"], uri
        assert result.exit_code == 3
    assert stranger.asked == []
