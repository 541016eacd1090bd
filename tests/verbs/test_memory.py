"""Memory does not grow with what is moved: rows go by in batches, and large texts in short ones."""

from __future__ import annotations

import json
import random
import sqlite3
import sys
from contextlib import closing
from functools import partial

import pytest

import mlporter
from mlporter.artifacts import scan
from mlporter.artifacts.disk import sorting, write_log
from mlporter.bundle.documents import left_out_log
from mlporter.bundle.tables import rows as rows_of_parts
from mlporter.compare import differences
from mlporter.plan.three_sides import rows
from mlporter.stores.database.engines import sqlite
from tests.support.engines import copy_sqlite
from tests.support.memory import forked_peak, traced_peak
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import fill_metrics

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MEGABYTE = 1 << 20


def peaks(source, bundle, target):
    """Peak memory of each verb, in megabytes."""
    return {
        "export": forked_peak("export", source, str(bundle)),
        "verify": forked_peak("verify", str(bundle)),
        "import": forked_peak("import", str(bundle), target, artifacts="none"),
        "diff": forked_peak("diff", str(bundle), target),
    }


def growth(small, large):
    return {verb: large[verb] - small[verb] for verb in small}


def test_four_times_the_rows_take_the_same_memory(mlflow_sqlite_template, postgres, tmp_path):
    found = []
    for steps in (150_000, 600_000):
        path = tmp_path / f"{steps}.db"
        copy_sqlite(mlflow_sqlite_template, path)
        fill_metrics(sqlite_url(path), runs=1, keys=1, steps=steps)
        target = postgres.plain(postgres.new_mlflow_database())
        found.append(peaks(sqlite_url(path), tmp_path / f"bundle {steps}", target))
        postgres.drop(target)

    # The rows alone are 36 MB more.
    assert max(growth(*found).values()) < 32, found


def test_four_times_the_large_texts_take_the_same_memory(mlflow_sqlite_template, tmp_path):
    found = []
    for spans in (40, 160):
        path, target = tmp_path / f"{spans}.db", tmp_path / f"{spans} target.db"
        copy_sqlite(mlflow_sqlite_template, path)
        copy_sqlite(mlflow_sqlite_template, target)
        add_spans(path, spans)
        found.append(peaks(sqlite_url(path), tmp_path / f"bundle {spans}", sqlite_url(target)))

    # The texts alone are 120 MB more.
    assert max(growth(*found).values()) < 80, found


def test_a_sync_holds_no_runs_that_did_not_change(mlflow_sqlite_template, tmp_path, monkeypatch):
    # What a batch of rows takes is not what is measured.
    monkeypatch.setattr(sqlite, "_MOST_ROWS", 250)
    source, target = tmp_path / "source.db", tmp_path / "target.db"
    copy_sqlite(mlflow_sqlite_template, source)

    def sync():
        state = tmp_path / "state"
        return mlporter.sync(sqlite_url(source), sqlite_url(target), artifacts="none", state=state)

    found = []
    for runs in (range(500), range(500, 2_500)):
        add_runs(source, runs)
        assert sync().rows >= 2 * len(runs)
        found.append(traced_peak(sync, tries=2))

    # The ids of 2,000 runs alone, as Python has them, take 160 kB.
    assert found[1] - found[0] < 100_000, found


def test_what_differs_is_not_held_while_it_is_decided(
    mlflow_sqlite_template, tmp_path, monkeypatch
):
    monkeypatch.setattr(sqlite, "_MOST_ROWS", 250)
    monkeypatch.setattr(differences, "_AT_ONCE", 250)
    monkeypatch.setattr(rows, "_AT_ONCE", 250)
    found = []
    for runs in (300, 900):
        source, target = tmp_path / f"source {runs}.db", tmp_path / f"target {runs}.db"
        copy_sqlite(mlflow_sqlite_template, source)
        add_runs(source, range(runs))
        places = sqlite_url(source), sqlite_url(target)
        options = {"artifacts": "none", "state": tmp_path / f"state {runs}"}
        mlporter.sync(*places, **options)
        with closing(sqlite3.connect(source)) as database, database:
            database.execute("UPDATE tags SET value = 'other'")

        def plan(places=places, options=options, runs=runs):
            planned = mlporter.sync(*places, dry_run=True, **options)
            assert planned.actions.total("update") == runs

        found.append(traced_peak(plan, tries=2))

    # With all differences it is 2 kB a run: what is decided of one is still held.
    assert found[1] - found[0] < 600 * 1_800, found


def add_runs(path, numbers):
    """Runs with a tag each."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage, status)"
            " VALUES (?, 0, 'active', 'FINISHED')",
            ((f"{number:032d}",) for number in numbers),
        )
        database.executemany(
            "INSERT INTO tags VALUES ('k', 'v', ?)", ((f"{number:032d}",) for number in numbers)
        )


def add_spans(path, count):
    """A trace with so many spans of a megabyte."""
    block = random.Random(0).randbytes(MEGABYTE // 64).hex()
    columns = "trace_id, experiment_id, span_id, name, status, start_time_unix_nano, content"
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)"
            " VALUES ('tr-1', 0, 1, 'OK')"
        )
        database.executemany(
            f"INSERT INTO spans ({columns}) VALUES ('tr-1', 0, ?, 'span', 'OK', 1, ?)",
            ((f"{n:016x}", json.dumps({"n": n, "block": block * 32})) for n in range(count)),
        )
        database.commit()


def test_the_files_of_one_run_are_never_held(mlflow_sqlite_template, tmp_path, monkeypatch):
    monkeypatch.setattr(sorting, "_FEW", 100)
    monkeypatch.setattr(scan, "_AT_FIRST", 100)
    monkeypatch.setattr(left_out_log, "_BATCH", 100)
    monkeypatch.setattr(write_log, "_IN_MEMORY", 1 << 13)
    monkeypatch.setattr(rows_of_parts, "_PYTHON_ROWS", 100)
    found = {verb: [] for verb in ("export", "verify", "diff", "copy")}
    for files in (1, 300, 1_500):
        root = tmp_path / f"{files} files"
        root.mkdir()
        path, bundle = root / "source.db", root / "bundle"
        copy_sqlite(mlflow_sqlite_template, path)
        copy_sqlite(mlflow_sqlite_template, root / "target.db")
        add_files(path, root / "mlruns/0" / f"{0:032d}" / "artifacts", files)
        source, target = sqlite_url(path), sqlite_url(root / "target.db")
        # Each worker has a megabyte of a file, even of an empty one, when chance lets it.
        calls = {
            "export": partial(mlporter.export, source, bundle, workers=1),
            "verify": partial(mlporter.verify, bundle, workers=1),
            "diff": partial(mlporter.diff, source, bundle, artifacts="listing", workers=1),
            "copy": partial(
                mlporter.copy, source, target, artifact_root=root / "target", workers=1
            ),
        }
        for verb, call in calls.items():
            found[verb].append(traced_peak(call, tries=1))

    # As a list they take 250 bytes each. What was sent is remembered with 32 bytes each.
    # The first of all imported what it needs.
    grew = {verb: (many - few) / 1_200 for verb, (_, few, many) in found.items()}
    assert max(grew.values()) < 100, (grew, found)


def add_files(path, folder, count):
    """A run with so many empty files, in the folder that is named."""
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:06d}").touch()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0",
            (str(folder.parent.parent),),
        )
        database.execute(
            "INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage, status, artifact_uri)"
            " VALUES (?, 0, 'active', 'FINISHED', ?)",
            (folder.parent.name, str(folder)),
        )
