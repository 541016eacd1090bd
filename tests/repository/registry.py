"""A small registry in SQLite whose rows and files a test changes by hand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class SmallRegistry:
    """A database and its folder of artifacts."""

    database: Path
    folder: Path

    @classmethod
    def make(cls, template: Path, place: Path) -> SmallRegistry:
        place.mkdir(parents=True)
        copy_sqlite(template, place / "mlflow.db")
        (place / "files").mkdir()
        made = cls(place / "mlflow.db", place / "files")
        made.sql(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage,"
            " creation_time, last_update_time) VALUES (1, 'churn', ?, 'active', 1, 1)",
            str(made.folder),
        )
        return made

    @property
    def url(self) -> str:
        return sqlite_url(self.database)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as base, base:
            return base.execute(statement, values).fetchall()

    def add_run(self, run: str, points: int = 3, files: dict[str, bytes] | None = None) -> None:
        self.sql(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id,"
            " status, start_time, end_time, source_version, lifecycle_stage, artifact_uri,"
            " experiment_id) VALUES (?, ?, 'LOCAL', '', '', 'me', 'FINISHED', 1, 2, '', 'active',"
            " ?, 1)",
            run,
            f"run {run}",
            f"{self.folder}/{run}/artifacts",
        )
        self.sql("INSERT INTO params VALUES ('lr', '0.1', ?)", run)
        self.set_tag(run, "team", "a")
        self.add_points(run, points)
        for path, content in (files or {}).items():
            self.write(run, path, content)

    def set_tag(self, run: str, key: str, value: str) -> None:
        self.sql(
            "INSERT OR REPLACE INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", key, value, run
        )

    def add_points(self, run: str, count: int) -> None:
        (last,) = self.sql("SELECT coalesce(max(step), -1) FROM metrics WHERE run_uuid = ?", run)[0]
        for step in range(last + 1, last + 1 + count):
            self.sql(
                "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
                " VALUES ('rmse', ?, ?, ?, ?, 0)",
                1.0 / (1 + step),
                1000 + step,
                run,
                step,
            )
            self.sql(
                "INSERT OR REPLACE INTO latest_metrics (key, value, timestamp, step, is_nan,"
                " run_uuid) VALUES ('rmse', ?, ?, ?, 0, ?)",
                1.0 / (1 + step),
                1000 + step,
                step,
                run,
            )

    def add_many_points(self, run: str, count: int) -> None:
        """The same in one statement."""
        self.sql(
            "WITH RECURSIVE new(step) AS (SELECT coalesce(max(step), -1) + 1 FROM metrics"
            " WHERE run_uuid = ?1 UNION ALL SELECT step + 1 FROM new LIMIT ?2)"
            " INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
            " SELECT 'rmse', 1.0 / (1 + step), 1000 + step, ?1, step, 0 FROM new",
            run,
            count,
        )
        self.sql(
            "INSERT OR REPLACE INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)"
            " SELECT key, value, timestamp, max(step), is_nan, run_uuid FROM metrics"
            " WHERE run_uuid = ? AND typeof(step) = 'integer'",
            run,
        )

    def purge(self, run: str) -> None:
        for table in ("params", "tags", "metrics", "latest_metrics", "runs"):
            self.sql(f"DELETE FROM {table} WHERE run_uuid = ?", run)

    def write(self, run: str, path: str, content: bytes) -> None:
        file = self.folder / run / "artifacts" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        # As everybody writes files: a new one takes the place of the old one.
        new = file.with_suffix(".new")
        new.write_bytes(content)
        new.replace(file)

    def files(self) -> dict[str, bytes]:
        """Every file of a run that is there, by run and path."""
        runs = [run for (run,) in self.sql("SELECT run_uuid FROM runs")]
        roots = {run: self.folder / run / "artifacts" for run in runs}
        return {
            f"{run}/{path.relative_to(root).as_posix()}": path.read_bytes()
            for run, root in roots.items()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
