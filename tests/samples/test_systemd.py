"""samples/systemd: the service makes backups, and systemd takes the files."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mlporter

if TYPE_CHECKING:
    from tests.support.plain_registry import PlainRegistry

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "samples" / "systemd"
SERVICE = FOLDER / "mlporter-backup.service"


def settings(file: Path) -> dict[str, str]:
    """What a file of settings says, by name."""
    lines = file.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def test_what_the_service_starts_makes_a_backup(
    plain_sqlite: PlainRegistry, tmp_path: Path
) -> None:
    said = settings(SERVICE)
    program, *words = shlex.split(said["ExecStart"])
    assert Path(program).name == "mlporter"
    manifests = [Path(word) for word in words if word.endswith(".yaml")]
    assert len(manifests) == 2
    words = [str(ROOT / "manifests" / Path(w).name) if Path(w) in manifests else w for w in words]
    given = settings(FOLDER / Path(said["EnvironmentFile"]).name)
    assert {"MLFLOW_TRACKING_URI", "REPOSITORY"} < given.keys()
    done = subprocess.run(
        [sys.executable, "-m", "mlporter", *words],
        env={
            "PATH": os.defpath,
            "MLFLOW_TRACKING_URI": plain_sqlite.tracking_uri,
            "REPOSITORY": str(tmp_path / "backups"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert mlporter.diff(plain_sqlite.tracking_uri, f"{tmp_path}/backups/@nightly").identical


def test_systemd_takes_the_files(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not on the path")
    for file in FOLDER.glob("mlporter-backup.*"):
        text = file.read_text(encoding="utf-8")
        (tmp_path / file.name).write_text(
            text.replace("/opt/mlporter/bin/mlporter", sys.executable)
        )
    timer = tmp_path / "mlporter-backup.timer"

    def verified() -> str:
        done = subprocess.run(
            [tool, "verify", "--man=no", timer], capture_output=True, text=True, check=False
        )
        said = (done.stdout + done.stderr).splitlines()
        return "\n".join(line for line in said if "mlporter-backup" in line)

    assert verified() == ""
    timer.write_text(timer.read_text().replace("OnCalendar=*", "OnCalendar=often"))
    assert verified() != ""
