"""What is not in a bundle, collected from many threads, sorted and counted at the end."""

from __future__ import annotations

from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.artifacts.disk.scratch import Scratch
from mlporter.bundle.documents.manifest_entries import FirstLeftOut, LeftOutTotals
from mlporter.catalogue.tables.own import LEFT_OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.errors import LeftOut

__all__ = ["LeftOutLog", "batches_of"]

_FIRST = 20
_LONGEST = 300
_BATCH = 2_000
_AT_ONCE = 1_000


class LeftOutLog:
    """Collects `LeftOut`s on disk; of two with the same key the last is kept."""

    def __init__(self) -> None:
        """Start with none."""
        self._scratch = Scratch(
            "CREATE TABLE left_out (kind TEXT, id TEXT, path TEXT, reason TEXT, detail TEXT,"
            " expected INTEGER, PRIMARY KEY (kind, id, path, reason)) WITHOUT ROWID"
        )
        self._lock = Lock()
        self._new: list[tuple[object, ...]] = []

    def add(self, item: LeftOut) -> None:
        """Take one; safe from several threads."""
        texts = (item.kind, item.id, item.path, item.reason, item.detail)
        row = (*(_storable(text) for text in texts), item.expected)
        with self._lock:
            self._new.append(row)
            if len(self._new) >= _AT_ONCE:
                self._flush()

    def _flush(self) -> None:
        rows, self._new = self._new, []
        self._scratch.run_many("INSERT OR REPLACE INTO left_out VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        with self._lock:
            self._flush()
        return self._scratch.rows(query, *values)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All of them as rows of the table ``left_out``."""
        rows = self._rows("SELECT * FROM left_out ORDER BY kind, id, path, reason")
        return batches_of(((*row[:5], bool(row[5])) for row in rows), LEFT_OUT.schema)

    def totals(self) -> LeftOutTotals:
        """How many there are, and the first that nobody expected."""
        query = "SELECT reason, count(*), sum(expected) FROM left_out GROUP BY reason ORDER BY 1"
        by_reason = list(self._rows(query))
        first = self._rows(
            "SELECT kind, id, path, reason, expected FROM left_out"
            " ORDER BY expected, kind, id, path, reason LIMIT ?",
            _FIRST,
        )
        return LeftOutTotals(
            total=sum(row[1] for row in by_reason),
            expected=sum(row[2] for row in by_reason),
            by_reason={reason: count for reason, count, _ in by_reason},
            first=tuple(
                FirstLeftOut(
                    kind=kind,
                    id=id_[:_LONGEST],
                    path=path[:_LONGEST],
                    reason=reason,
                    expected=bool(expected),
                )
                for kind, id_, path, reason, expected in first
            ),
        )

    def close(self) -> None:
        """Free its space."""
        self._scratch.close()


def batches_of(rows: Iterator[tuple[object, ...]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Tuples as record batches of bounded size."""
    while chunk := list(islice(rows, _BATCH)):
        columns = zip(*chunk, strict=True)
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _storable(text: str) -> str:
    """A text that is UTF-8: bytes of a file name that are not are shown as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
