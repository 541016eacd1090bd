"""samples/gitlab: the commands of its jobs do what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import mlporter
from tests.support.forks import commands

if TYPE_CHECKING:
    from tests.support.plain_registry import PlainRegistry

ROOT = Path(__file__).parents[2]
FILE = ROOT / "samples" / "gitlab" / "gitlab-ci.yml"
Job = "Callable[..., int]"


@pytest.fixture
def pipeline() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


@pytest.fixture
def job(pipeline: dict[str, Any], tmp_path: Path) -> Job:
    """Run a job in the folder `checkout`, as a runner does; its exit code."""
    shutil.copytree(ROOT / "manifests", tmp_path / "checkout" / "manifests")
    path = f"{commands(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}"

    def run(name: str, **variables: object) -> int:
        script = "\n".join(pipeline[name]["script"])
        given = {**pipeline["variables"], **variables}
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            cwd=tmp_path / "checkout",
            env={**os.environ, "PATH": path, **{key: str(value) for key, value in given.items()}},
            check=False,
        ).returncode

    return run


def test_the_scheduled_job_is_the_backup_of_the_other_samples(pipeline: dict[str, Any]) -> None:
    variables = pipeline["variables"]
    assert all((ROOT / variables[name]).is_file() for name in ("MANIFEST", "FORGET"))
    script = (ROOT / "samples" / "cron" / "backup.sh").read_text(encoding="utf-8")
    theirs = re.findall(r"(?m)^ *(mlporter .*)$", script)
    ours = [re.sub(r" #.*", "", line) for line in pipeline["backup"]["script"]]
    assert ours == [re.sub(r" --quiet.*", "", line) for line in theirs]


def test_what_was_planned_is_applied(job: Job, plain_sqlite: PlainRegistry, tmp_path: Path) -> None:
    folder = tmp_path / "checkout"

    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
        done = subprocess.run(
            ["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "--quiet")
    git("commit", "--allow-empty", "--quiet", "-m", "before")
    before = git("rev-parse", "HEAD")
    text = f"kind: copy\nsource: {plain_sqlite.tracking_uri}\ntarget: sqlite:///new.db\n"
    (folder / "manifests" / "one.yaml").write_text(f"{text}artifact_root: files\n")
    git("add", "manifests/one.yaml")
    git("commit", "--quiet", "-m", "one")
    assert job("plan", CI_COMMIT_BEFORE_SHA=before) == 0
    assert not (folder / "new.db").exists()
    assert [one.name for one in sorted((folder / "plans").iterdir())] == ["one.json", "one.md"]
    assert job("apply") == 0
    assert mlporter.diff(plain_sqlite.tracking_uri, f"sqlite:///{folder}/new.db").identical


def test_who_applies_is_asked_and_a_schedule_only_backs_up(pipeline: dict[str, Any]) -> None:
    assert pipeline["apply"]["rules"][-1]["when"] == "manual"
    assert pipeline["apply"]["needs"] == ["plan"]
    assert pipeline["apply"]["environment"] == "production"
    for name in ("plan", "apply"):
        first = pipeline[name]["rules"][0]
        assert (first["if"], first["when"]) == ('$CI_PIPELINE_SOURCE == "schedule"', "never")
