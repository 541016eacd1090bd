"""Pages whose sessions are typed into a terminal: blocks `console` and `python`, in their order.

What the blocks name is there: real servers, databases and buckets stand behind names such as
``http://dev:5000``. What no block names is not made, as it would take seconds.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import mlporter
from tests.support.engines import build_once, copy_sqlite
from tests.support.file_stores import FolderStore, put
from tests.support.forks import commands
from tests.support.forkserver import PYTHON
from tests.support.mlflow_session import forget_mlflow_state, mlflow_at, sqlite_url
from tests.support.old_databases import copy_old

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# What is another at every run: ids, sums, times, sizes that depend on versions of libraries.
_VARYING = [
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


def steady(text: str) -> list[str]:
    """All words; where lines end hangs on how long a real address is that has a short name here."""
    for pattern, name in _VARYING:
        text = re.sub(pattern, name, text)
    return text.split()


@dataclass(frozen=True)
class Block:
    """A block of a page, and where its text begins and ends."""

    language: str
    text: str
    start: int
    end: int

    def commands(self) -> list[tuple[str, str]]:
        """The commands of a console block, each with the output shown below it."""
        found: list[tuple[str, str]] = []
        for line in self.text.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append((line[2:].strip(), ""))
            else:
                command, output = found[-1]
                found[-1] = (command, output + line)
        return found


def blocks(page: str) -> list[Block]:
    """The blocks of a page that are run."""
    return [Block(one[1], one[2], one.start(2), one.end(2)) for one in _BLOCK.finditer(page)]


class Session:
    """A terminal in which a page is typed: real places stand behind the page's names."""

    def __init__(self, folder: Path, places: dict[str, str], environment: dict[str, str]) -> None:
        self.folder = folder
        self._places = dict(sorted(places.items(), key=lambda item: -len(item[0])))
        self._environment = environment

    def run(self, command: str) -> str:
        """What a command prints, in the page's names."""
        done = subprocess.run(
            ["bash", "-c", self._with_places(command)],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return self._with_names(done.stdout)

    def python(self, code: str) -> None:
        """Run a block of Python."""
        subprocess.run(
            ["bash", "-c", 'python -c "$0"', self._with_places(code)],
            cwd=self.folder,
            env=self._environment,
            check=True,
        )

    def _with_places(self, text: str) -> str:
        for name, place in self._places.items():
            text = text.replace(name, place)
        return text

    def _with_names(self, text: str) -> str:
        for name, place in self._places.items():
            text = text.replace(place, name)
        lines = [line.rstrip() for line in text.strip("\n").splitlines()]
        return "".join(f"{line}\n" for line in lines)


# --- What the blocks name -------------------------------------------------------------------------


class Fixtures(Protocol):
    """Where servers of databases and buckets come from, started when they are first asked for."""

    def getfixturevalue(self, argname: str) -> object:
        """What pytest's request has."""


def prepared(page: str, tmp_path: Path, shared: Path, fixtures: Fixtures) -> Session:
    """A terminal in a folder where everything is that the page's blocks name."""
    typed = "\n".join(block.text for block in blocks(page))
    folder = tmp_path / "home"
    folder.mkdir()
    for name, make in _MADE.items():
        if name in typed:
            make(folder / name.rstrip("/"), fixtures)
    trained(folder, shared)
    places = {"/srv/mlartifacts": str(tmp_path / "srv")}
    for name in sorted(set(re.findall(r"postgresql://mlflow@localhost/\w+", typed))):
        postgres = fixtures.getfixturevalue("postgres")
        places[name] = postgres.plain(postgres.new_database())
    if "s3://bucket" in typed:
        places["s3://bucket"] = fixtures.getfixturevalue("s3").new_bucket()
    for name in sorted(set(re.findall(r"http://(\w+):5000", typed))):
        places[f"http://{name}:5000"] = _server(name, folder, fixtures)
    programs = commands(tmp_path / "bin")
    own = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", PYTHON: str(programs / "python")}
    return Session(folder, places, {**os.environ, **own, "COLUMNS": "100"})


def trained(folder: Path, shared: Path) -> None:
    """``mlflow.db`` with three models; they are trained once for all pages."""

    def train(made: Path) -> None:
        from mlporter.quickstart.train_and_register import train_and_register  # noqa: PLC0415

        train_and_register(sqlite_url(made / "mlflow.db"), str(made / "mlartifacts"))
        forget_mlflow_state()
        mlporter.export(sqlite_url(made / "mlflow.db"), str(made / "bundle"))

    bundle = build_once(shared / "quickstart", train) / "bundle"
    address, root = sqlite_url(folder / "mlflow.db"), str(folder / "mlartifacts")
    assert mlporter.import_(str(bundle), address, artifact_root=root).exit_code == 0


def _server(name: str, home: Path, fixtures: Fixtures) -> str:
    """``dev`` serves a copy of the registry, ``prod`` a new one."""
    servers = {"dev": "running_server", "prod": "other_running_server"}
    server = fixtures.getfixturevalue(servers[name])
    server.reset()
    if name == "dev":
        dataclasses.replace(server, template=home / "mlflow.db").reset()
    return str(server.address)


def _old_database(path: Path, fixtures: Fixtures) -> None:
    copy_old("1.30.1", path.parent).rename(path)


def _file_store(root: Path, fixtures: Fixtures) -> None:
    """A store as people have them: two experiments of one name, and points written twice."""
    store = FolderStore(root)
    store.experiment("0", "Default")
    run = store.run(store.experiment("1", "prices"))
    put(run / "params" / "depth", "3")
    put(run / "metrics" / "rmse", "1600000000000 0.5 0\r\n1600000001000 0.25 1\r\n" * 2)
    put(run / "artifacts" / "model.txt", "a model")
    store.run(store.experiment("2", "prices", trash=True))


def _other_team(path: Path, fixtures: Fixtures) -> None:
    """Another registry, which has a model of the same name."""
    copy_sqlite(fixtures.getfixturevalue("mlflow_sqlite_template"), path)
    with mlflow_at(sqlite_url(path)):
        from mlflow import MlflowClient  # noqa: PLC0415 -- takes seconds

        client = MlflowClient()
        place = path.with_name("team-b-files").as_uri()
        run = client.create_run(client.create_experiment("churn", place), run_name="logistic")
        client.log_metric(run.info.run_id, "auc", 0.87)
        client.log_text(run.info.run_id, "a model", "model.txt")
        client.set_terminated(run.info.run_id)
        for name in ("churn", "rf_regressor"):
            client.create_registered_model(name)
            client.create_model_version(name, run.info.artifact_uri, run.info.run_id)
    forget_mlflow_state()


_MADE: Mapping[str, Callable[[Path, Fixtures], None]] = {
    "old-1.30.db": _old_database,
    "old-mlruns/": _file_store,
    "team-b.db": _other_team,
}
"""What a page may name beside `mlflow.db`, and who makes it."""
