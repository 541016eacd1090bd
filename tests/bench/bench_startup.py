"""What a command costs before it does anything: processor time of small jobs.

    pytest -m bench -n 0 -s tests/bench/bench_startup.py

Processor time, as other load on the machine changes it less than the time on the clock.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.bench import ratios
from tests.support.mlflow_session import sqlite_url

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]


def processor_time(*command):
    """Seconds of the cheapest of seven runs of a command."""
    took = []
    for _ in range(7):
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
    import mlporter  # noqa: PLC0415 -- the others run it as a command

    source, bundle = sqlite_url(plain_sqlite.database_path), str(tmp_path / "bundle")
    mlporter.export(source, bundle)
    command = (sys.executable, "-m", "mlporter")
    reference = processor_time(sys.executable, "-c", "import click, pyarrow")
    for name, arguments in {
        "mlporter --help": ("--help",),
        "mlporter verify --help": ("verify", "--help"),
        "mlporter verify of a bundle of 8 kB": ("verify", bundle),
    }.items():
        ours = processor_time(*command, *arguments)
        ratios.add(f"start: {name} / import click, pyarrow", ours, reference, 1.5)
