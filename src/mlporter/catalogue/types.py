"""The words the catalogue is written in: tables, columns, references, places."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

import pyarrow as pa

__all__ = ["Column", "Form", "HiddenReference", "Kind", "Place", "Reference", "Table"]


class Kind(str, Enum):
    """What happens to a table when a registry is moved."""

    KEPT = "kept"
    """Copied, row for row."""
    DERIVED = "derived"
    """Computed by MLflow from kept tables; rebuilt in the target, not copied."""
    TRANSIENT = "transient"
    """Locks, leases, jobs, queues: about one server at one moment; left out."""
    SECRET = "secret"  # noqa: S105 -- a word, not a password
    """Left out unless asked for."""
    USERS = "users"
    """Users and permissions: copied by names, and never by number."""
    UNKNOWN = "unknown"
    """Another program's, found by reflection: left where it is, unless it is asked for."""
    NEWER = "newer"
    """MLflow's own, of a revision that the catalogue does not know; copied as it was found."""
    OWN = "own"
    """Ours, not MLflow's: `artifacts` and `left_out` of a bundle."""


class Form(str, Enum):
    """How an id of another row is written inside a string."""

    ID = "id"
    """The whole value is the id."""
    LIST = "list"
    """Comma-separated ids, perhaps with empty ends: ``,0,3,``."""
    JSON = "json"
    """Somewhere in a JSON document, as the value of the fields named by ``fields``."""
    URI = "uri"
    """Inside ``runs:/<id>/…`` or ``models:/<id>``."""
    ENDPOINT = "endpoint"
    """As ``gateway:/<id>`` somewhere in a JSON document."""
    LINK = "link"
    """Inside a web link such as ``…/#/experiments/<experiment>/runs/<run>``."""


@dataclass(frozen=True)
class Column:
    """A column as MLflow declares it at the newest known revision.

    Attributes:
        name: MLflow's own name.
        type: Its Arrow type (`pa.string()` for VARCHAR, TEXT and JSON; times are int64
            milliseconds since the epoch unless the name says otherwise).
        nullable: Whether NULL is allowed.
        cap: Longest value in characters, where the column is a VARCHAR.
        json: The text is a JSON document: equal if it parses equal.
        secret: Left out (NULL) unless secrets are asked for.
        generated: Computed by the database; never inserted.
        declared: What a strict database holds it as, where SQLite may hold more than that.
        fallback: The column whose value counts where this one is NULL, or is not there yet.
    """

    name: str
    type: pa.DataType
    nullable: bool = True
    cap: int | None = None
    json: bool = False
    secret: bool = False
    generated: bool = False
    declared: pa.DataType | None = None
    fallback: str | None = None


@dataclass(frozen=True)
class Reference:
    """Columns that hold the key of a row in another table.

    ``enforced`` is whether the database has a foreign key for it. ``where`` limits it to rows in
    which a column has a value (`inputs.destination_type = 'RUN'`). ``nullable`` references may be
    dangling in a sound registry (a model version outlives its run) if ``may_dangle``.
    """

    columns: tuple[str, ...]
    table: str
    targets: tuple[str, ...]
    enforced: bool = True
    where: tuple[str, str] | None = None
    may_dangle: bool = False


@dataclass(frozen=True)
class HiddenReference:
    """An id of another row inside a string value, such as the tag ``mlflow.parentRunId``.

    ``where`` is (column, value): only rows in which that column has that value. ``fields`` names
    the JSON fields that hold the id where ``form`` is JSON.
    """

    column: str
    table: str
    form: Form
    where: tuple[str, str] | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """A column that holds an artifact URI: where files are, rather than what they are.

    ``where`` is (column, value): only rows in which that column has that value are places.
    """

    column: str
    where: tuple[str, str] | None = None


@dataclass(frozen=True)
class Table:
    """One table: columns, key, and what its values point at.

    Attributes:
        name: MLflow's own name.
        key: The primary key, in *our* order: what rows belong to comes first (`run_uuid` before
            `key`), so that sorting by it keeps a run's rows together. Parts are cut only where
            the first key column changes.
        columns: In a fixed order: key columns first, then the rest as MLflow declares them.
        parent: The table whose rows own this one's, or None.
        unique: Other column sets that MLflow's schema declares unique.
        bulky: Rows may hold large texts, so that batches must be short.
        repeats: Rows may be exactly alike where nothing enforces a key: in a file store and in a
            bundle of one.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    kind: Kind = Kind.KEPT
    parent: str | None = None
    references: tuple[Reference, ...] = ()
    hidden: tuple[HiddenReference, ...] = ()
    places: tuple[Place, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    bulky: bool = False
    workspace: bool = field(default=False)
    repeats: bool = False

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of a full row, key columns first; generated columns are not in it."""
        return pa.schema(
            [pa.field(c.name, c.type, c.nullable) for c in self.columns if not c.generated]
        )

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """Columns by name."""
        return {c.name: c for c in self.columns}

    @cached_property
    def secrets(self) -> frozenset[str]:
        """Columns of which nothing is ever shown, or kept beside the rows."""
        is_whole = self.kind is Kind.SECRET
        return frozenset(c.name for c in self.columns if c.secret or is_whole)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The columns that rows are sorted by: the key, or all of a table that has none."""
        return self.key or tuple(self.schema.names)

    def only(self, names: frozenset[str]) -> Table:
        """This table with no other columns than `names` (an older schema has fewer)."""
        if names.issuperset(column.name for column in self.columns):
            return self
        return replace(
            self,
            columns=tuple(c for c in self.columns if c.name in names),
            key=tuple(k for k in self.key if k in names),
        )
