"""`inspect` of one experiment and of one run, from a database and from a bundle of it."""

import math
import sqlite3
from contextlib import closing

import pytest

import mlporter


@pytest.fixture
def places(plain_sqlite, tmp_path):
    """A database and a bundle of it."""
    bundle = tmp_path / "bundle"
    assert mlporter.export(plain_sqlite.tracking_uri, bundle).exit_code == 0
    return plain_sqlite.tracking_uri, bundle


def test_a_run(plain_sqlite, places):
    run = plain_sqlite.run_ids[1]
    for place in places:
        found = mlporter.inspect_run(place, run)

        assert (found.run.id, found.run.name, found.run.status) == (run, "run 1", "FINISHED")
        assert found.run.end_time - found.run.start_time == 30_000
        assert found.experiment == plain_sqlite.experiment_name
        assert found.params == {"lr": "0.1", "depth": "1"}
        assert found.tags["team"] == "a"
        assert [(m.key, m.step, m.points) for m in found.metrics] == [
            ("metric 0", 2, 3),
            ("metric 1", 2, 3),
        ]
        assert found.metrics[0].value == pytest.approx(1.02)
        assert {file.path for file in found.files} == {"report.txt", "nested/same.txt"}
        assert found.file_count == 2
        assert found.file_bytes == sum(file.size for file in found.files)
        assert found.unread == ()


def test_a_run_that_has_versions(plain_sqlite, places):
    for place in places:
        found = mlporter.inspect_run(place, plain_sqlite.model_run_id)

        assert found.versions == tuple(f"{plain_sqlite.model_name}/{n}" for n in (1, 2, 3))


def test_the_last_point_is_that_of_mlflow(plain_sqlite):
    run = plain_sqlite.run_ids[0]
    with closing(sqlite3.connect(plain_sqlite.database_path)) as database, database:
        database.execute("DELETE FROM metrics WHERE run_uuid = ?", (run,))
        database.executemany(
            "INSERT INTO metrics (run_uuid, key, step, timestamp, value, is_nan)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [
                (run, "late", 1, 5, 7.0, 0),
                (run, "late", 2, 1, 8.0, 0),
                (run, "late", 2, 3, 9.0, 0),
                (run, "nan", 0, 0, 0.0, 1),
            ],
        )

    found = mlporter.inspect_run(plain_sqlite.tracking_uri, run)
    late, nan = found.metrics

    assert (late.value, late.step, late.timestamp, late.points) == (9.0, 2, 3, 3)
    assert math.isnan(nan.value)
    assert found.as_dict()["metrics"][1]["value"] == "nan"


def test_files_that_are_not_read_are_named(plain_sqlite, places):
    run = plain_sqlite.run_ids[0]
    with closing(sqlite3.connect(plain_sqlite.database_path)) as database, database:
        database.execute("UPDATE runs SET artifact_uri = '/etc' WHERE run_uuid = ?", (run,))

    found = mlporter.inspect_run(plain_sqlite.tracking_uri, run)

    assert found.file_count == 0
    assert [entry.reason for entry in found.unread] == ["outside"]


def test_an_experiment(plain_sqlite, places):
    with closing(sqlite3.connect(plain_sqlite.database_path)) as database, database:
        database.execute(
            "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?",
            (plain_sqlite.run_ids[0],),
        )
    source, bundle = places

    (one,) = mlporter.inspect_experiment(source, "plai*").experiments

    assert (one.name, one.tags) == (plain_sqlite.experiment_name, {"team": "a"})
    assert (one.runs, one.deleted_runs) == (len(plain_sqlite.run_ids), 1)
    starts = [run.start_time for run in one.newest]
    assert starts == sorted(starts, reverse=True)
    assert {run.id for run in one.newest} == {*plain_sqlite.run_ids, plain_sqlite.model_run_id}
    (before,) = mlporter.inspect_experiment(bundle, "plain").experiments
    assert (before.runs, before.deleted_runs) == (len(plain_sqlite.run_ids) + 1, 0)


def test_what_is_not_there_is_refused(plain_sqlite):
    with pytest.raises(mlporter.RefusedError):
        mlporter.inspect_run(plain_sqlite.tracking_uri, "f" * 32)
    with pytest.raises(mlporter.RefusedError):
        mlporter.inspect_experiment(plain_sqlite.tracking_uri, "no-such")
