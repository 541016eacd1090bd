"""What a merge must know of a side: names, keys, and which experiment a thing belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mlporter.plan.units import KEY_OF, is_among, key_array, key_text
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table

__all__ = [
    "Dataset",
    "Experiment",
    "Nothing",
    "Reader",
    "datasets_of",
    "experiments_of",
    "models_of",
    "read_units",
    "unique_keys",
    "unit_keys",
]


class Reader(Protocol):
    """The part of a source or of a target that a merge reads."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables."""

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""


@dataclass(frozen=True)
class Nothing:
    """A side without any rows."""

    tables: tuple[Table, ...]

    def read(
        self,
        table: str,  # noqa: ARG002 -- no table has any
        columns: tuple[str, ...] | None = None,  # noqa: ARG002
        among: Among | None = None,  # noqa: ARG002
    ) -> Iterator[pa.RecordBatch]:
        """No rows."""
        return iter(())


@dataclass(frozen=True)
class Experiment:
    """An experiment as it is matched: by workspace and name."""

    number: int
    workspace: str
    name: str
    stage: str


@dataclass(frozen=True)
class Dataset:
    """A logged dataset: matched by experiment, name and digest."""

    experiment: int
    name: str
    digest: str
    uuid: str


def experiments_of(reader: Reader) -> list[Experiment]:
    """Every experiment, by id."""
    columns = ("experiment_id", "workspace", "name", "lifecycle_stage")
    return [
        Experiment(number, workspace or "default", name, stage or "active")
        for number, workspace, name, stage in rows_of(reader, "experiments", columns)
    ]


def models_of(reader: Reader) -> dict[tuple[str, str], str]:
    """The description of every registered model and prompt, by workspace and name."""
    columns = ("workspace", "name", "description")
    return {
        (workspace or "default", name): description or ""
        for workspace, name, description in rows_of(reader, "registered_models", columns)
    }


def datasets_of(reader: Reader) -> Iterator[Dataset]:
    """Every logged dataset."""
    columns = ("experiment_id", "name", "digest", "dataset_uuid")
    for row in rows_of(reader, "datasets", columns):
        yield Dataset(*row)


def read_units(
    reader: Reader, table: str, columns: tuple[str, ...], owner: tuple[str, ...], keys: set[str]
) -> Iterator[pa.RecordBatch]:
    """Rows of a table whose `owner` columns hold one of some keys."""
    if not keys:
        return
    if len(owner) == 1:
        yield from reader.read(table, columns, Among(owner[0], tuple(sorted(keys))))
        return
    needed = tuple(dict.fromkeys((*columns, *owner)))
    for batch in reader.read(table, needed):
        rows = batch.filter(is_among(key_array(batch, owner), keys))
        if rows.num_rows:
            yield rows.select(list(columns))


def unit_keys(reader: Reader, entity: str, keys: set[str] | None = None) -> dict[str, int | None]:
    """The experiment of every unit of a kind, or of those with some keys."""
    entry = next((table for table in reader.tables if table.name == entity), None)
    if entry is None:
        return {}
    key = KEY_OF[entity]
    placed = "experiment_id" in entry.by_name
    columns = (*key, "experiment_id") if placed else key
    batches = (
        reader.read(entity, columns)
        if keys is None
        else read_units(reader, entity, columns, key, keys)
    )
    found: dict[str, int | None] = {}
    for batch in batches:
        experiments = batch.column("experiment_id").to_pylist() if placed else [None] * len(batch)
        found.update(zip(key_array(batch, key).to_pylist(), experiments, strict=True))
    return found


def unique_keys(reader: Reader, entity: str, columns: tuple[str, ...]) -> dict[str, str]:
    """The key of each unit by what must be unique besides."""
    key = KEY_OF[entity]
    return {
        key_text(row[len(key) :]): key_text(row[: len(key)])
        for row in rows_of(reader, entity, (*key, *columns))
        if None not in row
    }
