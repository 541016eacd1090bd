"""samples/dask: two workers on this machine, started by the line that docs/scale.md prints."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import mlporter
from tests.support.forks import commands

if TYPE_CHECKING:
    from tests.support.plain_registry import PlainRegistry

ROOT = Path(__file__).parents[2]
SAMPLE = "samples/dask/two-workers.sh"


def test_two_workers_export_and_verify(plain_sqlite: PlainRegistry, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"(?m)^sh {SAMPLE} .*$", page)
    assert line in (ROOT / SAMPLE).read_text(encoding="utf-8")
    made = {"sqlite:///mlflow.db": plain_sqlite.tracking_uri, "backup": str(tmp_path / "backup")}
    words = [made.get(word, word) for word in shlex.split(line)]
    # Whoever is killed by the script is a process of its own; mlporter ends by itself.
    programs = commands(tmp_path / "bin")
    (programs / "python").unlink()
    path = (str(programs), str(Path(sys.executable).parent), os.environ["PATH"])
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "PATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    assert mlporter.diff(plain_sqlite.tracking_uri, str(tmp_path / "backup")).identical
