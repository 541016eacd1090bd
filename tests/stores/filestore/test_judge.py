"""MLflow's own `migrate-filestore` as the judge, and MLflow's client on both sides."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import warnings
from pathlib import Path

import pytest

import mlporter
from tests.support.databases import execute, rows, tree
from tests.support.engines import copy_sqlite
from tests.support.file_stores import FolderStore, put
from tests.support.mlflow_session import QUIET_ENVIRONMENT, environment, mlflow_at, sqlite_url
from tests.support.observed import differences, plain

#: What `mlflow migrate-filestore` makes up or loses, as (table, column or sign).
LOSSES = {
    ("datasets", "dataset_uuid"),  # made up
    ("inputs", "+"),
    ("inputs", "-"),
    ("inputs", "input_uuid"),
    ("input_tags", "+"),
    ("input_tags", "-"),
    ("spans", "+"),  # stay in traces.json
    ("trace_tags", "+"),  # mlflow.trace.spansLocation, which tells MLflow to look for them
    ("assessments", "created_timestamp"),  # 0: it looks for a field that MLflow does not write
    ("assessments", "last_updated_timestamp"),
    ("assessments", "value"),  # null, where it is not a plain one
    ("logged_model_metrics", "metric_value"),  # NaN becomes NULL
    ("experiments", "creation_time"),  # now, where there is none
    ("experiments", "last_update_time"),
}


@pytest.fixture(scope="session")
def schema(mlflow_sqlite_template, tmp_path_factory):
    """MLflow's empty tables, as `migrate-filestore` wants them: without the default experiment."""
    path = tmp_path_factory.mktemp("schema") / "mlflow.db"
    copy_sqlite(mlflow_sqlite_template, path)
    execute(sqlite_url(path), "DELETE FROM experiments")
    return path


def empty(schema, path):
    """The URL of a database with nothing in it."""
    copy_sqlite(schema, path)
    return sqlite_url(path)


def migrate(store, folder, schema):
    """What `mlflow migrate-filestore` makes of a store: the database's URL, or None."""
    link = folder / "source" / "mlruns"
    link.parent.mkdir(parents=True)
    link.symlink_to(store)
    url = empty(schema, folder / "migrated.db")
    quiet = contextlib.redirect_stdout(io.StringIO())
    with environment(QUIET_ENVIRONMENT), quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.store import fs2db  # noqa: PLC0415 -- seconds
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

        try:
            fs2db.migrate(link.parent, url, progress=False)
        except SQLAlchemyError:
            return None
    return url


def found(report):
    """The tables and columns in which two places differ."""
    return {
        (difference.table, what)
        for difference in report.differences
        for what in (difference.columns or (difference.sigil,))
    }


@pytest.fixture(scope="module")
def both(mlflow_file_store, schema, tmp_path_factory):
    """MLflow's file store as mlporter copies it, and as MLflow migrates it."""
    folder = tmp_path_factory.mktemp("both")
    before = tree(mlflow_file_store)
    ours = empty(schema, folder / "ours.db")
    result = mlporter.copy(str(mlflow_file_store), ours, artifact_root=str(folder / "artifacts"))
    assert int(result.exit_code) == 0
    theirs = migrate(mlflow_file_store, folder, schema)
    assert theirs is not None
    assert tree(mlflow_file_store) == before
    return ours, theirs


def test_a_copy_is_the_source(both, mlflow_file_store):
    report = mlporter.diff(str(mlflow_file_store), both[0])
    assert report.identical, report.differences


def test_a_copy_is_what_mlflow_migrates_but_for_what_that_loses(both):
    ours, theirs = both
    report = mlporter.diff(ours, theirs, artifacts="none")
    assert found(report) <= LOSSES
    assert {table for table, _ in found(report)} == {
        "assessments", "datasets", "input_tags", "inputs", "spans", "trace_tags",
    }  # fmt: skip


def test_inputs_are_the_same_but_for_their_ids(both):
    sql = """
    SELECT i.destination_type, i.destination_id, i.step, d.experiment_id, d.name, d.digest,
           d.dataset_source, d.dataset_schema, d.dataset_profile, t.name, t.value
    FROM inputs i LEFT JOIN datasets d ON d.dataset_uuid = i.source_id
    LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid
    """
    ours, theirs = (sorted(rows(url, sql), key=repr) for url in both)
    assert ours == theirs
    assert len(ours) == 3


