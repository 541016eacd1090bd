"""Jobs of a GitHub workflow, run here: the commands of its YAML, with its environment.

Actions are stood in for: checkout copies the working tree of a repository, artifacts are folders.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Workflow"]


@dataclass
class Workflow:
    """A workflow file, and what an event and the settings of a repository give it.

    Attributes:
        file: The YAML.
        repository: The folder that is checked out.
        scratch: Where artifacts, and the folders of jobs, are.
        values: What expressions are, by their text; others are an error.
        tools: A folder that comes first on the path.
    """

    file: Path
    repository: Path
    scratch: Path
    values: dict[str, str] = field(default_factory=dict)
    tools: Path | None = None

    @property
    def document(self) -> dict[str, Any]:
        return yaml.safe_load(self.file.read_text(encoding="utf-8"))

    def job(self, name: str) -> tuple[int, str, Path]:
        """Run a job; its exit code, what it printed, and its folder."""
        folder = self.scratch / f"{name}-{len(list(self.scratch.iterdir()))}"
        folder.mkdir()
        job = self.document["jobs"][name]
        environment = self._environment(folder) | self._env(self.document) | self._env(job)
        code, said = 0, ""
        for step in job["steps"]:
            if code and "!cancelled()" not in str(step.get("if", "")):
                continue
            if "uses" in step:
                self._use(step["uses"].partition("@")[0], step.get("with", {}), folder)
                continue
            assert self.document["defaults"]["run"]["shell"] == "bash"
            shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            done = subprocess.run(
                shell,
                cwd=folder,
                env=environment | self._env(step),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            code, said = code or done.returncode, said + done.stdout
        return code, said, folder

    def artifact(self, name: str) -> Path:
        """The folder of an artifact."""
        return self.scratch / "artifacts" / name

    def _environment(self, folder: Path) -> dict[str, str]:
        tools = [str(self.tools)] if self.tools else []
        path = [*tools, str(Path(sys.executable).parent), os.environ["PATH"]]
        return {
            **os.environ,
            "PATH": os.pathsep.join(path),
            "GITHUB_STEP_SUMMARY": str(folder.with_suffix(".summary")),
            "GITHUB_REPOSITORY": "us/registry",
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_RUN_ID": "4711",
        }

    def _env(self, part: dict[str, Any]) -> dict[str, str]:
        return {name: self._filled(str(value)) for name, value in part.get("env", {}).items()}

    def _filled(self, text: str) -> str:
        while "${{" in text:
            before, _, rest = text.partition("${{")
            inside, _, after = rest.partition("}}")
            text = f"{before}{self.values[inside.strip()]}{after}"
        return text

    def _use(self, action: str, given: dict[str, Any], folder: Path) -> None:
        if action == "actions/checkout":
            shutil.copytree(self.repository, folder, dirs_exist_ok=True)
        elif action == "actions/upload-artifact":
            for path in given["path"].split():
                into = self.artifact(given["name"])
                if (folder / path).is_dir():
                    # A single folder is the root of the artifact, of several each has its name.
                    into = into if len(given["path"].split()) == 1 else into / path
                    shutil.copytree(folder / path, into, dirs_exist_ok=True)
                elif (folder / path).exists():
                    into.mkdir(parents=True, exist_ok=True)
                    shutil.copy(folder / path, into)
        elif action == "actions/download-artifact":
            shutil.copytree(self.artifact(given["name"]), folder / given["path"])
        else:
            assert action == "actions/setup-python"
