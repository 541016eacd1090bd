"""A registry made of dicts, that reads as any other source does."""

from __future__ import annotations

import io
from contextlib import nullcontext
from dataclasses import replace

import pyarrow as pa

from mlporter.catalogue.types import Column, Kind, Table
from mlporter.stores.protocols import ArtifactFile, Description

TAGS = Table(
    name="tags",
    key=("run_uuid", "key"),
    columns=(
        Column("run_uuid", pa.string(), nullable=False),
        Column("key", pa.string(), nullable=False),
        Column("value", pa.string()),
    ),
)

METRICS = Table(
    name="metrics",
    key=("run_uuid", "key", "step", "value", "is_nan"),
    columns=(
        Column("run_uuid", pa.string(), nullable=False),
        Column("key", pa.string(), nullable=False),
        Column("step", pa.int64(), nullable=False),
        Column("value", pa.float64(), nullable=False),
        Column("is_nan", pa.bool_(), nullable=False),
    ),
)

MIXED = Table(
    name="mixed",
    key=("id", "name"),
    columns=(
        Column("id", pa.int32(), nullable=False),
        Column("name", pa.string(), nullable=False),
        Column("number", pa.float64()),
        Column("flag", pa.bool_()),
        Column("blob", pa.binary()),
        Column("document", pa.string(), json=True),
    ),
)

Row = dict[str, object]


def sort_value(value):
    """As keys sort: text by its UTF-8 bytes."""
    return value.encode() if isinstance(value, str) else value


def sort_key(table: Table, row: Row):
    return tuple(sort_value(row[name]) for name in table.key)


def batches(table: Table, rows: list[Row], sizes: list[int] | None = None, *, sort: bool = True):
    """The rows as sorted batches, cut to `sizes` in turn (the last one goes on)."""
    ordered = sorted(rows, key=lambda row: sort_key(table, row)) if sort else rows
    start, turn, sizes = 0, 0, sizes or [3]
    while start < len(ordered):
        size = sizes[min(turn, len(sizes) - 1)]
        part = ordered[start : start + size]
        yield pa.RecordBatch.from_pylist(part, schema=table.schema)
        start, turn = start + size, turn + 1


class MemorySource:
    """Tables as lists of dicts, files as bytes by (owner kind, owner id, path)."""

    def __init__(
        self, rows=None, *, contents=None, sums=None, left_out=(), kind="sqlite", artifacts="copy"
    ):
        self.by_table = {table.name: (table, list(of)) for table, of in rows or ()}
        self.contents = contents or {}
        self.sums = sums or {}
        self.left_out = left_out
        self.kind = kind
        self.artifacts = artifacts
        self.opened = []
        self.reads = []

    @property
    def description(self):
        return Description(f"{self.kind}:///x", self.kind, "head", "snapshot", self.artifacts)

    @property
    def tables(self):
        return tuple(table for table, _ in self.by_table.values())

    def count(self, table):
        return len(self.by_table[table][1])

    def read(self, table, columns=None):
        self.reads.append((table, columns))
        known, rows = self.by_table[table]
        for batch in batches(known, rows):
            yield batch.select(list(columns)) if columns else batch

    def files(self, report):
        for entry in self.left_out:
            report(entry)
        for key in sorted(self.contents, key=lambda key: [part.encode() for part in key]):
            content = self.contents[key]
            size = 7 if isinstance(content, OSError) else len(content)
            yield ArtifactFile(*key, size, self.sums.get(key))

    def open_file(self, file):
        key = (file.owner_kind, file.owner_id, file.path)
        self.opened.append(key)
        if isinstance(self.contents[key], OSError):
            raise self.contents[key]
        return nullcontext(io.BytesIO(self.contents[key]))

    notes = ()

    def losses(self):
        return iter(())

    def close(self):
        pass


def derived(table: Table) -> Table:
    """The same table, as one that MLflow computes."""
    return replace(table, kind=Kind.DERIVED)
