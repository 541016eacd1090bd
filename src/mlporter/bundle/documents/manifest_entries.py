"""What `manifest.yaml` says of one thing each: a table, a part, a summary, a source."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlporter.bundle.tables.parts import TYPES, Part
from mlporter.catalogue import known_table
from mlporter.catalogue.tables.columns import looks_secret
from mlporter.catalogue.tables.own import (
    ARTIFACTS,
    CONTENTS,
    FILE_STAMPS,
    LEFT_OUT,
    POINT_MARKS,
    REPLACED,
    UNKNOWN_FIELDS,
)
from mlporter.catalogue.types import Column, Kind, Place, Reference, Table

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "NEEDED",
    "OWN_TABLES",
    "ArtifactTotals",
    "ColumnEntry",
    "Count",
    "CreatedBy",
    "Entry",
    "FirstLeftOut",
    "Hash",
    "LeftOutTotals",
    "Name",
    "PartEntry",
    "ReferenceEntry",
    "SourceEntry",
    "SummaryEntry",
    "SummaryPath",
    "TableEntry",
    "Time",
    "require",
    "table_entry",
]

_Thing = TypeVar("_Thing")

OWN_TABLES = {
    table.name: table
    for table in (
        ARTIFACTS,
        LEFT_OUT,
        UNKNOWN_FIELDS,
        CONTENTS,
        FILE_STAMPS,
        POINT_MARKS,
        REPLACED,
    )
}
"""The tables that are ours, and not MLflow's."""

NEEDED = {ARTIFACTS.name, LEFT_OUT.name}
"""Those that every bundle has."""

