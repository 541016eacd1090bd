"""File stores through every verb: what is told of damage, what databases hold once, and where."""

from __future__ import annotations

import pytest

import mlporter
from mlporter.errors import UnsupportedError
from tests.support.databases import rows, tree
from tests.support.engines import copy_sqlite
from tests.support.file_stores import FolderStore, put
from tests.support.mlflow_session import mlflow_at, sqlite_url

LONG_ID = "123456789012345678"


@pytest.fixture
def store(tmp_path):
    """A store with a metric of which one point was written three times."""
    made = FolderStore(tmp_path / "mlruns")
    made.experiment("0", "Default")
    run = made.run(made.experiment("1", "twice"))
    put(run / "metrics" / "loss", "1 0.5 0\n1 0.5 0\n2 0.25 1\n1 0.5 0\n")
    put(run / "artifacts" / "model" / "weights", "1 2 3")
    return made


@pytest.fixture
def target(mlflow_sqlite_template, tmp_path):
    """The URL of a database with MLflow's tables and nothing in it."""
    copy_sqlite(mlflow_sqlite_template, tmp_path / "target.db")
    return sqlite_url(tmp_path / "target.db")


def told(result):
    """What was left out by rule: kind, id and reason."""
    return [(e.kind, e.id, e.reason) for e in result.left_out.first if e.expected]


def carried(result, table):
    return next(found.copied for found in result.tables if found.table == table)


def test_a_bundle_holds_a_line_as_often_as_the_store_and_a_database_once(store, target, tmp_path):
    bundle = str(tmp_path / "bundle")
    exported = mlporter.export(str(store.root), bundle)
    assert (int(exported.exit_code), carried(exported, "metrics")) == (0, 4)
    assert mlporter.verify(bundle).exit_code == 0
    assert mlporter.diff(str(store.root), bundle).identical

    imported = mlporter.import_(bundle, target, artifact_root=str(tmp_path / "root"))
    assert (int(imported.exit_code), carried(imported, "metrics")) == (0, 2)
    assert told(imported) == [("table", "metrics", "duplicate")]
    assert "2 rows are exactly like others" in imported.left_out.first[0].detail
    sql = "SELECT step, timestamp, value FROM metrics ORDER BY step"
    assert rows(target, sql) == [(0, 1, 0.5), (1, 2, 0.25)]
    assert mlporter.diff(bundle, target).identical
    assert mlporter.diff(str(store.root), target).identical
    assert not mlporter.diff(bundle, target, strict=True).identical


def test_a_second_copy_changes_nothing(store, target, tmp_path):
    first = mlporter.copy(str(store.root), target, artifact_root=str(tmp_path / "root"))
    again = mlporter.copy(str(store.root), target, artifact_root=str(tmp_path / "root"))
    assert (carried(first, "metrics"), carried(again, "metrics")) == (2, 0)
    assert again.exit_code == 0


def test_what_cannot_be_read_is_in_every_result(store, target, tmp_path):
    bad = store.run(store.root / "1")
    put(bad / "meta.yaml", "")
    bundle = str(tmp_path / "bundle")
    results = [
        mlporter.export(str(store.root), bundle),
        mlporter.copy(str(store.root), target, artifacts="none", dry_run=True),
        mlporter.copy(str(store.root), target, artifacts="none"),
    ]
    for result in results:
        (entry,) = (entry for entry in result.left_out.first if not entry.expected)
        assert (entry.kind, entry.id, entry.detail) == ("runs", bad.name, "line 1: is empty")
        assert result.exit_code == 3
    with mlporter.open(bundle) as registry:
        assert registry.read("left_out").read_all()["id"].to_pylist() == [bad.name]
    report = mlporter.diff(str(store.root), target, artifacts="none")
    assert (report.exit_code, report.tables["runs"].unreadable) == (1, 1)
    inventory = mlporter.inspect(str(store.root))
    assert [entry.id for entry in inventory.losses] == [bad.name]


