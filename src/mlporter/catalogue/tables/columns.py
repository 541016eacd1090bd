"""Short constructors, so that a column or a reference is one short line of the catalogue.

The names are SQL's, because MLflow's declarations are what these lines are read against.
"""

from __future__ import annotations

import re

import pyarrow as pa

from mlporter.catalogue.types import Column, Reference

__all__ = [
    "WORKSPACE",
    "bigint",
    "blob",
    "boolean",
    "date",
    "double",
    "experiment_id",
    "foreign_key",
    "integer",
    "json",
    "looks_secret",
    "soft",
    "text",
]


def text(
    name: str,
    cap: int | None = None,
    *,
    null: bool = True,
    secret: bool = False,
    fallback: str | None = None,
) -> Column:
    """Text of at most `cap` characters (VARCHAR), or of any length (TEXT)."""
    return Column(name, pa.string(), null, cap=cap, secret=secret, fallback=fallback)


def json(name: str, *, null: bool = True, cap: int | None = None) -> Column:
    """A JSON document as text: of type JSON, or TEXT that MLflow fills with `json.dumps`."""
    return Column(name, pa.string(), null, cap=cap, json=True)


def integer(name: str, *, null: bool = True) -> Column:
    """A 32-bit integer (INTEGER)."""
    return Column(name, pa.int32(), null)


def experiment_id(*, null: bool = True) -> Column:
    """An experiment's id: INTEGER, and wider than that in SQLite, which takes what it is given.

    A file store's ids have 18 digits, and `mlflow migrate-filestore` keeps them.
    """
    return Column("experiment_id", pa.int64(), null, declared=pa.int32())


def bigint(
    name: str, *, null: bool = True, generated: bool = False, fallback: str | None = None
) -> Column:
    """A 64-bit integer (BIGINT); mostly a time in milliseconds."""
    return Column(name, pa.int64(), null, generated=generated, fallback=fallback)


def double(name: str, *, null: bool = True) -> Column:
    """A 64-bit float (FLOAT, DOUBLE PRECISION)."""
    return Column(name, pa.float64(), null)


def boolean(name: str, *, null: bool = True) -> Column:
    """A truth value (BOOLEAN; 0 and 1 in SQLite)."""
    return Column(name, pa.bool_(), null)


def date(name: str, *, null: bool = True) -> Column:
    """A day (DATE)."""
    return Column(name, pa.date32(), null)


def blob(name: str, *, null: bool = True) -> Column:
    """Bytes (BLOB, BYTEA)."""
    return Column(name, pa.binary(), null)


def foreign_key(
    columns: tuple[str, ...], table: str, targets: tuple[str, ...] | None = None
) -> Reference:
    """A reference that the database enforces; `targets` are called `columns` unless given."""
    return Reference(columns, table, targets or columns)


def soft(
    column: str, table: str, target: str | None = None, *, where: tuple[str, str] | None = None
) -> Reference:
    """A reference that the database does not enforce, and that MLflow may leave dangling."""
    return Reference(
        (column,), table, (target or column,), enforced=False, where=where, may_dangle=True
    )


WORKSPACE = soft("workspace", "workspaces", "name")
"""A row's workspace. It may dangle: `workspaces` is empty where another provider keeps them."""

_SECRETS = re.compile(r"passw|secret|token|credential|api_?key|private_?key", re.IGNORECASE)


def looks_secret(column: Column) -> bool:
    """Whether a column of another program is called as one that holds passwords, and may.

    >>> looks_secret(text("password_hash")), looks_secret(integer("tokens"))
    (True, False)
    """
    may = pa.types.is_string(column.type) or pa.types.is_binary(column.type)
    return may and _SECRETS.search(column.name) is not None
