"""Artifact files, against `cp -r` and `sha256sum` of the same files.

    pytest -m bench -n 0 -s tests/bench/bench_artifacts.py

MLPORTER_BENCH_FILES says how much of the workload (2 GB in 2,000 files; 100,000 files of 1 kB)
there is: 1 unless told, 0.1 for a tenth.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from itertools import count
from pathlib import Path

import pytest

import mlporter
from tests.bench import ratios
from tests.support.databases import execute, rows
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import fill_metrics

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

SHARE = float(os.environ.get("MLPORTER_BENCH_FILES", "1"))
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


def write_files(url, each, size):
    """So many files of so many bytes for each run; none is like another."""
    make = random.Random(0)
    for (uri,) in rows(url, "SELECT artifact_uri FROM runs ORDER BY 1"):
        folder = Path(uri)
        folder.mkdir(parents=True)
        for number in range(each):
            (folder / f"{number}.bin").write_bytes(make.randbytes(size))


def measure(name, source, template, tmp_path, *, write, check, read):
    """Measure all verbs; `write`, `check` and `read` are the ratios to be reached by them."""
    url, root = source
    # Nothing is removed in between: ext4 takes ten times as long for a new file while there are
    # many that were just removed.
    new = (tmp_path / str(number) for number in count())
    bundle = tmp_path

    def copy_and_hash():
        copied = next(new)
        subprocess.run(["cp", "-r", root, copied], check=True)
        hash_all(copied)

    def export():
        nonlocal bundle
        bundle = next(new)
        mlporter.export(url, str(bundle))

    ours, reference = ratios.side_by_side(export, copy_and_hash)
    ratios.add(f"{name}: export / cp -r and sha256sum", ours, reference, write)
    ours, reference = ratios.side_by_side(
        lambda: mlporter.backup(url, str(next(new))), copy_and_hash
    )
    ratios.add(f"{name}: first backup / cp -r and sha256sum", ours, reference, write)
    ours, reference = ratios.side_by_side(
        lambda: mlporter.verify(str(bundle)), lambda: hash_all(root)
    )
    ratios.add(f"{name}: verify / sha256sum of the files", ours, reference, check)

    def import_():
        folder = next(new)
        copy_sqlite(template, folder / "target.db")
        target = sqlite_url(folder / "target.db")
        mlporter.import_(str(bundle), target, artifact_root=str(folder / "artifacts"))

    ours, reference = ratios.side_by_side(import_, copy_and_hash, times=2)
    ratios.add(f"{name}: import / cp -r and sha256sum", ours, reference, read)
    shutil.rmtree(tmp_path)


def hash_all(folder):
    find = f"find {folder} -type f -print0 | xargs -0 sha256sum > /dev/null"
    subprocess.run(["bash", "-c", find], check=True)


def test_large_files(source, mlflow_sqlite_template, tmp_path):
    write_files(source[0], each=10, size=round(SHARE * 1_000_000))
    gigabytes = f"{2 * SHARE:g} GB in 2,000 files"
    reach = {"write": 1.2, "check": 1.5, "read": 1.2}
    measure(gigabytes, source, mlflow_sqlite_template, tmp_path, **reach)


def test_many_small_files(source, mlflow_sqlite_template, tmp_path):
    each = round(SHARE * 500)
    write_files(source[0], each=each, size=1_000)
    reach = {"write": 1.0, "check": 1.0, "read": 1.5}
    name = f"{RUNS * each:,} files of 1 kB"
    measure(name, source, mlflow_sqlite_template, tmp_path, **reach)
