"""Small parts, decoded once: a plan looks at most tables several times."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mlporter.bundle.tables.read_parts import read_part
from mlporter.bundle.tables.small_rows import Again, Room

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from mlporter.bundle.documents.manifest_entries import PartEntry
    from mlporter.bundle.tables.read_parts import PartFiles
    from mlporter.catalogue.types import Table

__all__ = ["SmallParts"]

_SMALL = 64 * 2**10
"""Bytes of a part's file. To decode a larger one takes longer than to open and check it."""
_ROOM = 4 * 2**20
"""Bytes of rows that are kept, of all parts."""


class SmallParts:
    """Reads parts, and keeps the rows of small ones for the next time."""

    def __init__(self, files: PartFiles) -> None:
        """Read parts of `files`."""
        self._files = files
        self._small: dict[tuple[str, str], Again[pa.RecordBatch]] = {}
        self._room = Room(_ROOM, _ROOM)

    def read(
        self, table: Table, parts: Iterable[PartEntry], columns: tuple[str, ...] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a table in order, in batches of bounded size; see `read_part`."""
        for part in parts:
            if part.bytes > _SMALL:
                yield from read_part(self._files, table, part, columns)
                continue
            read = partial(read_part, self._files, table, part)
            whole = self._small.setdefault((table.name, part.sha256), Again(read, self._room))
            for batch in whole():
                yield batch if columns is None else batch.select(list(columns))
