"""Every command of the README is run, in its order, and its output is what the README shows.

After a change of output: MLPORTER_UPDATE_README=1 pytest tests/test_readme.py -n 0
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mlporter.cli.app import VERBS
from mlporter.quickstart.train_and_register import train_and_register
from tests.support.engines import S3, Postgres
from tests.support.file_stores import FolderStore, put
from tests.support.forks import commands
from tests.support.old_databases import copy_old
from tests.support.processes import mlflow_server

README = Path(__file__).parents[1] / "README.md"
UPDATE = "MLPORTER_UPDATE_README"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# What is another at every run: ids, sums, times, sizes that depend on versions of libraries.
VARYING = [
    (r"\d{4}-\d\d-\d\dT\d{6}Z-[0-9a-f]{8}", "<snapshot>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?", "<time>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>"),
    (r"\b[0-9a-f]{32,64}\b", "<id>"),
    (r"\b[0-9a-f]{12}…", "<id>"),
    (r"-[0-9a-f]{8}\.yaml\b", "-<id>.yaml"),
    (r"\bby +\S+@\S+", "by <who>"),
    (r"\b\d+\.\d{6,}\b", "<number>"),
    (r"\d+(\.\d+)? (B|kB|MB|GB)\b", "<size>"),
    (r"\b(in|after) \d+(\.\d+)? (s|min)\b", "in <seconds>"),
    (r"[─━-]{3,}", "---"),
    (r" +", " "),
]


class Session:
    """A terminal in which the README is typed: real places stand behind the README's names."""

    def __init__(self, folder: Path, places: dict[str, str], environment: dict[str, str]) -> None:
        self.folder = folder
        self.places = dict(sorted(places.items(), key=lambda item: -len(item[0])))
        self.environment = environment

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", self.with_places(command)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return self.with_names(done.stdout)

    def with_places(self, text: str) -> str:
        for name, place in self.places.items():
            text = text.replace(name, place)
        return text

    def with_names(self, text: str) -> str:
        for name, place in self.places.items():
            text = text.replace(place, name)
        lines = [line.rstrip() for line in text.strip("\n").splitlines()]
        return "".join(f"{line}\n" for line in lines)

    def python(self, code: str) -> None:
        code = self.with_places(code)
        subprocess.run(
            ["bash", "-c", 'python -c "$0"', code],
            cwd=self.folder,
            env=self.environment,
            check=True,
        )


@pytest.fixture
def session(tmp_path: Path, postgres: Postgres, s3: S3) -> Iterator[Session]:
    folder = tmp_path / "home"
    folder.mkdir()
    copy_old("1.30.1", folder).rename(folder / "old-1.30.db")
    old_file_store(folder / "old-mlruns")
    train_and_register(f"sqlite:///{folder}/mlflow.db", str(folder / "mlartifacts"))
    databases = [postgres.plain(postgres.new_database()) for _ in range(2)]
    places = {
        "postgresql://mlflow@localhost/mlflow": databases[0],
        "postgresql://mlflow@localhost/prod": databases[1],
        "/srv/mlartifacts": str(tmp_path / "srv"),
        "s3://bucket/mlflow": f"{s3.new_bucket()}/mlflow",
    }
    path = f"{commands(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "100"}
    with ExitStack() as servers:
        for name in ("dev", "prod"):
            address = servers.enter_context(server(folder, tmp_path / name))
            places[f"http://{name}:5000"] = address
        yield Session(folder, places, environment)


@contextmanager
def server(home: Path, folder: Path) -> Iterator[str]:
    """``dev`` serves a copy of the registry, ``prod`` a new one."""
    folder.mkdir()
    if folder.name == "dev":
        shutil.copy(home / "mlflow.db", folder / "mlflow.db")
    with mlflow_server(f"sqlite:///{folder}/mlflow.db", folder / "files") as address:
        yield address


def old_file_store(root: Path) -> None:
    """A store as people have them: two experiments of one name, and points written twice."""
    store = FolderStore(root)
    store.experiment("0", "Default")
    run = store.run(store.experiment("1", "prices"))
    put(run / "params" / "depth", "3")
    put(run / "metrics" / "rmse", "1600000000000 0.5 0\r\n1600000001000 0.25 1\r\n" * 2)
    put(run / "artifacts" / "model.txt", "a model")
    store.run(store.experiment("2", "prices", trash=True))


def steady(text: str) -> list[str]:
    """All words; where lines end hangs on how long a real address is that has a short name here."""
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return text.split()


def shown_commands(block: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output shown below it."""
    found: list[tuple[str, str]] = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].strip(), ""))
        else:
            command, output = found[-1]
            found[-1] = (command, output + line)
    return found


@pytest.mark.timeout(1800)
def test_every_command_does_what_the_readme_shows(session: Session) -> None:
    text = README.read_text(encoding="utf-8")
    assert shutil.which("sha256sum")
    new, end, ran = [], 0, 0
    for block in BLOCK.finditer(text):
        new.append(text[end : block.start(2)])
        end = block.end(2)
        if block[1] == "python":
            session.python(block[2])
            new.append(block[2])
            continue
        for command, shown in shown_commands(block[2]):
            real = session.run(command)
            quiet = "mlflow db upgrade" in command  # its log is not ours
            if not quiet and UPDATE not in os.environ:
                assert steady(shown) == steady(real), command
            new.append(f"$ {command}\n{'' if quiet else real}")
            ran += 1
    assert ran >= 12
    if UPDATE in os.environ:
        README.write_text("".join(new) + text[end:], encoding="utf-8")
    sums = subprocess.run(
        ["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=session.folder / "backup", check=False
    )
    assert sums.returncode == 0


def test_the_readme_names_every_verb() -> None:
    text = README.read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"mlporter {verb}" not in text] == []
