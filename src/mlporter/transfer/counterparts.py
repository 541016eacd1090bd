"""A registry and its copy on a server: the same things under other ids, held against each other."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.catalogue import marks
from mlporter.stores.protocols import Among
from mlporter.stores.versions import rows_of
from mlporter.transfer.merge.resorted import resorted_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut
    from mlporter.stores.protocols import ArtifactFile, Description, Keep, Report, Source
    from mlporter.transfer.merge.inventory import Reader

__all__ = ["WithoutMarks", "alike", "counterparts", "has_marks", "tagged"]

_KINDS = (
    ("runs", "run_uuid", "tags", marks.RUN),
    ("logged_models", "model_id", "logged_model_tags", marks.LOGGED_MODEL),
    ("evaluation_datasets", "dataset_id", "evaluation_dataset_tags", marks.DATASET),
)
_MODEL_TABLES = {
    "logged_models",
    "logged_model_params",
    "logged_model_tags",
    "logged_model_metrics",
}
_NAMED = (
    ("issues", "issue_id", ("name", "description")),
    ("label_schemas", "schema_id", ("name",)),
    ("review_queues", "queue_id", ("name_key",)),
    ("scorers", "scorer_id", ("scorer_name",)),
)
"""What is known again in an experiment by what is said of it: few of each."""
_FIRST = (
    ("experiment_tags", "experiment_id", marks.EXPERIMENT),
    ("registered_model_tags", "name", marks.REGISTERED_MODEL),
)


def has_marks(source: Reader) -> bool:
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
    named = alike(left, right, lambda number: numbers.get(number, number))
    return found | {table: ids for table, ids in named.items() if ids}


def alike(
    left: Reader, right: Reader, number_of: Callable[[int], int | None]
) -> dict[str, dict[str, str]]:
    """By table, the right side's ids of what is known again by what is said of it.

    Of what the left side has none, the right side is not asked.

    Args:
        left: One side.
        right: The other.
        number_of: The right side's id of an experiment of the left side.
    """
    found: dict[str, dict[str, str]] = {}
    for table, column, names in _NAMED:
        mine = list(_counted(left, table, column, names, number_of))
        theirs = _counted(right, table, column, names, lambda n: n) if mine else ()
        there = {key: id_ for id_, key in theirs}
        found[table] = {id_: there[key] for id_, key in mine if key in there}
    return found | _records(left, right) | _configs(left, right, found["scorers"])


def _counted(
    reader: Reader,
    table: str,
    column: str,
    names: tuple[str, ...],
    number_of: Callable[[int], int | None],
) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Ids with what they are known by; of several that are alike, which one it is."""
    seen: Counter[tuple[object, ...]] = Counter()
    for id_, experiment, *said in rows_of(reader, table, (column, "experiment_id", *names)):
        key = (number_of(experiment), *said)
        yield id_, (*key, seen[key])
        seen[key] += 1


def _records(left: Reader, right: Reader) -> dict[str, dict[str, str]]:
    """Records of evaluation datasets, by their datasets and inputs."""
    table, columns = "evaluation_dataset_records", ("dataset_record_id", "dataset_id", "input_hash")
    mine = list(rows_of(left, table, columns))
    if not mine:
        return {table: {}}
    origin = dict(tagged(right, "evaluation_dataset_tags", "dataset_id", marks.DATASET))
    there = {
        (origin.get(dataset, dataset), digest): id_
        for id_, dataset, digest in rows_of(right, table, columns)
    }
    origin = dict(tagged(left, "evaluation_dataset_tags", "dataset_id", marks.DATASET))
    pairs = ((id_, there.get((origin.get(data, data), digest))) for id_, data, digest in mine)
    return {table: {id_: other for id_, other in pairs if other is not None}}


def _configs(left: Reader, right: Reader, scorers: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What scorers run on: one a scorer."""
    table, columns = "online_scoring_configs", ("online_scoring_config_id", "scorer_id")
    mine = list(rows_of(left, table, columns))
    there = {scorer: id_ for id_, scorer in rows_of(right, table, columns)} if mine else {}
    pairs = ((id_, there.get(scorers.get(scorer, scorer))) for id_, scorer in mine)
    return {table: {id_: other for id_, other in pairs if other is not None}}


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
        if table in _MODEL_TABLES and self._held:
            yield from self._without_held(table, columns, among)
            return
        batches = self._inner.read(table, columns, among)
        name = "key" if table == "trace_request_metadata" else marks.TAG_TABLES.get(table)
        if name is None or (columns is not None and name not in columns):
            yield from batches
            return
        yield from (_without(batch, name) for batch in batches)

    def _without_held(
        self, table: str, columns: tuple[str, ...] | None, among: Among | None
    ) -> Iterator[pa.RecordBatch]:
        names = columns or tuple(next(t for t in self.tables if t.name == table).schema.names)
        held = pa.array(list(self._held), pa.string())
        for batch in self._inner.read(table, tuple(dict.fromkeys((*names, "model_id"))), among):
            ids = batch.column(batch.schema.get_field_index("model_id"))
            rows = batch.filter(pc.invert(pc.is_in(ids, value_set=held)))
            rows = _without(rows, "tag_key") if "tag_key" in names else rows
            yield rows.select(list(names))

    @cached_property
    def _held(self) -> dict[str, str]:
        """Logged models that only hold files of model versions; whose files they are."""
        found = tagged(self._inner, "logged_model_tags", "model_id", marks.LOGGED_MODEL)
        return {
            model: owner.removeprefix(marks.HELD)
            for model, owner in found
            if owner.startswith(marks.HELD)
        }

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every artifact file; those that are only held for a version are the version's."""
        if not self._held:
            return self._inner.files(report, keep)
        return resorted_files(self._owned(file) for file in self._inner.files(report, keep))

    def _owned(self, file: ArtifactFile) -> ArtifactFile:
        owner = self._held.get(file.owner_id) if file.owner_kind == "logged_model" else None
        if owner is None:
            return file
        return replace(file, owner_kind="model_version", owner_id=owner)

    def open_file(self, file: ArtifactFile) -> AbstractContextManager[BinaryIO]:
        """The bytes of an artifact file."""
        return self._inner.open_file(file)

    def losses(self) -> Iterator[LeftOut]:
        """What its tables hold and cannot be read."""
        return self._inner.losses()

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of how it was read."""
        return self._inner.notes

    def close(self) -> None:
        """Nothing is held."""


def _without(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    keys = batch.column(batch.schema.get_field_index(name))
    own = pc.is_in(keys, value_set=pa.array(marks.SERVERS_OWN))
    return batch.filter(pc.invert(pc.or_(pc.starts_with(keys, marks.OURS), own)))
