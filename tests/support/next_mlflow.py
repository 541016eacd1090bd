"""The next MLflow, made up: a copy of today's schema with what a release may bring.

No MLflow makes it, so its revision is one that nobody knows.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue import TABLES
from mlporter.stores.opening import open_source
from tests.support.databases import execute, row_counts, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlporter.catalogue.types import Column

NEXT = "0ae1b2c3d4f5"
"""The revision that it says it is at."""
AFTER_NEXT = "1ae1b2c3d4f5"
"""And another one."""
NEW_TABLES = ("reviews", "review_comments")
"""Tables that it brings; what is tied to MLflow's tables by way of the first is MLflow's, too."""
LONGER = 1000
"""Characters that the name of a run may have; today 250."""

_STATEMENTS = (
    "ALTER TABLE runs ADD COLUMN team VARCHAR(64)",
    "ALTER TABLE experiments ADD COLUMN visibility VARCHAR(20) NOT NULL DEFAULT 'private'",
    """CREATE TABLE reviews (review_id VARCHAR(36) NOT NULL, run_uuid VARCHAR(32) NOT NULL,
    of_experiment INTEGER NOT NULL, verdict TEXT, evidence VARCHAR(500), PRIMARY KEY (review_id),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid),
    FOREIGN KEY (of_experiment) REFERENCES experiments (experiment_id))""",
    """CREATE TABLE review_comments (review_id VARCHAR(36) NOT NULL, place INTEGER NOT NULL,
    said TEXT, PRIMARY KEY (review_id, place),
    FOREIGN KEY (review_id) REFERENCES reviews (review_id))""",
)


def make_next(url: str, revision: str = NEXT) -> None:
    """Bring a database of today's MLflow to the next one's schema."""
    execute(url, *lacking(url), *_STATEMENTS, *_longer(url), *_at(revision))


def rename_column(url: str) -> None:
    """What no reading can make up for: the next MLflow calls a column otherwise."""
    change = "ALTER TABLE runs RENAME COLUMN user_id TO owner_id"
    execute(url, *lacking(url), change, *_at(NEXT))


def change_meaning(url: str) -> None:
    """A number becomes a text."""
    changes = (
        "ALTER TABLE runs DROP COLUMN end_time",
        "ALTER TABLE runs ADD COLUMN end_time VARCHAR(40)",
    )
    execute(url, *lacking(url), *changes, *_at(NEXT))


def add_rows(url: str, root: Path | None = None) -> str:
    """Put something into all that is new, of the first run; a file too if there is a `root`.

    Args:
        url: A database that `make_next` was called for.
        root: A folder in which the registry keeps files of experiments.

    Returns:
        The run's id.
    """
    query = "SELECT run_uuid, experiment_id FROM runs ORDER BY run_uuid"
    run, experiment = rows(url, query)[0]
    evidence = "NULL"
    if root is not None:
        folder = root / "reviews" / "r-1"
        folder.mkdir(parents=True)
        (folder / "proof.txt").write_text("seen\n", encoding="utf-8")
        evidence = f"'{folder}'"
    execute(
        url,
        f"UPDATE runs SET team = 'blue', name = '{'n' * (LONGER - 1)}' WHERE run_uuid = '{run}'",
        f"UPDATE experiments SET visibility = 'public' WHERE experiment_id = {experiment}",
        f"INSERT INTO reviews VALUES ('r-1', '{run}', {experiment}, 'good', {evidence})",
        "INSERT INTO review_comments VALUES ('r-1', 1, 'yes'), ('r-1', 2, 'and again')",
    )
    return str(run)


_TYPES = {
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE PRECISION",
    pa.bool_(): "BOOLEAN",
}


def lacking(url: str) -> Iterator[str]:
    """What the catalogue has and the installed MLflow, if it is an older one, has not made."""
    there = row_counts(url)
    with closing(open_source(url)) as source:
        here = {table.name: table for table in source.tables}
    for table in TABLES:
        if table.name not in there:
            columns = ", ".join(map(_declared, table.columns))
            key = ", ".join(f'"{name}"' for name in table.key)
            yield f'CREATE TABLE "{table.name}" ({columns}, PRIMARY KEY ({key}))'
            continue
        for column in table.columns:
            if column.name not in here[table.name].by_name:
                yield f'ALTER TABLE "{table.name}" ADD COLUMN {_declared(column, null=True)}'


def _declared(column: Column, *, null: bool = False) -> str:
    text = f"VARCHAR({column.cap})" if column.cap else "TEXT"
    needed = "" if column.nullable or null else " NOT NULL"
    return f'"{column.name}" {_TYPES.get(column.type, text)}{needed}'


def _at(revision: str) -> Iterator[str]:
    yield f"UPDATE alembic_version SET version_num = '{revision}'"


def _longer(url: str) -> Iterator[str]:
    if url.startswith("mysql"):
        yield f"ALTER TABLE runs MODIFY name VARCHAR({LONGER})"
        return
    if not url.startswith("sqlite"):
        yield f"ALTER TABLE runs ALTER COLUMN name TYPE VARCHAR({LONGER})"
        return
    yield "PRAGMA writable_schema = ON"
    yield (
        "UPDATE sqlite_master SET sql = replace(sql, 'name VARCHAR(250)', "
        f"'name VARCHAR({LONGER})') WHERE name = 'runs'"
    )
    yield "PRAGMA writable_schema = OFF"
