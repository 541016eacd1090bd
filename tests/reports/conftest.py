"""Reports of registries whose names attack the reader, written once and looked at by many tests."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

import mlporter
from tests.support.engines import build_once, copy_sqlite
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import fill_metrics
from tests.support.rich_registry import copy_with_artifacts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.plain_registry import PlainRegistry

ATTACK = "<script>document.title='owned'</script>"
BREAKOUT = "\"'></title></style></svg></desc><img src=x onerror=\"document.title='owned'\">"
PASSWORD = "s3cr3t/word"
LINK = "javascript:document.title='owned'"


@pytest.fixture(scope="session")
def reports(
    shared_folder: Path, plain_sqlite_template: PlainRegistry, mlflow_sqlite_template: Path
) -> Path:
    """A folder of reports: one of each verb and outcome, of hostile and of large registries."""

    def build(folder: Path) -> None:
        dev = copy_with_artifacts(plain_sqlite_template, folder / "dev")
        _attack(dev)
        source = dev.tracking_uri
        mlporter.inspect(source, html=folder / "inspect.html")
        _compare(dev, folder)
        _promote(dev, folder)
        mlporter.export(source, folder / "bundle")
        mlporter.verify(folder / "bundle", against=source, html=folder / "verify.html")
        shutil.copytree(folder / "bundle", folder / "damaged")
        (folder / "damaged" / "models.yaml").write_text("nothing\n")
        mlporter.verify(folder / "damaged", html=folder / "damaged.html")
        copy_sqlite(mlflow_sqlite_template, folder / "many.db")
        fill_metrics(sqlite_url(folder / "many.db"), runs=10_000, keys=2, steps=3)
        mlporter.inspect(sqlite_url(folder / "many.db"), html=folder / "many.html")

    return build_once(shared_folder / "reports", build)


def _attack(dev: PlainRegistry) -> None:
    run, other = dev.run_ids[:2]
    changes: list[tuple[str, tuple[object, ...]]] = [
        ("UPDATE runs SET name = ? WHERE run_uuid = ?", (ATTACK, run)),
        ("UPDATE experiments SET name = ? WHERE name = 'plain'", (BREAKOUT,)),
        ("UPDATE metrics SET key = ? WHERE key = 'metric 0'", (BREAKOUT,)),
        ("UPDATE latest_metrics SET key = ? WHERE key = 'metric 0'", (BREAKOUT,)),
        ("UPDATE registered_models SET description = ?", (f"{ATTACK} {LINK}",)),
        ("UPDATE experiment_tags SET value = ?", (f"postgresql://me:{PASSWORD}@host/db",)),
        ("UPDATE registered_model_tags SET value = ?", ("turned \u202e around " + "x" * 5000,)),
        ("UPDATE model_versions SET run_id = ? WHERE version = 2", (other,)),
        ("UPDATE model_versions SET run_id = ? WHERE version = 3", (run,)),
    ]
    with contextlib.closing(sqlite3.connect(dev.database_path)) as database, database:
        for statement, values in changes:
            database.execute(statement, values)


def _compare(dev: PlainRegistry, folder: Path) -> None:
    copy_sqlite(dev.database_path, folder / "other.db")
    run, other = dev.run_ids[:2]
    with contextlib.closing(sqlite3.connect(folder / "other.db")) as database, database:
        database.execute("UPDATE runs SET status = ? WHERE run_uuid = ?", ("FAILED", other))
        database.execute("UPDATE params SET value = ? WHERE run_uuid = ?", (ATTACK, run))
        database.execute("DELETE FROM tags WHERE key = 'team' AND run_uuid = ?", (run,))
        database.execute(
            "UPDATE metrics SET value = 7.25 WHERE step = 2 AND run_uuid = ? AND key = ?",
            (run, BREAKOUT),
        )
    second = sqlite_url(folder / "other.db")
    mlporter.diff(dev.tracking_uri, second, html=folder / "diff.html")
    mlporter.diff(dev.tracking_uri, dev.tracking_uri, html=folder / "identical.html")


def _promote(dev: PlainRegistry, folder: Path) -> None:
    source, target = dev.tracking_uri, sqlite_url(folder / "prod.db")
    into = {"artifact_root": folder / "prod", "alias": ["champion"]}
    receipt = folder / "receipt.yaml"
    mlporter.promote("models:/plain-model/2", source, target, **into, receipt=receipt)  # type: ignore[arg-type]
    gates = {"require_finished": True, "better_than": ["champion:metrics.metric 1:min"]}
    version = "models:/plain-model/3"
    plan = {"dry_run": True, "html": folder / "plan.html"}
    mlporter.promote(version, source, target, **into, **gates, **plan)  # type: ignore[arg-type]
    page = folder / "refused.html"
    with pytest.raises(mlporter.RefusedError):
        mlporter.promote(version, source, target, **into, **gates, max_size=1, html=page)  # type: ignore[arg-type]
    page = folder / "promote.html"
    mlporter.promote(version, source, target, **into, **gates, receipt=receipt, html=page)  # type: ignore[arg-type]
