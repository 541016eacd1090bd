"""Where the files of model versions lie, found in the tables of any source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mlporter.artifacts.uris.ownership import (
    Location,
    Root,
    VersionKey,
    VersionRow,
    locate_versions,
)
from mlporter.bundle.tables.rows import python_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.stores.protocols import Among

__all__ = [
    "KnowsRoots",
    "TableReader",
    "known_roots",
    "locations_of",
    "owner_roots",
    "rows_of",
    "version_owner_id",
]

_PROMPT_TAG = "mlflow.prompt.is_prompt"
_VERSION = ("workspace", "name", "version", "source", "storage_location", "run_id",
            "current_stage")  # fmt: skip


class TableReader(Protocol):
    """The part of a source that this needs."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables."""

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""


def rows_of(
    source: TableReader, table: str, columns: tuple[str, ...], among: Among | None = None
) -> Iterator[tuple[Any, ...]]:
    """Rows as tuples of some columns; a table or column that is not here gives none, or None."""
    entry = next((entry for entry in source.tables if entry.name == table), None)
    if entry is None:
        return
    present = tuple(name for name in columns if name in entry.by_name)
    if not present:
        return
    asked = (table, present) if among is None else (table, present, among)
    for batch in source.read(*asked):
        if len(present) == len(columns):
            yield from python_rows(batch, range(len(present)))
        else:
            rows = (
                dict(zip(present, row, strict=True))
                for row in python_rows(batch, range(len(present)))
            )
            yield from (tuple(map(row.get, columns)) for row in rows)


@runtime_checkable
class KnowsRoots(Protocol):
    """A reader that knows roots of runs and logged models that it does not have itself."""

    @property
    def known_roots(self) -> tuple[Root, ...]:
        """Kind, id and artifact root of each."""


def known_roots(reader: object) -> tuple[Root, ...]:
    """What a reader knows of the roots of others, if it knows any."""
    return reader.known_roots if isinstance(reader, KnowsRoots) else ()


def owner_roots(source: TableReader) -> Iterator[Root]:
    """The recorded artifact root of every run and logged model."""
    yield from known_roots(source)
    for run, uri in rows_of(source, "runs", ("run_uuid", "artifact_uri")):
        yield "run", run, uri or ""
    for model, uri in rows_of(source, "logged_models", ("model_id", "artifact_location")):
        yield "logged_model", model, uri or ""


def locations_of(source: TableReader) -> dict[VersionKey, Location]:
    """Where the files of every model version lie: memory grows with the versions only.

    URIs are compared as they are recorded, so that a database and a bundle of it agree. A version
    whose URI spells its run's place differently (relative, say) has files of its own then.
    """
    tags = rows_of(source, "registered_model_tags", ("workspace", "name", "key", "value"))
    prompts = {
        (workspace, name)
        for workspace, name, key, value in tags
        if key == _PROMPT_TAG and str(value).lower() == "true"
    }
    versions = [
        VersionRow(
            workspace or "default",
            name,
            version,
            uri,
            stored,
            run,
            is_prompt=(workspace, name) in prompts,
            stage=stage,
        )
        for workspace, name, version, uri, stored, run, stage in rows_of(
            source, "model_versions", _VERSION
        )
    ]
    return locate_versions(versions, owner_roots(source))


def version_owner_id(key: VersionKey) -> str:
    """The owner id of a model version that has files of its own."""
    workspace, name, version = key
    return f"{workspace}/{name}/{version}"
