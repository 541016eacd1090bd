"""``experiments.yaml`` and ``models.yaml``: what a bundle holds, for people and code review.

They say nothing that the tables do not say. Memory grows with experiments and model versions,
never with runs, traces or files.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from mlporter.bundle.documents.manifest_entries import SummaryEntry, SummaryPath
from mlporter.bundle.documents.plain_yaml import emit_items
from mlporter.bundle.folder.atomic import AtomicFile, disk_errors
from mlporter.bundle.folder.layout import EXPERIMENTS, MODELS
from mlporter.bundle.tables.rows import python_rows
from mlporter.redaction import hide_passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from mlporter.catalogue.types import Table

__all__ = ["OwnedFiles", "Reader", "experiment_lines", "model_lines", "write_summaries"]

_LONGEST = 2_000
_DEFAULT_WORKSPACE = "default"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NOTE = "# Made by mlporter for people to read. The data is in tables/; nothing reads this file.\n"

_Version = tuple[str, str, int]
_Model = tuple[str, str]


class OwnedFiles(Protocol):
    """Whose files a model version's are: the owner, and the path below its root ("" for all)."""

    @property
    def owner_kind(self) -> str:
        """``run`` or ``logged_model``."""

    @property
    def owner_id(self) -> str:
        """The owner's id."""

    @property
    def rest(self) -> str:
        """The path below the owner's root."""


@dataclass(frozen=True)
class Reader:
    """The tables written so far, and a way to read columns of them in key order."""

    tables: Mapping[str, Table]
    read: Callable[[str, tuple[str, ...]], Iterator[pa.RecordBatch]]

    def batches(self, table: str, *wanted: str) -> Iterator[pa.RecordBatch]:
        """Batches of those wanted columns that the table has; none if there is no such table."""
        if table in self.tables:
            present = set(self.tables[table].schema.names)
            columns = tuple(name for name in wanted if name in present)
            if columns:
                yield from self.read(table, columns)

    def rows(self, table: str, *wanted: str) -> Iterator[dict[str, Any]]:
        """Rows of a table with the wanted columns; one that is not there is None."""
        for batch in self.batches(table, *wanted):
            for row in batch.to_pylist():
                yield {name: row.get(name) for name in wanted}


def write_summaries(
    root: Path, reader: Reader, locations: Mapping[_Version, OwnedFiles], *, durable: bool = True
) -> tuple[SummaryEntry, ...]:
    """Write both into a bundle; returns what the manifest says of them.

    Without `durable` nothing is synced.

    Raises:
        UnreachableError: the disk is full or fails.
    """
    return (
        _write_lines(root, EXPERIMENTS, experiment_lines(reader), durable=durable),
        _write_lines(root, MODELS, model_lines(reader, locations), durable=durable),
    )


def _write_lines(
    root: Path, path: SummaryPath, lines: Iterable[str], *, durable: bool
) -> SummaryEntry:
    with disk_errors(root / path):
        file = AtomicFile(root, durable=durable)
    with file:
        for line in lines:
            file.write(line.encode())
        file.commit(root / path)
        return SummaryEntry(path=path, bytes=file.size, sha256=file.sha256)


def experiment_lines(reader: Reader) -> Iterator[str]:
    """The lines of ``experiments.yaml``: each experiment with its tags and counts."""
    tags: dict[int, dict[str, Any]] = defaultdict(dict)
    for row in reader.rows("experiment_tags", "experiment_id", "key", "value"):
        tags[row["experiment_id"]][row["key"]] = _short(row["value"])
    counts = {
        "runs": _count(reader, "runs"),
        "logged_models": _count(reader, "logged_models"),
        "traces": _count(reader, "trace_info"),
    }
    wanted = ("experiment_id", "name", "workspace", "lifecycle_stage", "creation_time")
    items = (
        {
            "id": row["experiment_id"],
            "name": row["name"],
            "workspace": row["workspace"] or _DEFAULT_WORKSPACE,
            "lifecycle_stage": row["lifecycle_stage"],
            "created": _time(row["creation_time"]),
            **_counted(counts, row["experiment_id"]),
            "tags": tags.get(row["experiment_id"], {}),
        }
        for row in reader.rows("experiments", *wanted)
    )
    yield from _document("experiments", items)


def model_lines(reader: Reader, locations: Mapping[_Version, OwnedFiles]) -> Iterator[str]:
    """The lines of ``models.yaml``: each registered model with its versions.

    `locations` says where the files of a version are if they are another owner's; its digest is
    the SHA-256 over the lines that ``sha256sum`` would print for them, sorted by path.
    """
    registry = _read_registry(reader)
    digests = _digests(reader, registry, locations)
    items = (
        {
            "name": row["name"],
            "workspace": row["workspace"] or _DEFAULT_WORKSPACE,
            "description": _short(row["description"]),
            "created": _time(row["creation_time"]),
            "tags": registry.model_tags.get(_model(row), {}),
            "aliases": registry.aliases.get(_model(row), {}),
            "versions": [
                _version_item(version, registry, digests)
                for version in registry.versions.get(_model(row), [])
            ],
        }
        for row in reader.rows(
            "registered_models", "workspace", "name", "description", "creation_time"
        )
    )
    yield from _document("models", items)


