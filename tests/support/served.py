"""Registries behind ``mlflow server``, as people reach them."""

from __future__ import annotations

import dataclasses
import json
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text

from .engines import copy_sqlite
from .mlflow_session import sqlite_url
from .processes import mlflow_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .rich_registry import RichRegistry

#: Sums that MLflow keeps; it does not start with them unless it is told to keep them.
ROLLUPS = (
    "sql_trace_metric_daily_rollups",
    "sql_span_cost_daily_rollups",
    "sql_assessment_daily_rollups",
    "sql_trace_rollup_rebuild_queue",
)


@dataclasses.dataclass(frozen=True)
class Served:
    """A registry, its database, and the server in front of it."""

    rich: RichRegistry
    address: str

    @property
    def database(self) -> str:
        """The database's address."""
        return self.rich.tracking_uri

    @property
    def folders(self) -> tuple[str]:
        """Folders of the server's machine that are on this one, as it is the same."""
        return (self.rich.artifact_root,)

    def call(self, path: str, body: object = None, method: str = "GET") -> dict:
        """What the server answers, with no code of ours in between."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 -- http
            self.address + path, data, headers, method="POST" if data else method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)


@contextmanager
def served_rich(rich: RichRegistry, folder: Path) -> Iterator[Served]:
    """The rich registry behind a server, in a database that the caller need not keep.

    MLflow does not start where sums of traces are and it is not told to keep them. Its own pages
    list label schemas, which makes a default one; so does this, as anybody will have.
    """
    engine = create_engine(rich.tracking_uri)
    with engine.begin() as connection:
        for table in ROLLUPS:
            connection.execute(text(f"DELETE FROM {table}"))
    engine.dispose()
    with mlflow_server(rich.tracking_uri, folder) as address:
        served = Served(rich, address)
        for experiment in (rich.runs.experiment_id, rich.runs.second_experiment_id):
            path = "/api/3.0/mlflow/label-schemas/list"
            served.call(f"{path}?experiment_id={experiment}&max_results=100")
        yield served


@contextmanager
def served_rich_sqlite(template: RichRegistry, folder: Path) -> Iterator[Served]:
    """The same, of a copy of a rich registry in SQLite."""
    copy_sqlite(template.database_path, folder / "served.db")
    rich = dataclasses.replace(template, tracking_uri=sqlite_url(folder / "served.db"))
    with served_rich(rich, folder / "served-files") as served:
        yield served
