"""Servers as people run them: with workspaces, behind a log-in, without a proxy for files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import mlflow
import pytest

import mlporter
from mlporter.errors import AccessDeniedError, ExitCode, UnreachableError
from tests.support import basic_auth
from tests.support.basic_auth import ANN
from tests.support.faulty_server import Answer, as_json
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.processes import mlflow_server
from tests.support.rich_registry import add_workspace
from tests.support.served import ROLLUPS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.faulty_server import FaultyServer
    from tests.support.rich_registry import RichRegistry


def forget_rollups(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in ROLLUPS:
            connection.execute(f"DELETE FROM {table}")


@pytest.fixture
def rich_copy(rich_sqlite_private: RichRegistry) -> RichRegistry:
    forget_rollups(rich_sqlite_private.database_path)
    return rich_sqlite_private


def test_all_workspaces(rich_copy: RichRegistry, tmp_path: Path):
    add_workspace(rich_copy)
    tables = {"experiments", "runs", "metrics", "registered_models", "model_versions", "tags"}
    with mlflow_server(
        rich_copy.tracking_uri, tmp_path / "files", "--enable-workspaces"
    ) as address:
        part = mlporter.Selection(only=("experiments", "models"))
        report = mlporter.diff(rich_copy.tracking_uri, address, selection=part, artifacts="none")
        inventory = mlporter.inspect(address)
        with pytest.raises(mlporter.MlporterError, match="team-c"):
            mlporter.export(
                address,
                str(tmp_path / "none"),
                selection=mlporter.Selection(workspaces=("team-c",)),
            )
    assert inventory.workspaces == ("default", "team-b")
    assert [d for d in report.differences if d.table in tables] == []
    assert report.tables["experiments"].same == 6


def test_behind_basic_auth(
    rich_copy: RichRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = basic_auth.settings(tmp_path)
    with mlflow_server(
        rich_copy.tracking_uri, tmp_path / "files", *basic_auth.OPTIONS, **settings
    ) as address:
        basic_auth.make_ann(address, rich_copy.runs.experiment_id, tmp_path)
        with pytest.raises(AccessDeniedError, match="401"):
            mlporter.inspect(address)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ANN[0])
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ANN[1])
        result = mlporter.export(address, str(tmp_path / "part"), artifacts="none", workers=2)
    assert result.exit_code == ExitCode.INCOMPLETE
    carried = {table.table: table.copied for table in result.tables}
    assert (carried["experiments"], carried["runs"]) == (1, 13)
    denied = {item.kind for item in result.left_out.first if item.reason == "denied"}
    assert {"webhooks", "evaluation datasets", "gateway"} <= denied


def test_without_a_proxy_for_files(mlflow_sqlite: Path, tmp_path: Path):
    """Files lie in a folder of the server's machine: here they are read where they are."""
    url, root = sqlite_url(mlflow_sqlite), tmp_path / "root"
    options = ("--no-serve-artifacts", "--default-artifact-root", str(root))
    with mlflow_server(url, tmp_path / "files", *options) as address:
        with mlflow_at(address):
            client = mlflow.MlflowClient()
            run = client.create_run(client.create_experiment("e")).info.run_id
            client.log_text(run, "text", "deep/er/file.txt")
        here = mlporter.export(address, str(tmp_path / "here"))
        # On another machine the folder is not there: the server sends the files.
        elsewhere = mlporter.export(
            address, str(tmp_path / "elsewhere"), uri_map=(f"{root}=/nonexistent",)
        )
    for result in (here, elsewhere):
        assert (result.files.files, result.exit_code) == (1, ExitCode.OK)


def test_files_behind_the_proxy(mlflow_sqlite: Path, tmp_path: Path):
    names = ("a b.txt", "ünï/cödé 🦆.txt", "question?.txt", "empty")
    refused = ("hash#tag.txt", "per%20cent.txt")
    """MLflow's server lists them, and sends them to nobody: it takes their names for attacks."""
    with mlflow_server(sqlite_url(mlflow_sqlite), tmp_path / "files") as address:
        with mlflow_at(address):
            client = mlflow.MlflowClient()
            experiment = client.create_experiment("e")
            run = client.create_run(experiment).info.run_id
        place = tmp_path / "files" / experiment / run / "artifacts"
        for name in (*names, *refused):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(name if name != "empty" else "")
        with (place / "big.bin").open("wb") as big:
            big.truncate(30_000_000)
        result = mlporter.export(address, str(tmp_path / "backup"))
        with mlporter.open(str(tmp_path / "backup")) as bundle:
            rows = bundle.read("artifacts").read_all().to_pylist()
        assert {row["path"]: row["size"] for row in rows} == {
            "big.bin": 30_000_000,
            **{name: len(name.encode()) if name != "empty" else 0 for name in names},
        }
    lost = {item.path for item in result.left_out.first if not item.expected}
    assert (lost, result.exit_code) == (set(refused), ExitCode.INCOMPLETE)


# --- What is no MLflow server ---------------------------------------------------------------------


def test_another_web_server(faulty: FaultyServer):
    faulty.says("/version", Answer(200, b"<html><title>Shop</title></html>", kind="text/html"))
    with pytest.raises(UnreachableError, match="404"):
        mlporter.inspect(faulty.address)


def test_a_log_in_page_everywhere(faulty: FaultyServer):
    page = Answer(200, b"<html><title>Log in</title></html>", kind="text/html")
    for path in ("/version", "/api/2.0/mlflow/experiments/search"):
        faulty.says(path, page)
    with pytest.raises(UnreachableError, match="HTML page and not with JSON: Log in"):
        mlporter.inspect(faulty.address)


def test_a_history_that_may_be_cut_is_asked_for_again(faulty: FaultyServer):
    """``get-history-bulk`` stops at 25,000 points without a word."""
    from mlporter.stores.rest.client import Client  # noqa: PLC0415
    from mlporter.stores.server.reading.metric_histories import History  # noqa: PLC0415

    point = {"key": "m", "value": 1.0, "timestamp": 1, "step": 0}
    cut = [{**point, "run_id": "a", "step": n} for n in range(24_999)] + [{**point, "run_id": "b"}]
    faulty.says("/ajax-api/2.0/mlflow/metrics/get-history-bulk", as_json({"metrics": cut}))
    faulty.says(
        "/api/2.0/mlflow/metrics/get-history",
        as_json({"metrics": [point], "next_page_token": "x"}),
        as_json({"metrics": [point, point]}),
    )
    client = Client(faulty.address)
    batches = list(History(client, bulk=True).read("m", ["a", "b"]))
    assert [batch["run_uuid"].to_pylist() for batch in batches] == [["a"], ["a", "a"], ["b", "b"]]
    client.close()
