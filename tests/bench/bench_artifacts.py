"""How long artifact files take, against `cp -r` and `sha256sum` of the same files.

pytest -m bench -n 0 -s tests/bench/bench_artifacts.py
"""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

import mlporter
from tests.bench.measuring import Sheet, best
from tests.support.databases import execute, rows
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import fill_metrics

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

RUNS = 200


@pytest.fixture
def source(mlflow_sqlite, tmp_path):
    """A database with runs that have a place for artifacts each, and that place."""
    url, root = sqlite_url(mlflow_sqlite), tmp_path / "artifacts"
    fill_metrics(url, runs=RUNS, keys=1, steps=1)
    execute(
        url,
        f"UPDATE runs SET artifact_uri = replace(artifact_uri, '/nowhere', '{root}')",
        f"UPDATE experiments SET artifact_location = '{root}' WHERE name LIKE 'bulk%'",
    )
    return url, root


def folders(url):
    return [Path(uri) for (uri,) in rows(url, "SELECT artifact_uri FROM runs ORDER BY 1")]


def measure(sheet, source, template, tmp_path):
    url, root = source
    bundle, copied, target = tmp_path / "bundle", tmp_path / "copied", tmp_path / "target.db"

    def fresh():
        shutil.rmtree(copied, ignore_errors=True)
        target.unlink(missing_ok=True)
        copy_sqlite(template, target)

    def unix():
        """Copy, hash, and wait until it is on the disk, as export and import do."""
        subprocess.run(["cp", "-r", root, copied], check=True)
        files = [path for path in copied.rglob("*") if path.is_file()]
        subprocess.run(["sha256sum", *files], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["sync", "-f", copied], check=True)

    def import_():
        mlporter.import_(str(bundle), sqlite_url(target), artifact_root=str(copied))

    reference = best(unix, fresh)
    sheet.line("reference: cp -r, sha256sum, sync", reference)
    exporting = best(
        lambda: mlporter.export(url, str(bundle)),
        lambda: shutil.rmtree(bundle, ignore_errors=True),
    )
    sheet.line("export", exporting, reference=reference)
    sheet.line("verify", best(lambda: mlporter.verify(str(bundle))), reference=reference)
    sheet.line("import, with reading back", best(import_, fresh), reference=reference)
    sheet.line("diff", best(lambda: mlporter.diff(str(bundle), url)), reference=reference)


def test_many_small_files(source, mlflow_sqlite_template, tmp_path):
    make = random.Random(0)
    for folder in folders(source[0]):
        folder.mkdir(parents=True)
        for number in range(10):
            (folder / f"{number}.txt").write_bytes(make.randbytes(4_000))
    measure(
        Sheet("2,000 files of 4 kB", 10 * RUNS, "files"), source, mlflow_sqlite_template, tmp_path
    )


def test_one_large_file(source, mlflow_sqlite_template, tmp_path):
    make = random.Random(0)
    folder = folders(source[0])[0]
    folder.mkdir(parents=True)
    with (folder / "large.bin").open("wb") as file:
        for _ in range(1_000):
            file.write(make.randbytes(1_000_000))
    measure(Sheet("One file of 1 GB", 1_000, "MB"), source, mlflow_sqlite_template, tmp_path)
