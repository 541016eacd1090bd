"""Databases at any revision of MLflow's schema: made by its own migrations, filled by SQL."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import warnings
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from alembic import command
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base
from sqlalchemy import JSON, create_engine, inspect, text
from sqlalchemy.exc import SAWarning
from sqlalchemy.pool import NullPool

from mlporter.catalogue import TABLES
from mlporter.catalogue.revisions import REVISIONS
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.history.shape import POSITIONS

from .here import NEWEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import ReflectedColumn

OLDER = tuple(revision for revision, _ in REVISIONS[: POSITIONS[NEWEST]])
"""Every revision before that, oldest first."""

_ROWS = 6
_SKIPPED = {"alembic_version", "workspaces"}


def make_schema(url: str, revision: str) -> None:
    """Make a new database at a revision."""
    engine = create_engine(parse_address(url).sqlalchemy, poolclass=NullPool)
    Base.metadata.create_all(engine)
    upgrade(url, revision)


def upgrade(url: str, revision: str = NEWEST) -> None:
    """What `mlflow db upgrade` does, up to a revision."""
    with quietly():
        command.upgrade(_get_alembic_config(parse_address(url).sqlalchemy), revision)


@contextmanager
def quietly() -> Iterator[None]:
    """Keep Alembic's logging to itself, and what SQLAlchemy thinks of MLflow's scripts."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # The oldest scripts are not of today.
            yield
    finally:
        logging.disable(logging.NOTSET)
        root.setLevel(before[0])
        root.handlers[:] = before[1]


def fill(url: str) -> None:
    """Put rows into every table that there is, whatever the revision."""
    engine = create_engine(parse_address(url).sqlalchemy, poolclass=NullPool)
    with engine.begin() as connection:
        inspector = inspect(connection)
        order = [name for name, _ in inspector.get_sorted_table_and_fkc_names() if name]
        for table in order:
            if table not in _SKIPPED:
                columns = [c for c in inspector.get_columns(table) if not c.get("computed")]
                key = inspector.get_pk_constraint(table)["constrained_columns"]
                _fill_table(connection, table, columns, set(key))
        for statement in _SPECIAL:
            if statement.split()[2] in order:
                connection.execute(text(_quoted_key(connection, statement)))


