"""Peak memory of each verb, for a registry and for one of forty times its size.

    pytest -m bench -n 0 -s tests/bench/bench_memory.py

MLPORTER_BENCH_MEMORY_RUNS says how many runs both have: "1000,40000" unless told. Runs of 500
points without files; and, for every verb (``-k every_verb``), of ten points and a file each.
And peak memory and time of a copy, and of a sync that finds nothing changed, where there are very
many runs with little each: MLPORTER_BENCH_MANY_RUNS says how many, "50000,1000000" unless told.
tests/verbs/test_memory.py holds memory bounded with less, at every run of the tests.
"""

from __future__ import annotations

import os
import time

import pytest

from tests.bench import ratios
from tests.bench.workload import LITTLE, TEN_POINTS, fill, write_files
from tests.support.engines import copy_sqlite
from tests.support.memory import peak_memory
from tests.support.mlflow_session import sqlite_url

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

SIZES = tuple(map(int, os.environ.get("MLPORTER_BENCH_MEMORY_RUNS", "1000,40000").split(",")))
MANY = tuple(map(int, os.environ.get("MLPORTER_BENCH_MANY_RUNS", "50000,1000000").split(",")))
MOST = 500


def test_peak_memory(mlflow_sqlite_template, postgres, tmp_path):
    small, large = (
        peaks(runs, mlflow_sqlite_template, postgres, tmp_path / str(runs)) for runs in SIZES
    )
    for verb, megabytes in large.items():
        runs = f"{SIZES[1]:,} / {SIZES[0]:,} runs"
        ratios.add(f"memory: {verb}, {runs}", megabytes, small[verb], 1.2, "MB")
        ratios.add(f"memory: {verb}, {SIZES[1]:,} runs / 500 MB", megabytes, MOST, 1.0, "MB")


def test_every_verb(mlflow_sqlite_template, tmp_path, monkeypatch):
    small, large = (
        peaks_with_files(runs, mlflow_sqlite_template, tmp_path / str(runs), monkeypatch)
        for runs in SIZES
    )
    for verb, megabytes in large.items():
        line = f"memory: {verb}, {SIZES[1]:,} / {SIZES[0]:,} runs of ten points and a file"
        ratios.add(line, megabytes, small[verb], 1.2, "MB")


def test_very_many_runs(mlflow_sqlite_template, tmp_path):
    small, large = (
        copied_and_synced(runs, mlflow_sqlite_template, tmp_path / str(runs)) for runs in MANY
    )
    for verb, (megabytes, seconds) in large.items():
        line = f"{verb}, {MANY[1]:,} / {MANY[0]:,} runs with little each"
        ratios.add(f"memory: {line}", megabytes, small[verb][0], 1.2, "MB")
        ratios.add(line, seconds, small[verb][1], MANY[1] / MANY[0])


def copied_and_synced(runs, template, folder):
    """Megabytes and seconds of each verb."""
    source, target = folder / "source.db", folder / "target.db"
    copy_sqlite(template, source)
    fill(sqlite_url(source), runs, LITTLE)
    found = {}
    for verb in ("copy", "sync"):
        start = time.perf_counter()
        most = peak_memory(verb, sqlite_url(source), sqlite_url(target), artifacts="none")
        found[verb] = most, time.perf_counter() - start
    return found


def peaks(runs, template, postgres, folder):
    """The most that each verb takes, in MB."""
    source, target = folder / "source.db", folder / "target.db"
    for path in (source, target):
        copy_sqlite(template, path)
    fill(sqlite_url(source), runs)
    bundle, other = str(folder / "bundle"), str(folder / "other")
    server, second = (postgres.plain(postgres.new_mlflow_database()) for _ in range(2))
    without = {"artifacts": "none"}
    found = {
        "export from SQLite": peak_memory("export", sqlite_url(source), bundle),
        "verify": peak_memory("verify", bundle),
        "import into SQLite": peak_memory("import", bundle, sqlite_url(target), **without),
        "import into PostgreSQL": peak_memory("import", bundle, server, **without),
        "export from PostgreSQL": peak_memory("export", server, other),
        "copy from SQLite to PostgreSQL": peak_memory(
            "copy", sqlite_url(source), second, **without
        ),
        "diff of SQLite and PostgreSQL": peak_memory("diff", sqlite_url(source), server),
    }
    for url in (server, second):
        postgres.drop(url)
    return found


def peaks_with_files(runs, template, folder, monkeypatch):
    """The most that each verb takes, in MB, of runs with few points and a file each."""
    names = ("source", "imported", "copied", "synced")
    databases = {name: folder / f"{name}.db" for name in names}
    for path in databases.values():
        copy_sqlite(template, path)
    source, imported, copied, synced = map(sqlite_url, databases.values())
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    fill(source, runs, TEN_POINTS, folder / "files")
    write_files(folder / "files", runs, runs)
    bundle, repository = str(folder / "bundle"), str(folder / "repository")

    def root(name):
        return {"artifact-root": folder / "roots" / name}

    return {
        "export": peak_memory("export", source, bundle),
        "verify": peak_memory("verify", bundle),
        "import": peak_memory("import", bundle, imported, **root("imported")),
        "copy": peak_memory("copy", source, copied, **root("copied")),
        "diff": peak_memory("diff", source, copied),
        "sync": peak_memory("sync", source, synced, **root("synced")),
        "sync, nothing changed": peak_memory("sync", source, synced, **root("synced")),
        "backup": peak_memory("backup", source, repository),
        "backup, nothing changed": peak_memory("backup", source, repository),
        "find": peak_memory("find", repository, "bench*"),
        "inspect": peak_memory("inspect", source),
        "show": peak_memory("show", source, "runs"),
        "unpack": peak_memory("unpack", bundle, str(folder / "unpacked")),
    }
