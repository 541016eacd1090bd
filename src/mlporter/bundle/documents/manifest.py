"""``manifest.yaml`` and ``SHA256SUMS``: what a bundle holds, and how its chain of hashes begins."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlporter.bundle.documents.plain_yaml import emit
from mlporter.bundle.documents.safe_yaml import load_yaml
from mlporter.bundle.folder.files import read_inside
from mlporter.bundle.folder.layout import (
    FORMAT,
    FORMAT_VERSION,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    PACKED_VERSION,
    SUMMARIES,
    part_path,
)
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
from mlporter.errors import BundleDamagedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "OWN_TABLES",
    "ArtifactTotals",
    "ColumnEntry",
    "CreatedBy",
    "FirstLeftOut",
    "LeftOutTotals",
    "Manifest",
    "PartEntry",
    "ReferenceEntry",
    "SourceEntry",
    "SummaryEntry",
    "SummaryPath",
    "TableEntry",
    "load_manifest",
    "manifest_bytes",
    "parse_manifest",
    "sums_bytes",
    "sums_of",
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

_NEEDED = {ARTIFACTS.name, LEFT_OUT.name}
"""Those that every bundle has."""

# pydantic's engine for patterns is Rust's, whose `$` is the end and not a newline before it.
Count = Annotated[int, Field(ge=0, le=2**62)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$")]
SummaryPath = Literal["experiments.yaml", "models.yaml"]
Name = Annotated[str, Field(min_length=1, max_length=1024)]


class _Entry(BaseModel):
    """Fields that this release does not know are kept and ignored; types are never converted."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class ColumnEntry(_Entry):
    """A column as the parts have it; ``unknown`` to the catalogue of the release that wrote it."""

    name: Name
    type: str
    nullable: bool = True
    unknown: bool = False


class ReferenceEntry(_Entry):
    """Columns that hold the key of a row of another table, as the source's database declares it."""

    columns: tuple[Name, ...] = Field(strict=False)
    table: Name
    targets: tuple[Name, ...] = Field(strict=False)


class PartEntry(_Entry):
    """A part: path relative to the bundle, rows, bytes on disk, SHA-256 of the file.

    ``layer`` is above 0 for rows that came later, in a snapshot: they replace all rows of their
    owners in the layers below, as the table ``replaced`` says.
    """

    path: str
    rows: Annotated[int, Field(ge=1, le=2**62)]
    bytes: Annotated[int, Field(ge=1, le=2**62)]
    sha256: Hash
    layer: Annotated[int, Field(ge=0, le=1000)] = 0


class TableEntry(_Entry):
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
        _require(len(set(names)) == len(names), "a column is named twice")
        _require(set(self.key) <= set(names), "a key column is not among the columns")
        _require(len(set(self.key)) == len(self.key), "a key column is named twice")
        _require(set(self.places) <= set(names), "a place is not among the columns")
        for found in self.references:
            fits = len(found.columns) == len(found.targets) > 0
            _require(fits and set(found.columns) <= set(names), "a reference has other columns")
        _require(all(c.type in TYPES for c in self.columns), "a column has an unknown type")
        rows = sum(part.rows for part in self.parts)
        layers = [part.layer for part in self.parts]
        fits = rows >= self.rows if self.layers else rows == self.rows
        _require(fits, "rows are not those of parts")
        in_order = layers == sorted(layers) and max(layers, default=0) <= self.layers
        _require(in_order, "layers are not in order")
        total = sum(part.bytes for part in self.parts)
        _require(total == self.bytes, "bytes are not those of parts")
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


class CreatedBy(_Entry):
    """Versions of what wrote the bundle; ``mlflow`` is None where it was not installed."""

    mlporter: str
    mlflow: str | None = None


class SourceEntry(_Entry):
    """Where it came from: redacted address, kind of place, "snapshot" or "live".

    ``schema_revision`` is the source's own, where its tables were brought to the bundle's;
    ``registry`` the redacted address of its registered models, where these were elsewhere.
    """

    address: str
    kind: str
    consistency: str
    schema_revision: str | None = None
    registry: str | None = None


class ArtifactTotals(_Entry):
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


class FirstLeftOut(_Entry):
    """One of the first things left out; the table ``left_out`` has them all, with details."""

    kind: str
    id: str
    path: str
    reason: str
    expected: bool


class LeftOutTotals(_Entry):
    """What is not in the bundle: how many things, how many of them by rule or wish, and why."""

    total: Count
    expected: Count
    by_reason: dict[str, Count]
    first: tuple[FirstLeftOut, ...] = Field(default=(), strict=False)


class SummaryEntry(_Entry):
    """``experiments.yaml`` or ``models.yaml``: bytes and SHA-256."""

    path: SummaryPath
    bytes: Count
    sha256: Hash


