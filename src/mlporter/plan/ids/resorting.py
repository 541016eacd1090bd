"""Rows and files sorted again, by other ids: in memory if they are few, else on disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import fields
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.artifacts.listing import ArtifactFile
from mlporter.catalogue import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.catalogue.types import Table

__all__ = ["resorted", "resorted_files"]

_IN_MEMORY = 100_000
"""Rows that are sorted in memory."""


def resorted(entry: Table, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """All rows of a table, sorted by its key.

    Args:
        entry: The table.
        batches: Its rows in any order, with at least the columns of the key.
    """
    found, rows = [], 0
    for batch in batches:
        found.append(batch)
        rows += batch.num_rows
        if rows > _IN_MEMORY and entry.name in BY_NAME:
            yield from _on_disk(entry, chain(found, batches))
            return
    if found:
        order = [(name, "ascending") for name in entry.order]
        yield from pa.Table.from_batches(found).sort_by(order).combine_chunks().to_batches()


def _on_disk(entry: Table, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from mlporter.stores.database.scratch_registry import ScratchRegistry  # noqa: PLC0415 -- needs a database driver

    with closing(ScratchRegistry(f"rows of {entry.name}")) as scratch:
        first = next(batches)
        names = tuple(first.schema.names)
        scratch.append(entry.name, chain([first], batches))
        for batch in scratch.reader.read(entry.name, names):
            yield batch.cast(first.schema)


def resorted_files(files: Iterable[ArtifactFile]) -> Iterator[ArtifactFile]:
    """Files sorted again by owner kind, owner id and path, each by its UTF-8 bytes; on disk."""
    names = [field.name for field in fields(ArtifactFile)]
    # A database without a name is a temporary file that goes with the connection.
    with closing(sqlite3.connect("")) as database:
        database.execute(f"CREATE TABLE files ({', '.join(names)})")
        rows = (tuple(getattr(file, name) for name in names) for file in files)
        database.executemany(f"INSERT INTO files VALUES ({', '.join('?' * len(names))})", rows)  # noqa: S608 -- names of our own
        for row in database.execute("SELECT * FROM files ORDER BY owner_kind, owner_id, path"):
            yield ArtifactFile(*row)
