"""samples/cron and samples/kubernetes: their commands make backups, and their files are valid."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import mlporter

if TYPE_CHECKING:
    from tests.support.plain_registry import PlainRegistry

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "samples" / "cron" / "backup.sh"
CRONTAB = ROOT / "samples" / "cron" / "crontab"
KUBERNETES = ROOT / "samples" / "kubernetes" / "backup.yaml"
MANIFEST = ROOT / "manifests" / "nightly-backup.yaml"
FORGET = ROOT / "manifests" / "forget-old-backups.yaml"

Run = "Callable[..., subprocess.CompletedProcess[str]]"


PROGRAMS = f"{Path(sys.executable).parent}:/usr/bin:/bin"


@pytest.fixture
def run(plain_sqlite: PlainRegistry, tmp_path: Path, forking_python: str) -> Run:
    """Run a command as a daemon does: with few variables, but an `mlporter` that starts at once."""

    def finished(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{Path(forking_python).parent}:{PROGRAMS}",
            "HOME": str(tmp_path),
            "MLFLOW_TRACKING_URI": plain_sqlite.tracking_uri,
            "MANIFEST": str(MANIFEST),
            "BACKUPS": str(tmp_path / "backups"),
            **variables,
        }
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return finished


def crontab() -> tuple[dict[str, str], str]:
    """The variables and the command of the crontab."""
    lines = CRONTAB.read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    *settings, job = lines
    (found,) = [re.fullmatch(r"(?:[\d*/,-]+\s+){5}(.*)", job)]
    assert found is not None
    assert "%" not in found[1].replace(r"\%", "")  # which cron takes for the end of a line
    return dict(line.split("=", 1) for line in settings), found[1]


def container() -> dict[str, Any]:
    documents = yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8"))
    (job,) = [one for one in documents if one["kind"] == "CronJob"]
    (found,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return found


def test_the_line_of_the_crontab_makes_a_backup(
    run: Run, plain_sqlite: PlainRegistry, tmp_path: Path
) -> None:
    settings, command = crontab()
    assert {"MLFLOW_TRACKING_URI", "BACKUPS", "MANIFEST", "FORGET"} < settings.keys()
    assert Path(settings["FORGET"]).name == FORGET.name
    assert Path(command).name == SCRIPT.name
    command = command.replace("/opt/mlporter/backup.sh", str(SCRIPT))
    for _ in range(2):
        done = run("/bin/sh", "-c", command, FORGET=str(FORGET))
        # Nothing is said, so that cron sends no mail.
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        (today,) = mlporter.snapshots(tmp_path / "backups").snapshots  # the last one of the day
    assert mlporter.diff(plain_sqlite.tracking_uri, f"{tmp_path}/backups/@{today.id}").identical


def test_nothing_old_goes_where_the_backup_fails(
    run: Run, plain_sqlite: PlainRegistry, tmp_path: Path
) -> None:
    for _ in range(2):
        assert run(SCRIPT).returncode == 0
    kept = plain_sqlite.tracking_uri.removeprefix("sqlite:///")
    shutil.move(kept, tmp_path / "away.db")
    done = run(SCRIPT, FORGET=str(FORGET))
    assert (done.returncode, bool(done.stderr)) == (6, True)
    assert len(mlporter.snapshots(tmp_path / "backups").snapshots) == 2


def test_a_missing_setting_is_told(run: Run) -> None:
    done = run(SCRIPT, BACKUPS="")
    assert (done.returncode, "BACKUPS" in done.stderr) == (1, True)


def test_the_container_does_the_same(run: Run, plain_sqlite: PlainRegistry, tmp_path: Path) -> None:
    found = container()
    config = tmp_path / "config"
    config.mkdir()
    for file in (SCRIPT, MANIFEST, FORGET):  # as `kubectl create configmap` says above it
        assert str(file.relative_to(ROOT)) in KUBERNETES.read_text(encoding="utf-8")
        shutil.copyfile(file, config / file.name)
    mounts = {one["mountPath"] for one in found["volumeMounts"]}
    variables = {one["name"]: one["value"] for one in found["env"]}
    assert {variables["BACKUPS"], str(Path(variables["MANIFEST"]).parent), "/tmp"} == mounts
    variables |= {
        "PATH": PROGRAMS,  # with the real one
        "PYTHONPYCACHEPREFIX": os.environ["PYTHONPYCACHEPREFIX"],
        "MLFLOW_TRACKING_URI": plain_sqlite.tracking_uri,
        "BACKUPS": str(tmp_path / "backups"),
        "HOME": str(tmp_path),
        "MANIFEST": variables["MANIFEST"].replace("/config", str(config)),
        "FORGET": variables["FORGET"].replace("/config", str(config)),
    }
    command = [part.replace("/config", str(config)) for part in found["command"]]
    done = run(*command, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert mlporter.verify(tmp_path / "backups").exit_code == 0
    assert len(mlporter.snapshots(tmp_path / "backups").snapshots) == 1


def test_kubernetes_takes_the_file() -> None:
    reason = "kubernetes-validate is not installed"
    validator = pytest.importorskip("kubernetes_validate", reason=reason)
    documents = list(yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8")))
    assert [one["kind"] for one in documents] == ["PersistentVolumeClaim", "CronJob"]
    for one in documents:
        validator.validate(one, validator.latest_version(), strict=True)
    documents[1]["spec"]["shedule"] = "0 3 * * *"
    with pytest.raises(validator.ValidationError):
        validator.validate(documents[1], validator.latest_version(), strict=True)


def test_shellcheck_finds_nothing() -> None:
    tool = shutil.which("shellcheck")
    if tool is None:
        pytest.skip("shellcheck is not on the path")
    done = subprocess.run([tool, SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert os.access(SCRIPT, os.X_OK)