class Manifest(_Entry):
    """All of ``manifest.yaml``; docs/bundle-format.md explains every field.

    ``secrets`` counts the secrets that are in the bundle: a table's rows by its name, a column's
    values by ``table.column``.
    """

    format: Literal["mlporter-bundle"]
    format_version: Literal[1, 2]
    bundle_id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    created_by: CreatedBy
    schema_revision: str
    source: SourceEntry
    workspaces: tuple[str, ...] = Field(strict=False)
    workspace_count: Count
    started: Time
    finished: Time
    selection: Any = None
    artifacts: ArtifactTotals
    left_out: LeftOutTotals
    secrets: dict[Name, Count] = Field(default_factory=dict)
    summaries: tuple[SummaryEntry, ...] = Field(strict=False)
    tables: dict[Name, TableEntry]

    @model_validator(mode="after")
    def _is_in_its_places(self) -> Manifest:
        for name, entry in self.tables.items():
            for index, part in enumerate(entry.parts):
                right = part.path == part_path(name, index)
                _require(right, f"part {index} of table {name!r} has another path")
        _require(set(self.tables) >= _NEEDED, "artifacts or left_out is not listed")
        for name, table in OWN_TABLES.items():
            if name not in self.tables or (name not in _NEEDED and not _is_ours(self, name)):
                continue
            right = self.tables[name].table(name).schema == table.schema
            _require(right and self.tables[name].key == table.key, f"{name} has other columns")
        layered = any(entry.layers for entry in self.tables.values())
        _require(self.format_version > 1 or not layered, "format 1 has no layers")
        _require(self.format_version > 1 or not self.has_packs, "format 1 has no packs")
        packs = self.artifacts.packs > 0
        _require(packs == self.has_packs, "packs are counted without contents, or not counted")
        paths = tuple(summary.path for summary in self.summaries)
        _require(paths == SUMMARIES, "summaries are not experiments.yaml and models.yaml")
        return self

    @property
    def has_packs(self) -> bool:
        """Whether contents are in packs, so that the table ``contents`` says where."""
        return CONTENTS.name in self.tables and _is_ours(self, CONTENTS.name)


def _own_table(name: str, kind: str) -> Table | None:
    """Our table of a name; another program may have one that is called `unknown_fields`, too."""
    return OWN_TABLES.get(name) if kind == Kind.OWN.value or name in _NEEDED else None


def _is_ours(manifest: Manifest, name: str) -> bool:
    return manifest.tables[name].kind == Kind.OWN.value


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


def manifest_bytes(manifest: Manifest) -> bytes:
    """The bytes of ``manifest.yaml``; fields that say nothing (``unknown: false``) are left out."""
    fields = manifest.model_dump(mode="json")
    if fields["source"]["schema_revision"] is None:
        del fields["source"]["schema_revision"]
    if not fields["secrets"]:
        del fields["secrets"]
    if not fields["artifacts"]["packs"]:
        for name in ("packs", "pack_bytes", "packed", "packed_bytes"):
            del fields["artifacts"][name]
    for table in fields["tables"].values():
        _leave_out_what_says_nothing(table)
    return "".join(emit(fields)).encode()


def _leave_out_what_says_nothing(table: dict[str, Any]) -> None:
    for entry in (table, *table["columns"]):
        if not entry["unknown"]:
            del entry["unknown"]
    for name in ("references", "places", "layers"):
        if not table[name]:
            del table[name]
    for part in table["parts"]:
        if not part["layer"]:
            del part["layer"]


def load_manifest(root: Path) -> Manifest:
    """Read and check ``manifest.yaml`` of the bundle in `root`.

    Raises:
        BundleDamagedError: it is not what docs/bundle-format.md says.
        UnsupportedError: it is of a later format version.
        UnreachableError: it cannot be read.
    """
    data = read_inside(root, MANIFEST, MAX_MANIFEST_BYTES)
    return parse_manifest(data, str(root / MANIFEST))


def parse_manifest(data: bytes, where: str = MANIFEST) -> Manifest:
    """As `load_manifest`, from bytes; errors say `where` they are from."""
    value = load_yaml(data, where)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BundleDamagedError(f"does not say format: {FORMAT}", subject=where)
    _check_version(value, where)
    try:
        return Manifest.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        reasons = tuple(
            f"{'.'.join(str(step)[:80] for step in problem['loc']) or 'manifest'}: {problem['msg']}"
            for problem in problems[:10]
        )
        message = "is not as the format says"
        raise BundleDamagedError(message, subject=where, reasons=reasons) from None


def _check_version(value: dict[str, Any], where: str) -> None:
    version = value.get("format_version")
    if version in {FORMAT_VERSION, PACKED_VERSION} and type(version) is int:
        return
    if type(version) is not int or version < 1:
        raise BundleDamagedError("format_version is not a positive number", subject=where)
    maker = value.get("created_by")
    release = str(maker.get("mlporter", "")) if isinstance(maker, dict) else ""
    named = f"mlporter {release}" if re.fullmatch(r"[0-9A-Za-z.+!-]{1,40}", release) else "another"
    message = f"bundle format {version}; this release reads formats up to {PACKED_VERSION}"
    hint = f"it was written by {named}; use that release: pip install --upgrade mlporter"
    raise UnsupportedError(message, subject=where, hint=hint)


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


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - an assertion
    if not condition:
        raise ValueError(message)


def sums_of(manifest: Manifest, manifest_data: bytes) -> dict[str, str]:
    """The SHA-256 (hex) that each file but blobs and ``SHA256SUMS`` itself must have, by path."""
    sums = {MANIFEST: hashlib.sha256(manifest_data).hexdigest()}
    sums |= {summary.path: summary.sha256 for summary in manifest.summaries}
    for table in manifest.tables.values():
        sums |= {part.path: part.sha256 for part in table.parts}
    return sums


def sums_bytes(sums: dict[str, str]) -> bytes:
    """The one and only bytes of ``SHA256SUMS``: sorted by path, two spaces, lower case."""
    return "".join(f"{sums[path]}  {path}\n" for path in sorted(sums)).encode()
