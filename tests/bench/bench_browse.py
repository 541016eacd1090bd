"""MLflow's UI over a bundle, until its page is there, against an import of the same bundle.

    pytest -m bench -n 0 -s tests/bench/bench_browse.py

MLPORTER_BENCH_RUNS says how many runs of 500 points there are: 10,000 unless told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request

import pytest

import mlporter
from tests.bench import ratios
from tests.bench.workload import fill
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

RUNS = int(os.environ.get("MLPORTER_BENCH_RUNS", "10000"))
MORE = 5
"""Seconds that it may take beside the import: for what MLflow's server does not load meanwhile, and
for its first answer."""


def test_until_the_page_is_there(mlflow_sqlite_template, tmp_path):
    copy_sqlite(mlflow_sqlite_template, tmp_path / "mlflow.db")
    fill(sqlite_url(tmp_path / "mlflow.db"), RUNS)
    bundle, new = tmp_path / "bundle", tmp_path / "new.db"
    mlporter.export(sqlite_url(tmp_path / "mlflow.db"), bundle)

    def imports():
        words = ("import", bundle, sqlite_url(new), "--artifact-root", tmp_path / "files")
        subprocess.run([sys.executable, "-m", "mlporter", *map(str, words), "-q"], check=True)
        new.unlink()

    def browses():
        words = [sys.executable, "-m", "mlporter", "browse", str(bundle), "--no-open", "--json"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            text = ""
            while not text.endswith("}\n"):
                text += process.stdout.readline()
            with urllib.request.urlopen(json.loads(text)["url"], timeout=60) as page:  # noqa: S310
                assert b"MLflow" in page.read()
            process.terminate()

    imported, browsed = ratios.side_by_side(imports, browses, times=2)
    ratios.add(
        f"browse of {RUNS:,} runs, against import + {MORE} s", browsed, imported + MORE, reach=1.0
    )
