"""samples/cron and samples/kubernetes: their commands make backups, and their files are valid."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import date
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

Run = "Callable[..., subprocess.CompletedProcess[str]]"


@pytest.fixture
def run(plain_sqlite: PlainRegistry, tmp_path: Path) -> Run:
    """Run a command as a daemon does: with few variables."""

    def finished(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
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
    assert {"MLFLOW_TRACKING_URI", "BACKUPS", "MANIFEST", "KEEP_DAYS"} < settings.keys()
    assert Path(command).name == SCRIPT.name
    old, other = tmp_path / "backups" / "2026-01-01", tmp_path / "backups" / "2026-01-02"
    for folder in (old, other):
        folder.mkdir(parents=True)
    (old / "manifest.yaml").touch()  # a bundle; the other is anything
    (tmp_path / "backups" / "notes").mkdir()
    command = command.replace("/opt/mlporter/backup.sh", str(SCRIPT))
    done = run("/bin/sh", "-c", command, KEEP_DAYS=settings["KEEP_DAYS"])
    # Nothing is said, so that cron sends no mail.
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    today = tmp_path / "backups" / f"{date.today():%Y-%m-%d}"  # noqa: DTZ011 -- as `date` says it
    assert mlporter.diff(plain_sqlite.tracking_uri, today).identical
    left = {path.name for path in (tmp_path / "backups").iterdir()}
    assert left == {today.name, other.name, "notes", ".lock"}
    # Once more it is done already.
    before = (today / "manifest.yaml").read_bytes()
    assert run(SCRIPT).returncode == 0
    assert (today / "manifest.yaml").read_bytes() == before


def test_what_was_stopped_goes_on_and_nothing_old_goes_before_it_is_done(
    run: Run, plain_sqlite: PlainRegistry, tmp_path: Path
) -> None:
    today, old = tmp_path / "backups" / "2026-01-31", tmp_path / "backups" / "2025-01-01"
    old.mkdir(parents=True)
    (old / "manifest.yaml").touch()
    kept = plain_sqlite.tracking_uri.removeprefix("sqlite:///")
    shutil.move(kept, tmp_path / "away.db")
    asked = {"DATE": "2026-01-31", "KEEP_DAYS": "30"}
    done = run(SCRIPT, **asked)
    assert (done.returncode, bool(done.stderr), old.exists()) == (6, True, True)
    shutil.move(tmp_path / "away.db", kept)

    def stop(step: str, *_: object) -> None:
        if step == "copying artifacts":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mlporter.export(plain_sqlite.tracking_uri, today, on_progress=stop)
    assert today.is_dir()
    assert not (today / "manifest.yaml").exists()
    assert run(SCRIPT, **asked).returncode == 0
    assert mlporter.verify(today).exit_code == 0
    assert not old.exists()


def test_two_at_a_time_and_a_missing_setting_are_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    lock = ["flock", str(tmp_path / "backups" / ".lock"), "cat"]
    with subprocess.Popen(lock, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(b"locked\n")
        other.stdin.flush()
        other.stdout.readline()
        done = run(SCRIPT)
        other.stdin.close()
    assert (done.returncode, "at work" in done.stderr) == (7, True)
    assert run(SCRIPT, BACKUPS="").returncode == 1


def test_the_container_does_the_same(run: Run, plain_sqlite: PlainRegistry, tmp_path: Path) -> None:
    found = container()
    config = tmp_path / "config"
    config.mkdir()
    for file in (SCRIPT, MANIFEST):  # as `kubectl create configmap` says above it
        assert str(file.relative_to(ROOT)) in KUBERNETES.read_text(encoding="utf-8")
        shutil.copyfile(file, config / file.name)
    mounts = {one["mountPath"] for one in found["volumeMounts"]}
    variables = {one["name"]: one["value"] for one in found["env"]}
    assert {variables["BACKUPS"], str(Path(variables["MANIFEST"]).parent), "/tmp"} == mounts
    variables |= {
        "MLFLOW_TRACKING_URI": plain_sqlite.tracking_uri,
        "BACKUPS": str(tmp_path / "backups"),
        "HOME": str(tmp_path),
        "MANIFEST": variables["MANIFEST"].replace("/config", str(config)),
    }
    command = [part.replace("/config", str(config)) for part in found["command"]]
    done = run(*command, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    (backup,) = (tmp_path / "backups").glob("20*")
    assert mlporter.verify(backup).exit_code == 0


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