def test_long_ids_of_experiments_get_short_ones_in_postgresql(
    mlflow_postgres_url, postgres, tmp_path
):
    store = FolderStore(tmp_path / "mlruns")
    run = store.run(store.experiment(LONG_ID, "long"))
    put(run / "params" / "p", "x")
    store.run(store.experiment("3", "short"))
    store.experiment("0", "Default")
    url = postgres.plain(mlflow_postgres_url)
    result = mlporter.copy(str(store.root), url, artifacts="reference")
    assert result.exit_code == 0
    assert [(one.kind, one.old) for one in result.renamed] == [("experiment id", LONG_ID)]
    found = dict(rows(url, "SELECT name, experiment_id FROM experiments"))
    assert found["short"] == 3
    assert found["long"] < 2**31
    sql = f"SELECT experiment_id FROM runs WHERE run_uuid = '{run.name}'"
    assert rows(url, sql) == [(found["long"],)]
    assert mlporter.diff(str(store.root), url, artifacts="none").identical


def test_a_part_of_a_store(mlflow_file_store, target, tmp_path):
    selection = mlporter.Selection(models=("registered",))
    result = mlporter.copy(
        str(mlflow_file_store), target, artifact_root=str(tmp_path / "root"), selection=selection
    )
    assert result.exit_code == 0
    names = rows(target, "SELECT name FROM registered_models")
    assert names == [("registered",)]


def test_runs_are_found_by_their_metrics(mlflow_file_store, target):
    selection = mlporter.Selection(filter="metrics.loss > 1")
    result = mlporter.copy(str(mlflow_file_store), target, artifacts="none", selection=selection)
    names = [name for (name,) in rows(target, "SELECT name FROM runs ORDER BY name")]
    assert carried(result, "runs") == 3  # with its parent, and the run of a model of that
    assert {"child", "parent"} < set(names)


def test_mlflow_loads_what_was_copied(store, target, tmp_path):
    before = tree(store.root)
    mlporter.copy(str(store.root), target, artifact_root=str(tmp_path / "root"))
    with mlflow_at(target):
        from mlflow import MlflowClient  # noqa: PLC0415 -- seconds

        client = MlflowClient()
        (run,) = client.search_runs([client.get_experiment_by_name("twice").experiment_id])
        history = client.get_metric_history(run.info.run_id, "loss")
        assert [(point.step, point.value) for point in history] == [(0, 0.5), (1, 0.25)]
        local = client.download_artifacts(run.info.run_id, "model/weights", str(tmp_path))
        assert open(local).read() == "1 2 3"  # noqa: PTH123, SIM115 -- as MLflow gives it
    assert tree(store.root) == before


@pytest.mark.parametrize("verb", ["export", "copy"])
def test_nothing_is_written_into_a_file_store(store, verb):
    before = tree(store.root)
    with pytest.raises(UnsupportedError, match="is a file store"):
        getattr(mlporter, verb)(str(store.root), str(store.root))
    assert tree(store.root) == before


def test_a_database_beside_a_store_is_another_address(store, mlflow_sqlite_template):
    copy_sqlite(mlflow_sqlite_template, store.root / "mlflow.db")
    database = mlporter.inspect(sqlite_url(store.root / "mlflow.db"))
    folder = mlporter.inspect(str(store.root))
    assert (database.kind, len(database.experiments)) == ("sqlite", 1)
    assert (folder.kind, folder.experiments[1].name) == ("filestore", "twice")


def test_orphans_of_a_store_are_counted_and_carried(store, tmp_path):
    lost = store.root / "1" / ("e" * 32)
    put(lost / "artifacts" / "model" / "x", "12345")
    broken = store.run(store.root / "1")
    put(broken / "artifacts" / "y", "1")
    put(broken / "meta.yaml", "\x00")
    found = mlporter.inspect(str(store.root)).orphans
    assert (found.files, found.bytes, found.folders) == (2, 6, 2)
    exported = mlporter.export(str(store.root), str(tmp_path / "bundle"), orphans=True)
    assert exported.files.files == 3


def test_files_are_found_where_they_really_lie(tmp_path):
    store = FolderStore(tmp_path / "mlruns")
    live, gone = store.experiment("1"), store.experiment("1", "gone", trash=True)
    contents = {}
    for number, experiment in enumerate((live, gone, live)):
        run = store.run(experiment, "a" * 32 if number < 2 else "b" * 32)
        put(run / "artifacts" / "x", contents.setdefault(run, str(number)))
    (live / ("b" * 32)).rename(live / "the best")
    result = mlporter.export(str(store.root), str(tmp_path / "bundle"))
    assert (int(result.exit_code), result.files.files, result.notes) == (0, 3, ())
    with mlporter.open(str(tmp_path / "bundle")) as registry:
        sums = registry.read("artifacts").read_all()["sha256"].to_pylist()
    assert len(set(sums)) == 3