@dataclass
class _Registry:
    model_tags: dict[_Model, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    aliases: dict[_Model, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    versions: dict[_Model, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    version_tags: dict[_Version, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))


def _read_registry(reader: Reader) -> _Registry:
    found = _Registry()
    for row in reader.rows("registered_model_tags", "workspace", "name", "key", "value"):
        found.model_tags[_model(row)][row["key"]] = _short(row["value"])
    for row in reader.rows("registered_model_aliases", "workspace", "name", "alias", "version"):
        found.aliases[_model(row)][row["alias"]] = row["version"]
    version = ("workspace", "name", "version")
    for row in reader.rows("model_version_tags", *version, "key", "value"):
        found.version_tags[_version(row)][row["key"]] = _short(row["value"])
    columns = ("current_stage", "run_id", "source", "status", "description", "creation_time")
    for row in reader.rows("model_versions", *version, *columns):
        found.versions[_model(row)].append(row)
    return found


def _version_item(
    row: dict[str, Any], registry: _Registry, digests: Mapping[_Version, str]
) -> dict[str, Any]:
    aliases = registry.aliases.get(_model(row), {})
    source = row["source"]
    return {
        "version": row["version"],
        "stage": row["current_stage"],
        "aliases": [alias for alias, version in aliases.items() if version == row["version"]],
        "run_id": row["run_id"],
        "source": source if source is None else hide_passwords(source),
        "status": row["status"],
        "created": _time(row["creation_time"]),
        "description": _short(row["description"]),
        "tags": registry.version_tags.get(_version(row), {}),
        "digest": digests.get(_version(row)),
    }


@dataclass
class _Digest:
    """A running digest of the files of one owner below a prefix ("" or ending in "/")."""

    prefix: str
    hash: Any = field(default_factory=hashlib.sha256)
    files: int = 0


def _digests(
    reader: Reader, registry: _Registry, locations: Mapping[_Version, OwnedFiles]
) -> dict[_Version, str]:
    by_owner: dict[tuple[str, str], list[tuple[_Version, _Digest]]] = defaultdict(list)
    for rows in registry.versions.values():
        for version in map(_version, rows):
            owner, digest = _owner(version, locations.get(version))
            by_owner[owner].append((version, digest))
    columns = ("owner_kind", "owner_id", "path", "sha256")
    if not by_owner:
        return {}
    for batch in reader.batches("artifacts", *columns):
        for kind, owner_id, path, sha256 in python_rows(batch, columns):
            for _, digest in by_owner.get((kind, owner_id), ()):
                if path.startswith(digest.prefix):
                    digest.hash.update(f"{sha256}  {path[len(digest.prefix) :]}\n".encode())
                    digest.files += 1
    return {
        version: f"sha256:{digest.hash.hexdigest()}"
        for digests in by_owner.values()
        for version, digest in digests
        if digest.files
    }


def _owner(version: _Version, where: OwnedFiles | None) -> tuple[tuple[str, str], _Digest]:
    if where is None:
        workspace, name, number = version
        return ("model_version", f"{workspace}/{name}/{number}"), _Digest("")
    return (where.owner_kind, where.owner_id), _Digest(f"{where.rest}/" if where.rest else "")


def _count(reader: Reader, table: str) -> dict[int, dict[str, int]]:
    """Rows of a table by experiment and lifecycle stage."""
    counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for batch in reader.batches(table, "experiment_id", "lifecycle_stage"):
        keys = batch.schema.names
        grouped = pa.Table.from_batches([batch]).group_by(keys).aggregate([([], "count_all")])
        for row in grouped.to_pylist():
            stage = row.get("lifecycle_stage") or "active"
            counts[row["experiment_id"]][stage] += row["count_all"]
    return counts


def _counted(counts: dict[str, dict[int, dict[str, int]]], experiment: int) -> dict[str, int]:
    found = {name: by_id.get(experiment, {}) for name, by_id in counts.items()}
    deleted = {name: by_stage.get("deleted", 0) for name, by_stage in found.items()}
    return {
        "runs": sum(found["runs"].values()) - deleted["runs"],
        "deleted_runs": deleted["runs"],
        "logged_models": sum(found["logged_models"].values()) - deleted["logged_models"],
        "deleted_logged_models": deleted["logged_models"],
        "traces": sum(found["traces"].values()),
    }


def _document(name: str, items: Iterator[Mapping[str, object]]) -> Iterator[str]:
    yield _NOTE
    yield f"{name}:\n"
    none = True
    for lines in emit_items(items, 2):
        none = False
        yield lines
    if none:
        yield "  []\n"


def _model(row: Mapping[str, Any]) -> _Model:
    return (row["workspace"] or _DEFAULT_WORKSPACE, row["name"])


def _version(row: Mapping[str, Any]) -> _Version:
    return (*_model(row), row["version"])


def _time(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    try:
        time = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds} ms"
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short(text: str | None) -> str | None:
    if text is None or len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}… ({len(text):,} characters)"
