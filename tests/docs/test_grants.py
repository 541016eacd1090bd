"""The statements of docs/grants.md give as much as is needed: reading, and writing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mlporter
from tests.support.databases import execute, row_counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.mariadb import MariaDb
    from tests.support.plain_registry import PlainRegistry

PAGE = Path(__file__).parents[2] / "docs" / "grants.md"


def statements(heading: str) -> list[str]:
    """The statements below a mark of the page."""
    (block,) = re.findall(
        rf"(?ms)^<!-- {heading} -->\n```sql\n(.*?)^```$", PAGE.read_text(encoding="utf-8")
    )
    return [one for one in re.sub(r"(?m)^--.*$", "", block).split(";") if one.strip()]


def moves(reader: str, writer: str, source: str, folder: Path) -> None:
    """A registry goes in by the one and comes out by the other, and the reader writes nothing."""
    wishes = {"artifact_root": str(folder / "root")}
    assert mlporter.sync(source, writer, delete=True, **wishes).exit_code == 0
    assert mlporter.diff(source, reader, artifacts="none").identical
    with pytest.raises(mlporter.UnreachableError):
        mlporter.copy(source, reader, on_conflict="rename", rename_prefix="x", **wishes)


@pytest.fixture
def postgresql(mlflow_postgres_url: str) -> Iterator[str]:
    name = mlflow_postgres_url.partition("?")[0].rpartition("/")[2]
    execute(mlflow_postgres_url, "CREATE ROLE mlflow")
    for role in ("source", "target"):
        for one in statements(f"postgresql: {role}"):
            execute(mlflow_postgres_url, one.replace("DATABASE mlflow", f'DATABASE "{name}"'))
    yield mlflow_postgres_url
    for role in ("mlporter_reader", "mlporter_writer", "mlflow"):
        execute(mlflow_postgres_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_postgresql(postgresql: str, plain_sqlite: PlainRegistry, tmp_path: Path) -> None:
    reader, writer = (
        re.sub("postgres:?@", f"{name}:change-me@", postgresql)
        for name in ("mlporter_reader", "mlporter_writer")
    )
    moves(reader, writer, plain_sqlite.tracking_uri, tmp_path)
    assert row_counts(postgresql)["alembic_version"] == 1


@pytest.fixture
def mysql(mlflow_mysql_url: str, mariadb: MariaDb) -> Iterator[str]:
    name = mlflow_mysql_url.partition("?")[0].rpartition("/")[2]
    for role in ("source", "target"):
        mariadb.run(*(one.replace("mlflow.", f"`{name}`.") for one in statements(f"mysql: {role}")))
    yield mlflow_mysql_url
    mariadb.run(*(f"DROP USER {one}@'%'" for one in ("mlporter_reader", "mlporter_writer")))


def test_mysql(mysql: str, plain_sqlite: PlainRegistry, tmp_path: Path) -> None:
    reader, writer = (
        re.sub("root:?@", f"{name}:change-me@", mysql)
        for name in ("mlporter_reader", "mlporter_writer")
    )
    assert reader != mysql
    moves(reader, writer, plain_sqlite.tracking_uri, tmp_path)