def test_mlflow_reads_the_same_trace_from_the_copy_as_from_the_store(
    both, mlflow_file_store, tmp_path
):
    with environment({"MLFLOW_ALLOW_FILE_STORE": "true"}):
        theirs = the_trace(mlflow_file_store.as_uri())
    # A copy of the copy: MLflow writes into what it opens.
    copy_sqlite(Path(both[0].removeprefix("sqlite:///")), tmp_path / "opened.db")
    ours = the_trace(sqlite_url(tmp_path / "opened.db"))
    kept = ("mlflow.artifactLocation", "mlflow.trace.spansLocation")
    for trace in (ours, theirs):
        for tag in kept:
            trace["info"]["tags"].pop(tag, None)
        for assessment in trace["info"]["assessments"]:
            assessment.pop("valid", None)  # true where nothing is said
    assert differences(plain(theirs), plain(ours)) == []
    assert len(ours["data"]["spans"]) == 2


def the_trace(uri):
    """The only trace of a place, as MLflow's client sees it."""
    from mlflow import MlflowClient  # noqa: PLC0415 -- seconds

    with mlflow_at(uri), contextlib.redirect_stderr(io.StringIO()):
        client = MlflowClient()
        (experiment,) = client.search_experiments(filter_string="name = 'files'")
        (trace,) = client.search_traces([experiment.experiment_id])
        return client.get_trace(trace.info.trace_id).to_dict()


def test_windows_line_ends_and_awkward_names_are_what_mlflow_makes_of_them(schema, tmp_path):
    store = FolderStore(tmp_path / "mlruns")
    run = store.run(store.experiment("1", name="name: with ? * ü "))
    put(run / "metrics" / "a b" / "c", "5 0.5 1\r\n6 0.25 2\r\n")
    put(run / "metrics" / "two fields", "1544000000 0.5\n")
    put(run / "params" / "trailing ", "  padded ")
    put(run / "params" / "Case", "1")
    put(run / "params" / "case", "2")
    put(store.root / "1" / "tags" / "t", "multi\nline\n")
    store.run(
        store.experiment("2", lifecycle_stage="deleted", trash=True), lifecycle_stage="deleted"
    )
    ours, theirs = empty(schema, tmp_path / "ours.db"), migrate(store.root, tmp_path, schema)
    mlporter.copy(str(store.root), ours, artifacts="none")
    assert mlporter.diff(ours, theirs, artifacts="none").identical


REAL = Path(os.environ.get("MLPORTER_REAL_STORES", Path(__file__).parents[4] / "shared" / "wild"))
"""Stores that people committed, which are not part of the project."""


def real_stores():
    """(archive, path in it, the line of the index)."""
    index = REAL / "INDEX.tsv"
    if not index.exists():
        return []
    header, *lines = (line.split("\t") for line in index.read_text().splitlines())
    found = [dict(zip(header, line, strict=False)) for line in lines]
    return [pytest.param(row, id=f"{row['case']}-{row['store']}") for row in found
            if row["kind"] == "filestore"]  # fmt: skip


@pytest.mark.parametrize("row", real_stores() or [None])
def test_a_real_store_has_what_its_index_counts(row, schema, tmp_path):
    if row is None:
        pytest.skip(f"no real stores in {REAL}: set MLPORTER_REAL_STORES")
    root = unpacked(row, tmp_path)
    before = tree(root)
    counted = {
        "n_experiments": "experiments",
        "n_runs": "runs",
        "n_params": "params",
        "n_metric_points": "metrics",
        "n_tags": "tags",
        "n_registered_models": "registered_models",
        "n_versions": "model_versions",
    }
    with mlporter.open(str(root)) as registry:
        counts = {name: registry.count(table) for name, table in counted.items()}
    assert counts == {name: int(row[name]) for name in counted}
    ours = empty(schema, tmp_path / "ours.db")
    mlporter.copy(str(root), ours, artifacts="none")
    theirs = migrate(root, tmp_path, schema)
    if theirs is not None:
        report = mlporter.diff(ours, theirs, artifacts="none")
        trashed = {("experiments", "lifecycle_stage"), ("runs", "lifecycle_stage")}
        assert found(report) <= LOSSES | (trashed if ".trash" in row["oddities"] else set())
    assert tree(root) == before


def unpacked(row, folder):
    """The store of a line of the index."""
    archive = next(path for path in REAL.glob("*.tar.gz") if row["case"].startswith(path.name[:-7]))
    shutil.unpack_archive(archive, folder / "real", filter="data")
    return next((folder / "real").glob("*")) / row["store"]
