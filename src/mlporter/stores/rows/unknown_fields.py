"""Fields of a newer MLflow's answers, as rows that any source may have: found, counted, named."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import closing
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mlporter.artifacts.disk.scratch import Scratch
from mlporter.bundle.documents.left_out_log import batches_of
from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue import source_tags
from mlporter.catalogue.tables.own import UNKNOWN_FIELDS
from mlporter.errors import LeftOut
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from mlporter.stores.protocols import Description

__all__ = [
    "FieldRow",
    "FieldRows",
    "KeepsUnknownFields",
    "field_losses",
    "field_rows",
    "is_of_a_mark",
    "may_have_fields",
    "row_keys",
    "said_of",
    "shape_of",
    "sorted_fields",
    "unknown_fields",
]

FieldRow = tuple[str, str, str, str]
"""A table, the key of a row of it, a field of that, and its value: keys and values are JSON."""

_AT_ONCE = 5_000
_ELEMENT = re.compile(r"\[[^\[\]]*\]")


@runtime_checkable
class KeepsUnknownFields(Protocol):
    """A source that was read from a server, or is a bundle of one."""

    @property
    def description(self) -> Description:
        """What and where it is."""

    def unknown_fields(self) -> Iterator[pa.RecordBatch]:
        """Rows of `mlporter.catalogue.tables.own.UNKNOWN_FIELDS`, by key.

        Of a server: what came with the rows that were read so far.
        """


def unknown_fields(source: object) -> Iterator[pa.RecordBatch]:
    """The fields that a source has beside its tables; none, if it can have none."""
    keeper = _keeper(source)
    if keeper is not None:
        yield from keeper.unknown_fields()


def field_rows(source: object) -> Iterator[FieldRow]:
    """The same, row by row."""
    for batch in unknown_fields(source):
        yield from python_rows(batch)


def is_of_a_mark(field: str) -> bool:
    """Whether it is of a tag that says whose copy something is, or that a server makes itself."""
    named = _ELEMENT.search(field)
    tag = named[0][1:-1] if named else ""
    return tag.startswith(source_tags.OURS) or tag in source_tags.SERVERS_OWN


def may_have_fields(source: object) -> bool:
    """Whether a source was read from a server at some time, so that it may have such fields."""
    keeper = _keeper(source)
    return keeper is not None and keeper.description.over_rest


def _keeper(source: object) -> KeepsUnknownFields | None:
    inner: object | None = source
    while inner is not None and not isinstance(inner, KeepsUnknownFields):
        inner = getattr(inner, "inner", None)
    return inner


class FieldRows:
    """Such rows on disk; of two of the same field what came last. Safe for several threads."""

    def __init__(self) -> None:
        self._scratch: Scratch | None = None
        self._lock = Lock()

    def add(self, rows: Iterable[FieldRow]) -> None:
        """Keep some."""
        left = iter(rows)
        while found := list(islice(left, _AT_ONCE)):
            with self._lock:
                if self._scratch is None:
                    self._scratch = Scratch(
                        'CREATE TABLE fields ("table" TEXT, "key" TEXT, field TEXT, value TEXT,'
                        ' PRIMARY KEY ("table", "key", field)) WITHOUT ROWID'
                    )
            self._scratch.run_many("INSERT OR REPLACE INTO fields VALUES (?, ?, ?, ?)", found)

    def of(self, table: str, key: str) -> dict[str, str]:
        """The fields of one row, and their values as JSON."""
        query = 'SELECT json_group_object(field, value) FROM fields WHERE "table"=? AND "key"=?'
        found = None if self._scratch is None else self._scratch.one(query, table, key)
        return {} if found is None else dict(json.loads(found[0]))

    @property
    def has_any(self) -> bool:
        """Whether there are any."""
        return self._scratch is not None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All of them, by key."""
        if self._scratch is not None:
            rows = self._scratch.rows('SELECT * FROM fields ORDER BY "table", "key", field')
            yield from batches_of(rows, UNKNOWN_FIELDS.schema)

    def close(self) -> None:
        """Forget them."""
        if self._scratch is not None:
            self._scratch.close()


def row_keys(batch: pa.RecordBatch) -> Iterator[list[object]]:
    """The rows of a batch of key columns, as keys are written in `UNKNOWN_FIELDS`."""
    for values in python_rows(batch):
        yield list(values)


def sorted_fields(rows: Iterable[FieldRow]) -> Iterator[pa.RecordBatch]:
    """Rows in any order, sorted by key."""
    with closing(FieldRows()) as kept:
        kept.add(rows)
        yield from kept.batches()


def shape_of(table: str, field: str) -> str:
    """What all fields of one name are counted as: ``runs.data.params[].unit``."""
    return f"{table}.{_ELEMENT.sub('[]', field)}"


def _counts(source: object) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for table, _, field, _ in field_rows(source):
        counts[table, shape_of(table, field)] += 1
    return counts


def said_of(source: object) -> tuple[str, ...]:
    """A sentence that names and counts the fields of a source, if it has any."""
    named = [f"{shape} ({count:,})" for (_, shape), count in sorted(_counts(source).items())]
    if not named:
        return ()
    sentence = "Fields of a newer MLflow, unknown to this release"
    return (f"{sentence}: {', '.join(named)}.",)


def field_losses(source: object, why: str) -> Iterator[LeftOut]:
    """An entry for each field of a source that something cannot take, and why."""
    for (table, shape), count in sorted(_counts(source).items()):
        path = shape.removeprefix(f"{table}.")
        yield LeftOut("field", table, path, "unknown", f"{plural(count, 'value')}: {why}")
