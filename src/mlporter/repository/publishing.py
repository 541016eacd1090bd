"""From a bundle that was staged to a snapshot: parts first, the document that commits it last."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING

from mlporter.bundle.documents.manifest import manifest_bytes
from mlporter.bundle.folder.layout import MANIFEST, SUMMARIES
from mlporter.repository.documents import Added, Snapshot, document_bytes
from mlporter.repository.layout import part_object, snapshot_path

if TYPE_CHECKING:
    from pathlib import Path

    from mlporter.bundle.documents.manifest import Manifest
    from mlporter.repository.locks import Lock
    from mlporter.repository.repository import Repository

__all__ = ["Facts", "publish", "snapshot_name"]

_COUNTED = ("experiments", "runs", "registered_models", "model_versions", "trace_info")


@dataclass(frozen=True)
class Facts:
    """What a snapshot says of itself beside its manifest.

    ``place`` tells the registry (and the part of it that was asked for) from every other;
    ``started`` is when it was begun (UTC); ``upon`` the name of the snapshot that it was written
    upon; ``not_listed`` and ``state`` as `Snapshot` says.
    """

    place: str
    started: datetime
    tags: tuple[str, ...] = ()
    upon: str | None = None
    not_listed: int = 0
    state: str | None = None


def publish(
    repository: Repository, staged: Path, manifest: Manifest, facts: Facts, lock: Lock | None
) -> Snapshot:
    """Make a finished bundle, whose contents are in the repository, a snapshot.

    Raises:
        UnreachableError: the place is full or fails. The snapshot does not exist then.
        RepositoryInUseError: the lock expired meanwhile.
    """
    storage = repository.storage
    repository.contents.sync()
    repository.write_index()
    parts, part_bytes = _move_parts(repository, staged, manifest)
    data = manifest_bytes(manifest)
    name = snapshot_name(facts.started)
    for path in SUMMARIES:
        storage.put_file(snapshot_path(name, path), staged / path)
    storage.put(snapshot_path(name, MANIFEST), data)
    if lock is not None:
        lock.check()
    finished = datetime.now(timezone.utc)
    snapshot = Snapshot(
        name=name,
        started=_text(facts.started),
        finished=_text(finished),
        seconds=(finished - facts.started).total_seconds(),
        source=manifest.source.address,
        kind=manifest.source.kind,
        place=facts.place,
        tags=facts.tags,
        rows={t: manifest.tables[t].rows for t in _COUNTED if t in manifest.tables},
        files=manifest.artifacts.files,
        file_bytes=manifest.artifacts.bytes,
        left_out=manifest.left_out.total - manifest.left_out.expected,
        not_listed=facts.not_listed,
        added=Added(
            contents=repository.contents.new_contents,
            content_bytes=repository.contents.new_bytes,
            parts=parts,
            part_bytes=part_bytes,
        ),
        upon=facts.upon,
        state=facts.state,
        manifest_bytes=len(data),
        manifest_sha256=hashlib.sha256(data).hexdigest(),
        mlporter=version("mlporter"),
    )
    storage.put(snapshot_path(name), document_bytes(snapshot))
    return snapshot


def _move_parts(repository: Repository, staged: Path, manifest: Manifest) -> tuple[int, int]:
    """Store the parts that were written and are not there yet; how many, and their bytes."""
    count = size = 0
    for entry in manifest.tables.values():
        for part in entry.parts:
            file = staged / part.path
            if not file.is_file():
                continue  # as an earlier snapshot has it
            path = part_object(part.sha256)
            if repository.storage.size(path) is None:
                repository.storage.put_file(path, file)
                count, size = count + 1, size + part.bytes
    return count, size


def snapshot_name(started: datetime) -> str:
    """The name of a snapshot; names sort by time, to the millisecond.

    The id at its end begins with the millisecond, and is random otherwise.
    """
    milliseconds = started.microsecond // 1000
    return f"{started:%Y-%m-%dT%H%M%SZ}-{milliseconds:03x}{uuid.uuid4().hex[:5]}"


def _text(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