# pydantic's engine for patterns is Rust's, whose `$` is the end and not a newline before it.
Count = Annotated[int, Field(ge=0, le=2**62)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$")]
SummaryPath = Literal["experiments.yaml", "models.yaml"]
Name = Annotated[str, Field(min_length=1, max_length=1024)]


class Entry(BaseModel):
    """Fields that this release does not know are kept and ignored; types are never converted."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class ColumnEntry(Entry):
    """A column as the parts have it; ``unknown`` to the catalogue of the release that wrote it."""

    name: Name
    type: str
    nullable: bool = True
    unknown: bool = False


class ReferenceEntry(Entry):
    """Columns that hold the key of a row of another table, as the source's database declares it."""

    columns: tuple[Name, ...] = Field(strict=False)
    table: Name
    targets: tuple[Name, ...] = Field(strict=False)


class PartEntry(Entry):
    """A part: path relative to the bundle, rows, bytes on disk, SHA-256 of the file.

    ``layer`` is above 0 for rows that came later, in a snapshot: they replace all rows of their
    owners in the layers below, as the table ``replaced`` says.
    """

    path: str
    rows: Annotated[int, Field(ge=1, le=2**62)]
    bytes: Annotated[int, Field(ge=1, le=2**62)]
    sha256: Hash
    layer: Annotated[int, Field(ge=0, le=1000)] = 0


class TableEntry(Entry):
    """A table: its rows and bytes (the sums over its parts), key, columns and parts in order.

    ``references`` are those that the catalogue of the release that wrote it does not know, and
    ``places`` such columns that hold artifact URIs. With ``layers`` above 0, ``rows`` are those
    that are left: see `mlporter.bundle.tables.layers`.
    """

    kind: str
    rows: Count
    bytes: Count
    key: tuple[Name, ...] = Field(strict=False)
    unknown: bool = False
    columns: tuple[ColumnEntry, ...] = Field(strict=False)
    references: tuple[ReferenceEntry, ...] = Field(default=(), strict=False)
    places: tuple[Name, ...] = Field(default=(), strict=False)
    parts: tuple[PartEntry, ...] = Field(default=(), strict=False)
    layers: Annotated[int, Field(ge=0, le=1000)] = 0

    @model_validator(mode="after")
    def _adds_up(self) -> TableEntry:
        names = [column.name for column in self.columns]
        require(len(set(names)) == len(names), "a column is named twice")
        require(set(self.key) <= set(names), "a key column is not among the columns")
        require(len(set(self.key)) == len(self.key), "a key column is named twice")
        require(set(self.places) <= set(names), "a place is not among the columns")
        for found in self.references:
            fits = len(found.columns) == len(found.targets) > 0
            require(fits and set(found.columns) <= set(names), "a reference has other columns")
        require(all(c.type in TYPES for c in self.columns), "a column has an unknown type")
        rows = sum(part.rows for part in self.parts)
        layers = [part.layer for part in self.parts]
        fits = rows >= self.rows if self.layers else rows == self.rows
        require(fits, "rows are not those of parts")
        in_order = layers == sorted(layers) and max(layers, default=0) <= self.layers
        require(in_order, "layers are not in order")
        total = sum(part.bytes for part in self.parts)
        require(total == self.bytes, "bytes are not those of parts")
        return self

    def table(self, name: str) -> Table:
        """This table in the catalogue's words: its entry, with the key and columns found here."""
        known = known_table(name, self.kind) or _own_table(name, self.kind)
        columns = tuple(_column(known, column) for column in self.columns)
        more = tuple(Reference(r.columns, r.table, r.targets) for r in self.references)
        places = tuple(map(Place, self.places))
        if known is None:
            columns = tuple(
                replace(c, secret=c.name not in self.key and looks_secret(c)) for c in columns
            )
            kind = Kind.NEWER if self.kind == Kind.NEWER.value else Kind.UNKNOWN
            return Table(name, self.key, columns, kind, references=more, places=places)
        stored = tuple(column for column in known.columns if not column.generated)
        if columns == stored:
            columns = known.columns
        here = replace(known, key=self.key, columns=columns)
        if not more and not places:
            return here
        # A later release may know them by now.
        return replace(
            here,
            references=_with(known.references, more, lambda r: r.columns),
            places=_with(known.places, places, lambda p: p.column),
        )


class CreatedBy(Entry):
    """Versions of what wrote the bundle; ``mlflow`` is None where it was not installed."""

    mlporter: str
    mlflow: str | None = None


class SourceEntry(Entry):
    """Where it came from: redacted address, kind of place, "snapshot" or "live".

    ``schema_revision`` is the source's own, where its tables were brought to the bundle's;
    ``registry`` the redacted address of its registered models, where these were elsewhere.
    """

    address: str
    kind: str
    consistency: str
    schema_revision: str | None = None
    registry: str | None = None


class ArtifactTotals(Entry):
    """Files (rows of ``artifacts``) and their bytes; blobs (distinct contents) and theirs.

    Where some of the contents are in packs: how many packs and their bytes, and how many contents
    are in them and *their* bytes.
    """

    mode: Literal["copy", "reference", "none"]
    files: Count
    bytes: Count
    blobs: Count
    blob_bytes: Count
    packs: Count = 0
    pack_bytes: Count = 0
    packed: Count = 0
    packed_bytes: Count = 0


class FirstLeftOut(Entry):
    """One of the first things left out; the table ``left_out`` has them all, with details."""

    kind: str
    id: str
    path: str
    reason: str
    expected: bool


class LeftOutTotals(Entry):
    """What is not in the bundle: how many things, how many of them on purpose, and why."""

    total: Count
    expected: Count
    by_reason: dict[str, Count]
    first: tuple[FirstLeftOut, ...] = Field(default=(), strict=False)


class SummaryEntry(Entry):
    """``experiments.yaml`` or ``models.yaml``: bytes and SHA-256."""

    path: SummaryPath
    bytes: Count
    sha256: Hash


def _own_table(name: str, kind: str) -> Table | None:
    """Our table of a name; another program may have one that is called `unknown_fields`, too."""
    return OWN_TABLES.get(name) if kind == Kind.OWN.value or name in NEEDED else None


def table_entry(
    table: Table, parts: list[Part], below: TableEntry | None = None, rows: int | None = None
) -> TableEntry:
    """The manifest's entry for a table as it was written.

    Args:
        table: Which.
        parts: The parts that were written.
        below: The table as an earlier snapshot has it, which they are a layer upon.
        rows: How many rows the table has in all, if there are any below.
    """
    layer = below.layers + 1 if below else 0
    entries = (
        *(below.parts if below else ()),
        *(
            PartEntry(path=p.path, rows=p.rows, bytes=p.bytes, sha256=p.sha256, layer=layer)
            for p in parts
        ),
    )
    known = known_table(table.name, table.kind.value) or _own_table(table.name, table.kind.value)
    columns = tuple(
        ColumnEntry(
            name=field.name,
            type=str(field.type),
            nullable=field.nullable,
            unknown=known is None or field.name not in known.by_name,
        )
        for field in table.schema
    )
    return TableEntry(
        kind=table.kind.value,
        rows=sum(part.rows for part in parts) if rows is None else rows,
        bytes=sum(part.bytes for part in entries),
        key=table.key,
        unknown=known is None,
        columns=columns,
        references=tuple(
            ReferenceEntry(columns=r.columns, table=r.table, targets=r.targets)
            for r in table.references
            if known is None or r not in known.references
        ),
        places=tuple(p.column for p in table.places if known is None or p not in known.places),
        parts=entries,
        layers=layer,
    )


def _with(
    known: tuple[_Thing, ...], more: tuple[_Thing, ...], columns: Callable[[_Thing], object]
) -> tuple[_Thing, ...]:
    """What is known of columns, and what is said of others."""
    taken = {columns(thing) for thing in known}
    return (*known, *(thing for thing in more if columns(thing) not in taken))


def _column(known: Table | None, entry: ColumnEntry) -> Column:
    column = known.by_name.get(entry.name) if known else None
    if column is None:
        return Column(entry.name, TYPES[entry.type], nullable=entry.nullable)
    if str(column.type) == entry.type and column.nullable == entry.nullable:
        return column
    return replace(column, type=TYPES[entry.type], nullable=entry.nullable)


def require(condition: bool, message: str) -> None:  # noqa: FBT001 - an assertion
    """Raise what pydantic takes for an invalid value, unless a condition holds."""
    if not condition:
        raise ValueError(message)
