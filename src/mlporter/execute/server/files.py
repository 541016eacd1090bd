"""Artifact files on their way to a server: streamed, and several at a time."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from itertools import groupby
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.uris import layout
from mlporter.errors import OutsideError
from mlporter.execute.files.artifact_files import SourceFileError, unreadable
from mlporter.execute.result import FilesResult
from mlporter.execute.server.owner_files import OwnedFiles, ServerOwner
from mlporter.execute.server.planned_files import RENAMED, PlannedFiles
from mlporter.execute.server.shared.worker_pool import WorkerPool
from mlporter.plan.policy import Conflict
from mlporter.plan.three_sides.files import Sent, content_of, mark_of
from mlporter.stores.protocols import read_elsewhere
from mlporter.stores.rest.answers import REFUSED, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.plan.three_sides.sent.memory import Memory
    from mlporter.stores.protocols import ArtifactFile
    from mlporter.stores.server.target_places import ServerPlaces

__all__ = ["Files"]

_ORPHAN = "orphan"
_PROXIED = "mlflow-artifacts:"
_DEFAULT = "default"


class Files:
    """Sends the files of all owners that are copied.

    Those of owners that the server has already are planned first (`plan`).

    Args:
        context: The import.
        places_of: Where the files of a workspace go.
        memory: What is remembered of files, and where actions go.
        dry: Count only.

    Attributes:
        refused: Files that the server did not take.
    """

    def __init__(
        self,
        context: ServerContext,
        places_of: Callable[[str], ServerPlaces],
        memory: Memory,
        *,
        dry: bool = False,
    ) -> None:
        self._context = context
        self._places_of = places_of
        self._owned = OwnedFiles(context, places_of)
        self._planned = PlannedFiles(context, self._owned, memory)
        self._dry = dry
        self._lock = Lock()
        self._files = self._bytes = self._there = self._stored = self._stored_bytes = 0
        self._by_storage = self._bytes_by_storage = 0
        self.refused = 0

    @property
    def result(self) -> FilesResult:
        """What was done so far."""
        return FilesResult(
            "copy",
            self._files,
            self._bytes,
            self._there,
            self._stored,
            self._stored_bytes,
            self._by_storage,
            self._bytes_by_storage,
        )

    def plan(self, touched: Collection[tuple[str, str]]) -> list[Conflict]:
        """Plan what becomes of files that owners have on both sides; what is in conflict."""
        self._planned.run(touched)
        for size in self._planned.there:
            self._count(size, there=True)
        return [Conflict(*one) for one in self._planned.planner.conflicts]

    def send(self, kinds: tuple[str, ...]) -> None:
        """Send the files of some kinds of owners."""
        context, planner = self._context, self._planned.planner
        owners: dict[tuple[str, str], ServerOwner] = {}

        def is_new(kind: str, id_: str) -> bool:
            if kind not in kinds or self._planned.is_planned(kind, id_):
                return False
            owner = self._owned.owner(kind, id_)
            if owner is None:
                return False
            owners[owner.key] = owner
            planner.without_files(owner.key)
            return True

        with WorkerPool(context.workers) as pool:
            for kind in kinds:
                for there, change in self._planned.changes.pop(kind, []):
                    if change.file is not None:
                        pool.do(partial(self._one, there, change.file, is_planned=True))
            found = context.source.files(context.left_out.add, is_new)
            for key, files in groupby(found, lambda file: (file.owner_kind, file.owner_id)):
                owner = owners.pop(key)
                for file in files:
                    pool.do(partial(self._one, owner, file))

    def send_orphans(self) -> None:
        """Send files that no row points to: apart, to where the server's proxy keeps files.

        A server without a proxy has no place for them, so they are noted.
        """
        context = self._context
        found = context.source.files(context.left_out.add, lambda kind, _: kind == _ORPHAN)
        if not any(
            home.location.startswith(_PROXIED) for home in context.target_experiments.values()
        ):
            for file in found:
                detail = "no row points to it, and a server without a proxy has no place for it"
                context.leave("artifact", file.owner_id, file.path, "unsupported", detail)
            return
        with WorkerPool(context.workers) as pool:
            for folder, files in groupby(found, lambda file: file.owner_id):
                root = layout.orphan_root(f"{_PROXIED}/", folder)
                owner = ServerOwner(_ORPHAN, folder, root, self._places_of(_DEFAULT))
                for file in files:
                    pool.do(partial(self._one, owner, file))

    @property
    def are_settled(self) -> bool:
        """Whether no file would be looked at again as long as no row changes."""
        return self._planned.are_settled

    def remember(self) -> None:
        """Remember what is on the server now."""
        self._planned.planner.remember()

    # --- One file ---------------------------------------------------------------------------------

    def _one(self, owner: ServerOwner, file: ArtifactFile, *, is_planned: bool = False) -> None:
        context = self._context
        try:
            content = self._owned.content(file)
            size = len(content) if content is not None else file.size
            if owner.places.is_renamed(owner.root, file.path):
                self._refuse(owner, file, RENAMED)
                return
            there = not is_planned and owner.there().get(file.path) == size
            if not there and self._dry:
                context.note("artifacts", f"{file.owner_kind} {file.owner_id}: {file.path}")
            elif not there:
                self._put(owner, file, size, content)
            else:
                self._planned.planner.failed(owner.key)  # whose content that is nobody looked at
            self._count(size, there=there)
        except SourceFileError as error:
            self._planned.planner.failed(owner.key)
            with context.lock:
                context.left_out.add(unreadable(file, str(error)))
        except OutsideError as error:
            self._refuse(owner, file, error.message, "outside")
        except REFUSED as error:
            self._refuse(owner, file, error.message, reason_of(error))
            with self._lock:
                self.refused += 1

    def _put(
        self, owner: ServerOwner, file: ArtifactFile, size: int, content: bytes | None
    ) -> None:
        """Send it, and note what was sent."""
        digest = [""]

        @contextmanager
        def opened() -> Iterator[BinaryIO]:
            with self._owned.open(file, content) as stream:
                hashing = Hashing(stream)
                yield hashing  # type: ignore[misc]
                digest[0] = hashing.hexdigest

        whole = self._owned.whole(file, content)
        written = owner.places.put(owner.root, file.path, size, opened, whole)
        if written is not None and written.by_storage:
            digest[0] = written.sha256
            read_elsewhere(self._context.source, file, written.sha256)
            with self._lock:
                self._by_storage += 1
                self._bytes_by_storage += written.size
        if owner.kind != _ORPHAN:
            sent = Sent(mark_of(file), content_of(digest[0]), size)
            self._planned.planner.carried(owner.key, file.path, sent)

    def _refuse(
        self, owner: ServerOwner, file: ArtifactFile, why: str, reason: str = "refused"
    ) -> None:
        self._planned.planner.failed(owner.key)
        self._context.leave("artifact", file.owner_id, file.path, reason, why)

    def count_sent(self, files: int, size: int) -> None:
        """Count files that went with the request which made their owner."""
        with self._lock:
            self._files += files
            self._bytes += size
            self._stored += files
            self._stored_bytes += size

    def _count(self, size: int, *, there: bool) -> None:
        with self._lock:
            self._files += 1
            self._bytes += size
            self._there += there
            self._stored += not there
            self._stored_bytes += 0 if there else size
            done = self._bytes
        self._context.on_progress("copying artifacts", done, None, "bytes")


class Hashing:
    """A stream whose SHA-256 is known when all of it was read.

    Attributes:
        hexdigest: Of what was read so far.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = sha256()

    def read(self, size: int = -1) -> bytes:
        """Some bytes."""
        found = self._stream.read(size)
        self._digest.update(found)
        return found

    @property
    def hexdigest(self) -> str:
        """The SHA-256 of what was read so far."""
        return self._digest.hexdigest()
