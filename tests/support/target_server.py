"""An empty ``mlflow server`` to import into, which is emptied again for the next test."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow import MlflowClient

from .engines import copy_sqlite
from .mlflow_session import sqlite_url
from .processes import mlflow_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True)
class TargetServer:
    """A server on SQLite."""

    address: str
    database: Path
    files: Path
    template: Path

    def reset(self) -> None:
        """Make it as it was when MLflow made it; it goes on running."""
        with (
            closing(sqlite3.connect(self.template)) as empty,
            closing(sqlite3.connect(self.database)) as live,
        ):
            live.execute("PRAGMA synchronous = OFF")
            empty.backup(live)
        for path in self.files.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def keep(self, folder: Path) -> None:
        """Copy what it has now into a new folder, for `put_back`."""
        folder.mkdir()
        copy_sqlite(self.database, folder / "kept.db")
        shutil.copytree(self.files, folder / "files")

    def put_back(self, folder: Path) -> None:
        """Make it as it was when that was kept; it goes on running."""
        dataclasses.replace(self, template=folder / "kept.db").reset()
        shutil.copytree(folder / "files", self.files, dirs_exist_ok=True)

    def client(self) -> MlflowClient:
        """MLflow's own client for it."""
        return MlflowClient(self.address, self.address)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """What the database behind it says."""
        with closing(sqlite3.connect(self.database)) as live:
            return live.execute(query).fetchall()

    def copy_of(self, run_id: str) -> mlflow.entities.Run:
        """The copy of a run, by MLflow's own search; there is exactly one."""
        client = self.client()
        everywhere = [e.experiment_id for e in client.search_experiments(view_type=3)]
        (found,) = client.search_runs(
            everywhere, f"tags.`mlporter.source.run_id` = '{run_id}'", run_view_type=3
        )
        return found


@dataclass(frozen=True)
class Beginnings:
    """What many tests begin with: made for the first of them, and put back for the others."""

    folder: Path

    def begin(
        self,
        name: str,
        make: Callable[[], object],
        *servers: TargetServer,
        folders: Sequence[Path] = (),
    ) -> None:
        """Have in servers and folders, and remember of transfers, what `make` leads to."""
        kept = self.folder / name
        places = [Path(os.environ["XDG_STATE_HOME"]), *folders]
        if not kept.exists():
            make()
            kept.mkdir()
            for number, server in enumerate(servers):
                server.keep(kept / f"server {number}")
            for number, place in enumerate(places):
                shutil.copytree(place, kept / f"folder {number}")
            return
        for number, server in enumerate(servers):
            server.put_back(kept / f"server {number}")
        for number, place in enumerate(places):
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(kept / f"folder {number}", place)


@contextmanager
def target_server(template: Path, folder: Path) -> Iterator[TargetServer]:
    """Run it; `template` is an empty MLflow database."""
    copy_sqlite(template, folder / "target.db")
    files = folder / "files"
    # A public host name would have to resolve, which it does not without a network.
    private = {"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}
    with mlflow_server(sqlite_url(folder / "target.db"), files, **private) as address:
        yield TargetServer(address, folder / "target.db", files, template)
