"""Peak memory of each verb for a registry and for one of four times its size.

    pytest -m bench -n 0 -s tests/bench/bench_memory.py

tests/transfer/test_memory.py holds the same bounded with less, at every run of the tests.
"""

from __future__ import annotations

import pytest

from tests.support.engines import copy_sqlite
from tests.support.memory import peak_memory
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import fill_metrics

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

KEYS, STEPS = 10, 100


def test_peak_memory(mlflow_sqlite_template, postgres, tmp_path):
    found = []
    for runs in (500, 2_000):
        source, target = tmp_path / f"{runs}.db", tmp_path / f"{runs} target.db"
        for path in (source, target):
            copy_sqlite(mlflow_sqlite_template, path)
        fill_metrics(sqlite_url(source), runs=runs, keys=KEYS, steps=STEPS)
        bundle, other = str(tmp_path / f"bundle {runs}"), str(tmp_path / f"other {runs}")
        server = postgres.plain(postgres.new_mlflow_database())
        calls = {
            "export from SQLite": ("export", sqlite_url(source), bundle),
            "verify": ("verify", bundle),
            "import into SQLite": ("import_", bundle, sqlite_url(target)),
            "import into PostgreSQL": ("import_", bundle, server),
            "export from PostgreSQL": ("export", server, other),
            "diff of SQLite and PostgreSQL": ("diff", sqlite_url(source), server),
        }
        found.append(
            {
                name: peak_memory(*call, **({"artifacts": "none"} if call[0] == "import_" else {}))
                for name, call in calls.items()
            }
        )
        postgres.drop(server)
    small, large = found
    print(f"\nPeak memory, {500 * KEYS * STEPS:,} and {2_000 * KEYS * STEPS:,} points")
    for name, megabytes in small.items():
        ratio = large[name] / megabytes
        print(f"  {name:<32} {megabytes:6.0f} MB {large[name]:6.0f} MB  {ratio:.2f} x")
        assert ratio < 1.5