def _quoted_key(connection: Connection, statement: str) -> str:
    """``key`` is a word of MySQL's."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    columns, _, rest = statement.partition(" VALUES ")
    named = re.sub(r"\bkey\b", lambda _: quote("key"), columns)
    return f"{named} VALUES {rest}"


def _fill_table(
    connection: Connection, table: str, columns: list[ReflectedColumn], key: set[str]
) -> None:
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(quote(c["name"]) for c in columns)
    values = ", ".join(f":{c['name']}" for c in columns)
    statement = text(f"INSERT INTO {quote(table)} ({names}) VALUES ({values})")
    for row in range(1, _ROWS + 1):
        value = {c["name"]: _value(table, c, row, is_key=c["name"] in key) for c in columns}
        connection.execute(statement, value)


_WORDS: dict[str, tuple[Any, ...]] = {
    "lifecycle_stage": ("active", "deleted"),
    "runs.source_type": ("LOCAL", "NOTEBOOK", "UNKNOWN"),
    "runs.status": ("FINISHED", "FAILED", "RUNNING"),
    "model_versions.current_stage": ("None", "Production", "Deleted_Internal"),
    "runs.user_id": ("somebody", None, ""),
    "is_nan": (False, True),
    "spans.dimension_attributes": (
        {"mlflow.llm.model": "m" * 510, "mlflow.llm.provider": "é"},
        {"mlflow.llm.model": None},
        None,
        {},
    ),
    "assessments.value": ("0.75", '"yes"', "true", '{"a": 1}', "1e999", '"No "'),
    "issues.categories": ('["Slow ", "slow", "é"]', None, "[]"),
    "jobs.status": (2,),
    "jobs.job_name": ("a job",),  # MLflow's own migration lets it be NULL on MySQL
    "workspace": ("default",),
}
"""Values of columns that take no others, or for which others matter."""

_JSON = {
    f"{table.name}.{column.name}" for table in TABLES for column in table.columns if column.json
}
"""Documents; MariaDB has no type for them, and checks them."""

_IDS = {
    "experiment_id": lambda row: row % 3 + 1,
    "run_uuid": lambda row: f"{row:032x}",
    "run_id": lambda row: f"{row:032x}",
    "source_run_id": lambda row: f"{row:032x}",
    "request_id": lambda row: f"tr-{row}",
    "trace_id": lambda row: f"tr-{row}",
    "span_id": lambda row: f"span-{row}",
    "version": lambda row: row,
    "server_name": lambda row: f"name {row} é",
    "action_endpoint_id": lambda row: f"endpoint_id {row} é",
    "job_id": lambda row: f"id {row} é",
}


def _value(table: str, column: ReflectedColumn, row: int, *, is_key: bool) -> Any:
    name, kind = column["name"], column["type"]
    if table == "experiments" and name == "experiment_id":
        return row
    is_json = isinstance(kind, JSON) or f"{table}.{name}" in _JSON
    words = _WORDS.get(f"{table}.{name}", _WORDS.get(name))
    if words is not None:
        value = words[row % len(words)]
        return json.dumps(value) if isinstance(value, dict) else value
    if name in _IDS and not is_json:
        return str(_IDS[name](row)) if kind.python_type is str else _IDS[name](row)
    if column["nullable"] and not is_key and row % 4 == 0:
        return None
    return json.dumps({name: [row, "é"]}) if is_json else _plain(name, kind, row)


def _plain(name: str, kind: Any, row: int) -> Any:
    python = kind.python_type
    if python is bool or type(kind).__name__ == "TINYINT":
        return row % 2 == 0
    if python is int:
        return 1_600_000_000 + row
    if python in (bytes, str):
        value = f"{name} {row} é"[: getattr(kind, "length", None)]
        return value.encode() if python is bytes else value
    return row / 3 if "date" not in python.__name__ else "2026-01-01"


_SPECIAL = (
    "INSERT INTO trace_tags (request_id, key, value) VALUES ('tr-1', 'mlflow.traceName', 'a')",
    "INSERT INTO trace_tags (request_id, key, value) VALUES ('tr-2', 'mlflow.traceName', NULL)",
    (
        "INSERT INTO trace_tags (request_id, key, value)"
        f" VALUES ('tr-3', 'mlflow.traceName', '{'é' * 5000}')"
    ),
    (
        "INSERT INTO trace_request_metadata (request_id, key, value)"
        " VALUES ('tr-1', 'mlflow.trace.session', 'session 1')"
    ),
    (
        "INSERT INTO trace_request_metadata (request_id, key, value)"
        f" VALUES ('tr-2', 'mlflow.trace.session', '{'s' * 260}')"
    ),
    (
        "INSERT INTO trace_request_metadata (request_id, key, value)"
        " VALUES ('tr-1', 'mlflow.trace.tokenUsage',"
        ' \'{"input_tokens": 11, "output_tokens": "12", "total_tokens": 1.5}\')'
    ),
    (
        "INSERT INTO trace_request_metadata (request_id, key, value)"
        " VALUES ('tr-2', 'mlflow.trace.tokenUsage', 'no JSON')"
    ),
    (
        "INSERT INTO trace_request_metadata (request_id, key, value)"
        " VALUES ('tr-3', 'mlflow.trace.tokenUsage',"
        ' \'{"input_tokens": 3, "cache_read_input_tokens": true, "total_tokens": 1e30}\')'
    ),
    (
        "INSERT INTO trace_request_metadata (request_id, key, value)"
        " VALUES ('tr-1', 'mlflow.trace.cost',"
        ' \'{"input_cost": 0.1, "output_cost": "0.2", "total_cost": NaN}\')'
    ),
    (
        "INSERT INTO trace_request_metadata (request_id, key, value)"
        " VALUES ('tr-4', 'mlflow.gateway.endpointId', 'e')"
    ),
    "INSERT INTO trace_metrics (request_id, key, value) VALUES ('tr-3', 'input_tokens', 33)",
    "INSERT INTO trace_metrics (request_id, key, value) VALUES ('tr-1', 'input_tokens', NULL)",
    "INSERT INTO trace_metrics (request_id, key, value) VALUES ('tr-5', 'output_tokens', 2.5)",
    (
        "INSERT INTO span_metrics (trace_id, span_id, key, value)"
        " VALUES ('tr-1', 'span-1', 'input_cost', 0.25)"
    ),
    (
        "INSERT INTO span_metrics (trace_id, span_id, key, value)"
        " VALUES ('tr-4', 'span-4', 'total_cost', 0.5)"
    ),
    (
        "INSERT INTO span_metrics (trace_id, span_id, key, value)"
        " VALUES ('tr-5', 'span-5', 'total_cost', 0.75)"
    ),
    (
        "INSERT INTO metrics (key, value, timestamp, step, run_uuid)"
        f" VALUES ('loss', 1.5, 7, 1, '{1:032x}'), ('loss', 2.5, 7, 1, '{1:032x}'),"
        f" ('loss', 9.5, 6, 1, '{1:032x}')"
    ),
    (f"INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.user', 'another', '{3:032x}')"),
)
"""Rows that revision 75868b020152 makes columns of, and others that a revision looks at."""


def contents(path: str, table: str, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Rows of an SQLite table as Python's own driver reads them, sorted."""
    chosen = ", ".join(f'"{name}"' for name in columns)
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.execute(f'SELECT {chosen} FROM "{table}"'), key=repr)
