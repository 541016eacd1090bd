"""What a command costs before it does anything: processor time of small jobs.

    pytest -m bench -n 0 -s tests/bench/bench_startup.py

Processor time, as other load on the machine changes it less than the time on the clock.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.mlflow_session import sqlite_url

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]


def processor_time(*command):
    """Seconds of the cheapest of five runs of a command."""
    took = []
    for _ in range(5):
        before = os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = os.times()
        took.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    return min(took)


def test_small_jobs(plain_sqlite, tmp_path):
    source, bundle = sqlite_url(plain_sqlite.database_path), str(tmp_path / "bundle")
    mlporter = (sys.executable, "-m", "mlporter")
    commands = {
        "python -c pass": (sys.executable, "-c", "pass"),
        "import pyarrow.parquet": (sys.executable, "-c", "import pyarrow.parquet"),
        "import pandas": (sys.executable, "-c", "import pandas"),
        "import mlflow": (sys.executable, "-c", "import mlflow"),
        "mlporter --help": (*mlporter, "--help"),
        "mlporter export": (*mlporter, "export", source, bundle, "--restart"),
        "mlporter verify": (*mlporter, "verify", bundle),
        "mlporter inspect": (*mlporter, "inspect", bundle),
        "mlporter diff": (*mlporter, "diff", bundle, source),
    }
    print()
    for name, command in commands.items():
        print(f"  {name:<24} {processor_time(*command):6.2f} s")
