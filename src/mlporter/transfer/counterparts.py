"""A registry and its copy on a server: the same things under other ids, held against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.catalogue import marks
from mlporter.stores.protocols import Among
from mlporter.stores.versions import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from mlporter.catalogue.types import Table
    from mlporter.stores.protocols import ArtifactFile, Description, Keep, Report, Source
    from mlporter.transfer.merge.inventory import Reader

__all__ = ["WithoutMarks", "counterparts", "has_marks", "tagged"]

_KINDS = (
    ("runs", "run_uuid", "tags", marks.RUN),
    ("logged_models", "model_id", "logged_model_tags", marks.LOGGED_MODEL),
)
_FIRST = (
    ("experiment_tags", "experiment_id", marks.EXPERIMENT),
    ("registered_model_tags", "name", marks.REGISTERED_MODEL),
)


def has_marks(source: Reader) -> bool:
    """Whether a registry holds copies that an import into a server made."""
    return any(
        next(tagged(source, table, column, key), None) is not None for table, column, key in _FIRST
    )


def counterparts(left: Source, right: Source) -> dict[str, dict[str, str]]:
    """By table, the right side's id of what the left side has under another one.

    Both are copies of one thing, or one is a copy of the other: each thing is known by the id of
    what it was first copied from.
    """
    found = {}
    for table, column, tags, key in _KINDS:
        origin = dict(tagged(right, tags, column, key))
        there = {origin.get(id_, id_): id_ for (id_,) in rows_of(right, table, (column,))}
        origin = dict(tagged(left, tags, column, key))
        pairs = (
            (id_, there.get(origin.get(id_, id_))) for (id_,) in rows_of(left, table, (column,))
        )
        changed = {id_: other for id_, other in pairs if other is not None and other != id_}
        if table == "logged_models":
            changed |= _deleted(right)
        if changed:
            found[table] = changed
    return found


def _deleted(source: Reader) -> dict[str, str]:
    """Copies of logged models that were deleted, as their originals are: no server lists them."""
    columns = ("key", "value")
    return {
        key.removeprefix(marks.DELETED_MODEL): value
        for key, value in rows_of(source, "experiment_tags", columns)
        if key.startswith(marks.DELETED_MODEL)
    }


def tagged(reader: Reader, table: str, column: str, key: str) -> Iterator[tuple[str, str]]:
    """Whose tag of some key has which value."""
    entry = next((entry for entry in reader.tables if entry.name == table), None)
    if entry is None:
        return
    name = marks.TAG_TABLES[table]
    among = Among(name, (key,))
    for batch in reader.read(table, (column, name.replace("key", "value")), among):
        yield from zip(*(values.to_pylist() for values in batch.columns), strict=True)


class WithoutMarks:
    """A source without the tags that say whose copies things are, or that a server makes itself.

    Closing it closes nothing.
    """

    def __init__(self, inner: Source) -> None:
        self._inner = inner

    @property
    def description(self) -> Description:
        """What and where it is."""
        return self._inner.description

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables."""
        return self._inner.tables

    def count(self, table: str) -> int:
        """Rows of a table; the tags are counted too, as this is for showing progress."""
        return self._inner.count(table)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        batches = self._inner.read(table, columns, among)
        name = "key" if table == "trace_request_metadata" else marks.TAG_TABLES.get(table)
        if name is None or (columns is not None and name not in columns):
            return batches
        return (_without(batch, name) for batch in batches)

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every artifact file."""
        return self._inner.files(report, keep)

    def open_file(self, file: ArtifactFile) -> AbstractContextManager[BinaryIO]:
        """The bytes of an artifact file."""
        return self._inner.open_file(file)

    def close(self) -> None:
        """Nothing is held."""


def _without(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    keys = batch.column(batch.schema.get_field_index(name))
    own = pc.is_in(keys, value_set=pa.array(marks.SERVERS_OWN))
    return batch.filter(pc.invert(pc.or_(pc.starts_with(keys, marks.OURS), own)))
