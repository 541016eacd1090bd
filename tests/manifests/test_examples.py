"""Every file of manifests/ does what it says, between real databases and a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mlporter
from mlporter.errors import UsageError
from tests.support.databases import execute, rows
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.rich_registry import EXPERIMENT_NAME, MODEL_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.command_line import Finished
    from tests.support.engines import S3
    from tests.support.plain_registry import PlainRegistry
    from tests.support.rich_registry import RichRegistry
    from tests.support.target_server import TargetServer

FOLDER = Path(__file__).parents[2] / "manifests"


@pytest.fixture
def run(cli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Finished]:
    """Run an example with variables: ``run("merge-teams", "--dry-run", TEAM="vision")``."""

    def finished(name: str, *options: str, **variables: object) -> Finished:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, str(value))
        return cli("run", FOLDER / f"{name}.yaml", *options)

    return finished


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [file.stem for file in FOLDER.glob("*.yaml") if f'"{file.stem}"' not in text] == []


def test_the_candidate_goes_to_production_if_it_is_fit(
    run: Callable[..., Finished], plain_sqlite: PlainRegistry, server: TargetServer
) -> None:
    dev, model = plain_sqlite.client(), plain_sqlite.model_name
    with mlflow_at(plain_sqlite.tracking_uri):
        dev.log_metric(plain_sqlite.model_run_id, "rmse", 0.15)
        dev.set_registered_model_alias(model, "candidate", "3")
    places = {"DEV": plain_sqlite.tracking_uri, "PROD": server.address, "MODEL": model}
    refused = run("promote-to-prod", "--dry-run", **places)
    assert refused.code == 4
    assert "validated" in refused.err
    with mlflow_at(plain_sqlite.tracking_uri):
        dev.set_model_version_tag(model, "3", "validated", "yes")
    assert run("promote-to-prod", "--dry-run").code == 0
    assert server.client().search_registered_models() == []
    assert run("promote-to-prod").code == 0
    there = server.client().get_model_version_by_alias(model, "champion")
    assert (there.version, there.current_stage) == ("1", "Production")
    assert Path("promotion.yaml").is_file()


def test_a_backup_every_night(
    run: Callable[..., Finished], plain_sqlite: PlainRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", plain_sqlite.tracking_uri)
    assert run("nightly-backup").code == 0
    assert mlporter.verify("backups/@nightly", against=plain_sqlite.tracking_uri).exit_code == 0
    planned = run("nightly-backup", "--plan-out", "plan.json")
    assert (planned.code, "apply plan.json" in planned.out) == (0, True), planned.err


def test_snapshots_into_a_bucket_and_what_is_old_forgotten(
    run: Callable[..., Finished],
    plain_sqlite: PlainRegistry,
    s3: S3,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, repository = plain_sqlite.tracking_uri, f"{s3.new_bucket()}/backups"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", source)
    looked = run("backup-to-s3", "--dry-run", "--json", BACKUPS=repository)
    (said,) = looked.json["manifests"]
    assert (looked.code, said["result"]["dry_run"], said["result"]["snapshot"]) == (0, True, None)
    with pytest.raises(UsageError):  # nothing was made there
        mlporter.snapshots(repository)
    for _ in range(2):
        assert run("backup-to-s3").code == 0
    first, second = mlporter.snapshots(repository).snapshots
    assert first.tags == ("nightly",)
    assert first.rows["runs"] == rows(source, "SELECT count(*) FROM runs")[0][0]
    assert second.added.contents == 0
    assert mlporter.diff(source, f"{repository}@latest").identical
    (said,) = run("forget-old-backups", "--dry-run", "--json").json["manifests"]
    assert said["result"]["forgotten"] == [first.name]
    assert len(mlporter.snapshots(repository).snapshots) == 2
    assert run("forget-old-backups").code == 0
    assert [one.name for one in mlporter.snapshots(repository).snapshots] == [second.name]


def test_a_workspace_moves_and_goes_into_another(
    run: Callable[..., Finished], rich_sqlite_workspaces: RichRegistry, tmp_path: Path
) -> None:
    source, target = rich_sqlite_workspaces.tracking_uri, sqlite_url(tmp_path / "target.db")
    places = {"SOURCE": source, "TARGET": target, "ARTIFACT_ROOT": tmp_path / "files"}
    assert run("move-workspace", WORKSPACE="team-b", **places).code == 0
    part = {"workspace": ["team-b"]}
    assert mlporter.diff(source, target, selection=part).identical
    models = "SELECT DISTINCT workspace FROM registered_models"
    assert rows(target, models) == [("team-b",)]
    other = {**places, "TARGET": sqlite_url(tmp_path / "other.db")}
    assert run("workspace-to-workspace", FROM="team-b", TO="team-c", **other).code == 0
    assert rows(other["TARGET"], models) == [("team-c",)]


def test_a_file_store_becomes_a_registry_in_postgresql(
    run: Callable[..., Finished], mlflow_file_store: Path, mlflow_postgres_url: str, tmp_path: Path
) -> None:
    places = {"MLRUNS": mlflow_file_store, "DATABASE": mlflow_postgres_url}
    assert run("filestore-to-postgres", ARTIFACT_ROOT=tmp_path / "files", **places).code == 0
    differences = mlporter.diff(mlflow_file_store, mlflow_postgres_url).differences
    # MLflow's own default experiment was there before.
    assert [(one.table, one.key) for one in differences] == [("experiments", {"experiment_id": 0})]


def test_over_a_gap_without_a_network(
    run: Callable[..., Finished], plain_sqlite: PlainRegistry, server: TargetServer
) -> None:
    model = plain_sqlite.model_name
    taken = run("air-gapped-export", MODEL=model, SOURCE=plain_sqlite.tracking_uri)
    assert taken.code == 0
    assert mlporter.verify("to-carry-over").exit_code == 0
    assert run("air-gapped-import", TARGET=server.address).code == 0
    (version,) = server.client().search_model_versions(f"name='{model}'")
    assert version.version == "3"
    again = run("air-gapped-import", "--json").json["manifests"][0]["result"]
    assert (again["exit_code"], again["rows"]) == (0, 0)


def test_two_registries_keep_in_step(
    run: Callable[..., Finished], plain_sqlite: PlainRegistry, tmp_path: Path
) -> None:
    source, target = plain_sqlite.tracking_uri, sqlite_url(tmp_path / "standby.db")
    root = ["--set", f"artifact_root={tmp_path / 'files'}"]
    assert run("keep-in-step", *root, SOURCE=source, TARGET=target).code == 0
    assert mlporter.diff(source, target).identical
    run_id = plain_sqlite.run_ids[0]
    execute(source, f"UPDATE runs SET name = 'another' WHERE run_uuid = '{run_id}'")
    plan = run("keep-in-step", *root, "--plan-out", "plan.json")
    assert plan.code == 0
    assert not mlporter.diff(source, target).identical
    assert mlporter.apply("plan.json").exit_code == 0
    assert mlporter.diff(source, target).identical
    assert Path("mlporter-state").is_dir()


def test_the_registries_of_two_teams_become_one(
    run: Callable[..., Finished],
    plain_sqlite: PlainRegistry,
    rich_sqlite: RichRegistry,
    tmp_path: Path,
) -> None:
    model, other, target = (
        plain_sqlite.model_name,
        sqlite_url(tmp_path / "other.db"),
        sqlite_url(tmp_path / "shared.db"),
    )
    mlporter.copy(
        rich_sqlite.tracking_uri,
        other,
        artifact_root=tmp_path / "other-files",
        rename=[f"{MODEL_NAME}={model}", f"{EXPERIMENT_NAME}=plain"],
        selection={"models": [MODEL_NAME], "versions": ["@champion"]},
    )
    places = {"TARGET": target, "ARTIFACT_ROOT": tmp_path / "files"}
    assert run("merge-teams", TEAM="vision", SOURCE=plain_sqlite.tracking_uri, **places).code == 0
    done = run("merge-teams", "--json", TEAM="speech", SOURCE=other)
    assert done.code == 0
    names = "SELECT name FROM experiments WHERE name LIKE '%/plain' ORDER BY name"
    assert rows(target, names) == [("speech/plain",), ("vision/plain",)]
    models = rows(target, "SELECT name FROM registered_models ORDER BY name")
    assert len(models) == 2
    assert (model,) in models
    (renamed,) = (name for (name,) in models if name != model)
    assert renamed in done.out
