"""A repository that is open: its snapshots, and where everything they name is."""

from __future__ import annotations

import hashlib
import io
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlporter.bundle.contents.index import ContentIndex, index_bytes, read_index
from mlporter.bundle.contents.pool import ContentPool
from mlporter.bundle.documents.manifest import parse_manifest
from mlporter.bundle.folder.layout import MANIFEST, MAX_MANIFEST_BYTES
from mlporter.bundle.folder.lock import utc_now
from mlporter.bundle.storage.encrypted import EncryptedStorage, Keys
from mlporter.bundle.storage.stored_parts import StoredParts
from mlporter.errors import BundleDamagedError, RefusedError, UnsupportedError, UsageError
from mlporter.repository.documents import About, document_bytes, parse_about, parse_snapshot
from mlporter.repository.layout import (
    INDEX,
    MAX_DOCUMENT_BYTES,
    NAME,
    REPOSITORY,
    SNAPSHOT,
    SNAPSHOTS,
    index_path,
    part_object,
    snapshot_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mlporter.bundle.documents.manifest import Manifest
    from mlporter.bundle.storage.protocol import Storage
    from mlporter.errors import MlporterError
    from mlporter.repository.documents import Snapshot

__all__ = ["DamagedSnapshot", "Repository", "check_empty", "choose", "is_repository", "put_index"]


_ROWS_OF_A_PIECE = 50_000
"""Contents after which a piece of the index is written while a backup goes on: if it is killed, the
next one finds them there."""


def is_repository(storage: Storage) -> bool:
    """Whether a place is a repository."""
    return storage.size(REPOSITORY) is not None


def check_empty(storage: Storage) -> None:
    """Refuse a place for a new repository that holds something.

    Raises:
        RefusedError: it does.
    """
    if next(storage.walk(), None) is not None:
        raise RefusedError(
            "is no repository of backups, and not empty",
            subject=storage.name,
            hint="name a new or empty place",
        )


@dataclass(frozen=True)
class DamagedSnapshot:
    """A snapshot that is there and cannot be read: why, and what to do about it."""

    name: str
    problem: str
    hint: str


class Repository:
    """Snapshots over shared parts and contents. `close` frees temporary space.

    Attributes:
        damaged: Snapshots by name that were met and cannot be read, where that was passed over.
    """

    def __init__(self, storage: Storage, about: About) -> None:
        """Use `open` or `create`."""
        self.storage = storage
        self.about = about
        self.parts = StoredParts(storage, lambda part: part_object(part.sha256))
        self.index = ContentIndex()
        self.damaged: dict[str, DamagedSnapshot] = {}
        self._documents: dict[str, Snapshot] = {}
        self._pieces: set[str] = set()
        self._pending: list[tuple[str, str, int, int]] = []
        self.contents = ContentPool(storage, self.index, self._stored)

    @classmethod
    def open(cls, storage: Storage, identity: Path | None = None) -> Repository:
        """Open a repository.

        Args:
            storage: Where it is.
            identity: The file of the private key, for one that is encrypted.

        Raises:
            UsageError: it is none, or the file holds no key.
            AccessDeniedError: it is encrypted, and there is no key for it.
            UnsupportedError: it is of a later format.
            BundleDamagedError: its document is damaged.
        """
        found = cls.find(storage, identity)
        if found is None:
            raise UsageError(
                f"is no repository of backups: it has no {REPOSITORY}",
                subject=storage.name,
                hint=f"mlporter backup SOURCE {storage.name} makes one",
            )
        return found

    @classmethod
    def find(cls, storage: Storage, identity: Path | None = None) -> Repository | None:
        """Open a repository, if there is one. Raises as `open` otherwise."""
        if not is_repository(storage):
            return None
        data = storage.read(REPOSITORY, MAX_DOCUMENT_BYTES)
        about = parse_about(data, f"{storage.name}/{REPOSITORY}")
        return cls(_readable(storage, about, identity), about)

    @classmethod
    def create(
        cls,
        storage: Storage,
        *,
        append_only: bool = False,
        recipients: Iterable[str] = (),
        identity: Path | None = None,
    ) -> Repository:
        """Make a repository in a place that holds nothing.

        Raises:
            RefusedError: something else is there.
        """
        check_empty(storage)
        about = About(
            repository_id=str(uuid.uuid4()),
            created=utc_now(),
            append_only=append_only,
            recipients=tuple(recipients),
        )
        readable = _readable(storage, about, identity)
        if not storage.put_new(REPOSITORY, document_bytes(about)):
            return cls.open(storage, identity)
        return cls(readable, about)

    def close(self) -> None:
        """Free temporary space."""
        self.index.close()

    # ------------------------------------------------------------------------------- snapshots

    def snapshots(self) -> tuple[Snapshot, ...]:
        """All snapshots, the oldest first.

        Raises:
            BundleDamagedError: a document of one is damaged.
        """
        return tuple(self.newest_first())[::-1]

    def choose(self, wanted: str) -> Snapshot:
        """The snapshot that a text after ``@`` names; see `choose`.

        Of one that is named as a whole, or of the last, no other document is read: so a damaged
        snapshot is in the way of none but itself.
        """
        if NAME.fullmatch(wanted) and self.storage.size(snapshot_path(wanted)) is not None:
            return self.snapshot(wanted)
        if wanted in {"", "latest"} and (last := next(self.newest_first(), None)) is not None:
            return last
        return choose(self.snapshots(), wanted, self.storage.name)

    def newest_first(self) -> Iterator[Snapshot]:
        """All snapshots, each read when it is asked for. Raises as `snapshots`."""
        yield from map(self.snapshot, reversed(self.names()))

    def whole_newest_first(self) -> Iterator[Snapshot]:
        """The same of those that can be read; the others are noted in `damaged` and passed over."""
        for name in reversed(self.names()):
            try:
                found = self.snapshot(name)
            except (BundleDamagedError, UnsupportedError) as error:  # noqa: PERF203 -- one by one
                self.note(name, error)
            else:
                yield found

    def note(self, name: str, error: MlporterError) -> None:
        """Note in `damaged` that a snapshot cannot be read."""
        self.damaged[name] = DamagedSnapshot(name, str(error), error.hint or "")

    def names(self) -> list[str]:
        """The names of all snapshots, the oldest first, also of those that are damaged."""
        names = [
            found.path.split("/")[1]
            for found in self.storage.walk(SNAPSHOTS)
            if found.path.endswith(f"/{SNAPSHOT}")
        ]
        return sorted(name for name in names if NAME.fullmatch(name))

    def snapshot(self, name: str) -> Snapshot:
        """A snapshot by its whole name; its document never changes, and is read once."""
        if name not in self._documents:
            self._documents[name] = self._document(name)
        return self._documents[name]

    def _document(self, name: str) -> Snapshot:
        path = snapshot_path(name)
        data = self.storage.read(path, MAX_DOCUMENT_BYTES)
        try:
            found = parse_snapshot(data, f"{self.storage.name}/{path}")
        except BundleDamagedError as error:
            error.hint = self._without(name)
            raise
        if found.name != name:
            message, hint = f"{path} is of {found.name}", self._without(name)
            raise BundleDamagedError(message, subject=self.storage.name, hint=hint)
        return found

    def _without(self, name: str) -> str:
        """What to do about a damaged snapshot."""
        command = f"mlporter forget {self.storage.name} {name}"
        return f"put back the file from a copy, or do without the snapshot: {command}"

    def manifest(self, snapshot: Snapshot) -> Manifest:
        """The manifest of a snapshot.

        Raises:
            BundleDamagedError: it is not what the snapshot names.
        """
        path = snapshot_path(snapshot.name, MANIFEST)
        data = self.storage.read(path, MAX_MANIFEST_BYTES)
        if hashlib.sha256(data).hexdigest() != snapshot.manifest_sha256:
            message = f"{path} does not have the SHA-256 that {SNAPSHOT} gives it"
            hint = self._without(snapshot.name)
            raise BundleDamagedError(message, subject=self.storage.name, hint=hint)
        return parse_manifest(data, f"{self.storage.name}/{path}")

    # ------------------------------------------------------------------------------- the index

    def load_index(self) -> None:
        """Read the pieces of the index that were not read yet.

        Raises:
            BundleDamagedError: a piece is damaged.
        """
        for found in self.storage.walk(INDEX):
            if found.path in self._pieces:
                continue
            with self.storage.open(found.path) as file:
                data = file.read()
            where = f"{self.storage.name}/{found.path}"
            if index_path(hashlib.sha256(data).hexdigest()) != found.path:
                raise BundleDamagedError("does not match its name", subject=where)
            for batch in read_index(io.BytesIO(data), where):
                self.index.add_batch(batch)
            self._pieces.add(found.path)

    def write_index(self) -> None:
        """Write down where the contents are that were stored since the last time."""
        rows, self._pending = self._pending, []
        if rows:
            self._pieces.add(put_index(self.storage, rows))

    def _stored(self, rows: list[tuple[str, str, int, int]]) -> None:
        self._pending = [*self._pending, *rows]
        if len(self._pending) >= _ROWS_OF_A_PIECE:
            self.write_index()


def _readable(storage: Storage, about: About, identity: Path | None) -> Storage:
    """The storage as what is in it is read and written."""
    if not about.recipients:
        return storage
    return EncryptedStorage(storage, Keys(about.recipients, identity, storage.name))


def put_index(storage: Storage, rows: Iterable[tuple[str, str, int, int]]) -> str:
    """Write a piece of an index; returns its path."""
    data = index_bytes(rows)
    path = index_path(hashlib.sha256(data).hexdigest())
    storage.put(path, data)
    return path


_HEX = re.compile(r"[0-9a-f]{4,8}")


def choose(snapshots: tuple[Snapshot, ...], wanted: str, where: str) -> Snapshot:
    """The snapshot that a text after ``@`` names.

    ``latest``, a whole name, the beginning of one (``2026-11-20``: the last one of that day), the
    id at its end or the beginning of that, or a tag (the last one that has it).

    Raises:
        UsageError: there is none; the nearest is named.
    """
    if not snapshots:
        raise UsageError("holds no snapshot yet", subject=where, hint="mlporter backup makes one")
    if wanted in {"", "latest"}:
        return snapshots[-1]
    for fits in (
        [s for s in snapshots if s.name == wanted],
        [s for s in snapshots if wanted in s.tags],
        [s for s in snapshots if wanted[:1].isdigit() and s.name.startswith(wanted)],
        [s for s in snapshots if _HEX.fullmatch(wanted) and s.id.startswith(wanted)],
    ):
        if fits:
            return fits[-1]
    near = nearest(snapshots, wanted)
    raise UsageError(
        f"holds no snapshot {wanted!r}",
        subject=where,
        hint=f"the nearest is @{near.name}; mlporter snapshots {where} lists them",
    )


def nearest(snapshots: tuple[Snapshot, ...], wanted: str) -> Snapshot:
    """The last snapshot not after a time that a text begins with, or the first one."""
    before = [s for s in snapshots if s.name <= wanted]
    if not wanted[:1].isdigit():
        return snapshots[-1]
    return before[-1] if before else snapshots[0]
