"""A registry and its copy on a server: the same things under other ids, held against each other."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.catalogue import source_tags
from mlporter.plan.ids.resorting import resorted_files
from mlporter.plan.matching.natural_keys import by_natural_keys, by_natural_keys_anywhere, tagged
from mlporter.plan.matching.server_copies import by_source_tags, deleted_models
from mlporter.stores.protocols import Wrapped
from mlporter.stores.rows.unknown_fields import field_rows, is_of_a_mark, sorted_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.plan.side_reader import Reader
    from mlporter.stores.protocols import Among, ArtifactFile, Keep, Report, Source

__all__ = ["WithoutSourceTags", "counterparts", "has_source_tags"]

_MODEL_TABLES = {
    "logged_models",
    "logged_model_params",
    "logged_model_tags",
    "logged_model_metrics",
}
_FIRST = (
    ("experiment_tags", "experiment_id", source_tags.EXPERIMENT),
    ("experiment_tags", "experiment_id", source_tags.HOLDS),
    ("registered_model_tags", "name", source_tags.REGISTERED_MODEL),
)


def has_source_tags(source: Reader) -> bool:
    """Whether a registry holds copies that an import into a server made."""
    return any(
        next(tagged(source, table, column, key), None) is not None for table, column, key in _FIRST
    )


def counterparts(
    left: Source, right: Source, numbers: Mapping[int, int]
) -> dict[str, dict[str, str]]:
    """By table, the right side's id of what the left side has under another one.

    Both are copies of one thing, or one is a copy of the other: each thing is known by the id of
    what it was first copied from, or in its experiment by what is said of it.

    Args:
        left: The one that is seen by the other's ids.
        right: The other.
        numbers: The right side's ids of experiments, where they are others.
    """
    found = {}
    for table, ids in by_source_tags(left, right).items():
        changed = {id_: other for id_, other in ids.items() if other != id_}
        if table == "logged_models":
            changed |= deleted_models(right)
        if changed:
            found[table] = changed
    named = by_natural_keys(left, right, lambda number: numbers.get(number, number))
    named |= by_natural_keys_anywhere(left, right, lambda name: name, named["scorers"])
    return found | {table: ids for table, ids in named.items() if ids}


class WithoutSourceTags(Wrapped):
    """A source without the tags that say whose copies things are, or that a server makes itself.

    Closing it closes nothing.
    """

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        if table in _MODEL_TABLES and self._held:
            yield from self._without_held(table, columns, among)
            return
        batches = self.inner.read(table, columns, among)
        name = "key" if table == "trace_request_metadata" else source_tags.TAG_TABLES.get(table)
        if name is None or (columns is not None and name not in columns):
            yield from batches
            return
        yield from (_without(batch, name) for batch in batches)

    def _without_held(
        self, table: str, columns: tuple[str, ...] | None, among: Among | None
    ) -> Iterator[pa.RecordBatch]:
        names = columns or tuple(next(t for t in self.tables if t.name == table).schema.names)
        held = pa.array(list(self._held), pa.string())
        for batch in self.inner.read(table, tuple(dict.fromkeys((*names, "model_id"))), among):
            ids = batch.column(batch.schema.get_field_index("model_id"))
            rows = batch.filter(pc.invert(pc.is_in(ids, value_set=held)))
            rows = _without(rows, "tag_key") if "tag_key" in names else rows
            yield rows.select(list(names))

    @cached_property
    def _held(self) -> dict[str, str]:
        """Logged models that only hold files of model versions; whose files they are."""
        found = tagged(self.inner, "logged_model_tags", "model_id", source_tags.LOGGED_MODEL)
        return {
            model: owner.removeprefix(source_tags.HELD)
            for model, owner in found
            if owner.startswith(source_tags.HELD)
        }

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every artifact file; those that are only held for a version are the version's."""
        if not self._held:
            return self.inner.files(report, keep)
        return resorted_files(self._owned(file) for file in self.inner.files(report, keep))

    def _owned(self, file: ArtifactFile) -> ArtifactFile:
        owner = self._held.get(file.owner_id) if file.owner_kind == "logged_model" else None
        if owner is None:
            return file
        return replace(file, owner_kind="model_version", owner_id=owner)

    def unknown_fields(self) -> Iterator[pa.RecordBatch]:
        """Fields of a newer server, but for those of such tags."""
        rows = field_rows(self.inner)
        yield from sorted_fields(row for row in rows if not is_of_a_mark(row[2]))

    def close(self) -> None:
        """Nothing is held."""


def _without(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    keys = batch.column(batch.schema.get_field_index(name))
    own = pc.is_in(keys, value_set=pa.array(source_tags.SERVERS_OWN))
    return batch.filter(pc.invert(pc.or_(pc.starts_with(keys, source_tags.OURS), own)))
