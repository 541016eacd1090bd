"""docs/proxied-artifacts.md: a database behind a server that serves files is filled and read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow import MlflowClient

import mlporter
from tests.support.databases import rows
from tests.support.mlflow_session import sqlite_url
from tests.support.processes import mlflow_server

if TYPE_CHECKING:
    from tests.support.plain_registry import PlainRegistry

PAGE = Path(__file__).parents[2] / "docs" / "proxied-artifacts.md"
ROOT = "mlflow-artifacts:/"


def test_it_is_filled_beside_the_server_and_read_through_its_proxy(
    plain_sqlite: PlainRegistry, tmp_path: Path
) -> None:
    source, target = plain_sqlite.tracking_uri, sqlite_url(tmp_path / "served.db")
    files = tmp_path / "destination"
    done = mlporter.copy(source, target, artifact_root=ROOT, uri_map=[f"{ROOT}={files}"])
    assert done.exit_code == 0
    named = rows(target, "SELECT artifact_uri FROM runs")
    assert {uri.partition("/")[0] for (uri,) in named} == {"mlflow-artifacts:"}
    assert mlporter.export(target, tmp_path / "nothing").exit_code == 3
    with mlflow_server(target, files) as server:
        client = MlflowClient(server)
        listed = client.list_artifacts(plain_sqlite.run_ids[0])
        before = plain_sqlite.client().list_artifacts(plain_sqlite.run_ids[0])
        assert [one.path for one in listed] == [one.path for one in before] != []
        proxy = re.search(r"(/api/\S+/)`", PAGE.read_text(encoding="utf-8"))
        assert proxy
        done = mlporter.export(target, tmp_path / "bundle", uri_map=[f"{ROOT}={server}{proxy[1]}"])
    assert done.exit_code == 0
    assert mlporter.diff(source, tmp_path / "bundle").identical
