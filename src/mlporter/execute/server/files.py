"""Artifact files on their way to a server: streamed, and several at a time."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import groupby
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.disk.copying import hash_stream
from mlporter.artifacts.uris import layout
from mlporter.errors import LeftOut, OutsideError
from mlporter.execute.artifact_files import SourceFileError, open_guarded, unreadable
from mlporter.execute.result import FilesResult
from mlporter.execute.server.worker_pool import WorkerPool
from mlporter.plan.ids.id_strings import names_ids, with_new_ids
from mlporter.plan.three_sides.sides import Outcome, State
from mlporter.stores.rest.answers import REFUSED, reason_of
from mlporter.stores.rows.spool import SortedLookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from mlporter.execute.server.context import ServerContext
    from mlporter.execute.server.sent_files import SentFiles
    from mlporter.stores.protocols import ArtifactFile
    from mlporter.stores.server.target_places import ServerPlaces

__all__ = ["Files"]

_ORPHAN = "orphan"
_PROXIED = "mlflow-artifacts:"
_DEFAULT = "default"
_CHUNK = 1 << 20
_TABLES = {
    "run": ("runs", "run_uuid"),
    "logged_model": ("logged_models", "model_id"),
    "trace": ("trace_info", "request_id"),
    "trace_archive": ("trace_info", "request_id"),
}


@dataclass
class _Owner:
    """An owner's files on the server, while they are sent."""

    kind: str
    id: str
    root: str
    places: ServerPlaces
    fresh: bool
    lock: Lock = field(default_factory=Lock)
    known: Mapping[str, int] | None = None

    def there(self) -> Mapping[str, int]:
        """What the server had; nothing is asked about what was made just now."""
        with self.lock:
            if self.known is None:
                self.known = {} if self.fresh else self.places.sizes(self.root)
            return self.known


class Files:
    """Sends the files of all owners that are carried.

    Args:
        context: The import.
        places_of: Where the files of a workspace go.
        sent: What is remembered of files.
        dry: Count only.

    Attributes:
        looked_at: Owners (kind and id) whose files were looked at.
        settled: Owners whose files are not looked at.
        refused: Files that the server did not take.
    """

    def __init__(
        self,
        context: ServerContext,
        places_of: Callable[[str], ServerPlaces],
        sent: SentFiles,
        *,
        dry: bool = False,
    ) -> None:
        self._context = context
        self._sent = sent
        self.looked_at: set[tuple[str, str]] = set()
        self.settled: frozenset[tuple[str, str]] = frozenset()
        self._places_of = places_of
        self._dry = dry
        self._lock = Lock()
        self._files = self._bytes = self._there = self._stored = self._stored_bytes = 0
        self.refused = 0
        self._states: dict[tuple[str, str, str], State] = {}
        self._lookups: dict[str, SortedLookup] = {}

    @property
    def result(self) -> FilesResult:
        """What was done so far."""
        return FilesResult(
            "copy", self._files, self._bytes, self._there, self._stored, self._stored_bytes
        )

    def send(self, kinds: tuple[str, ...]) -> None:
        """Send the files of some kinds of owners."""
        context = self._context

        def keep(kind: str, owner: str) -> bool:
            is_carried = kind in kinds and self._root(kind, owner) is not None
            if not is_carried or (kind, owner) in self.settled:
                return False
            self.looked_at.add((kind, owner))
            return True

        found = context.source.files(context.left_out.add, keep)
        with WorkerPool(context.workers) as pool:
            for (kind, id_), files in groupby(found, lambda file: (file.owner_kind, file.owner_id)):
                place = self._root(kind, id_)
                if place is None:
                    continue
                root, workspace = place
                owner = _Owner(kind, id_, root, self._places_of(workspace), id_ in context.fresh)
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
                owner = _Owner(_ORPHAN, folder, root, self._places_of(_DEFAULT), fresh=False)
                for file in files:
                    pool.do(partial(self._one, owner, file))

    def _root(self, kind: str, owner: str) -> tuple[str, str] | None:
        """Where the files of an owner go, and in which workspace; None if it is not carried."""
        context = self._context
        if kind == "model_version":
            return self._version_root(owner)
        table, column = _TABLES[kind]
        copy = context.ids.of(table).get(owner)
        if table == "trace_info":
            copy = owner if owner not in context.lost_traces else None
        if copy is None or owner in context.deleted_models:
            return None
        if table not in self._lookups:
            columns = (column, "experiment_id")
            self._lookups[table] = SortedLookup(lambda: context.source.read(table, columns))
        row = self._lookups[table].get(owner)
        if row is None or row[0] not in context.ids.experiments:
            return None
        home = context.target_experiments[context.ids.experiments[row[0]]]
        return context.root_in(row[0], kind, copy), home.workspace

    def _version_root(self, owner: str) -> tuple[str, str] | None:
        context = self._context
        root = context.version_roots.get(owner)
        if root is None:
            return None
        return root, context.ids.workspace(owner.partition("/")[0])

    # --- One file ---------------------------------------------------------------------------------

    def _one(self, owner: _Owner, file: ArtifactFile) -> None:
        context = self._context
        try:
            content = self._content(file)
            size = len(content) if content is not None else file.size
            found = owner.there().get(file.path)
            if owner.places.is_renamed(owner.root, file.path):
                self._refuse(file, "MLflow's proxy would write it under another name")
                return
            if not self._is_sent(owner, file, content, found):
                return
            there = found == size and not self._is_changed(owner, file, size, found)
            if not there and self._dry:
                context.note("artifacts", f"{file.owner_kind} {file.owner_id}: {file.path}")
            elif not there:
                self._put(owner, file, size, content)
            else:
                self._sent.note(file, None, size)
            self._count(size, there=there)
        except SourceFileError as error:
            self._sent.leave(file.owner_kind, file.owner_id)
            with context.lock:
                context.left_out.add(unreadable(file, str(error)))
        except OutsideError as error:
            self._refuse(file, error.message, "outside")
        except REFUSED as error:
            self._refuse(file, error.message, reason_of(error))
            with self._lock:
                self.refused += 1

    def _is_sent(
        self, owner: _Owner, file: ArtifactFile, content: bytes | None, found: int | None
    ) -> bool:
        """Whether the server is to have the source's file; what stays as it is there is told."""
        if owner.fresh or owner.kind not in {"run", "logged_model"}:
            return True
        size = len(content) if content is not None else file.size

        def read_source() -> str:
            with self._open(file, content) as stream:
                return hash_stream(stream)[0]

        def read_target() -> str:
            with owner.places.open(owner.root, file.path) as stream:
                return hash_stream(stream)[0]

        state, outcome = self._sent.outcome(file, size, found, read_source, read_target)
        self._states[owner.kind, owner.id, file.path] = state
        is_part = state is State.UNKNOWN and found is not None and found < size
        if outcome is Outcome.SEND or (is_part and self._is_cut_off(owner, file, content, found)):
            return True
        is_kept = outcome is Outcome.KEEP
        why = f"{state.value}; the target keeps its own"
        with self._context.lock:
            self._context.left_out.add(
                LeftOut(
                    owner.kind,
                    owner.id,
                    file.path,
                    "edited" if is_kept else "conflict",
                    why,
                    expected=is_kept,
                )
            )
        self._sent.leave(owner.kind, owner.id)
        return False

    def _is_cut_off(
        self, owner: _Owner, file: ArtifactFile, content: bytes | None, found: int | None
    ) -> bool:
        """Whether the server has the beginning of a file: an upload was cut."""
        left = found or 0
        with (
            self._open(file, content) as mine,
            owner.places.open(owner.root, file.path) as theirs,
        ):
            while left > 0:
                some = mine.read(min(left, _CHUNK))
                if not some or theirs.read(len(some)) != some:
                    return False
                left -= len(some)
        return True

    def _is_changed(self, owner: _Owner, file: ArtifactFile, size: int, found: int | None) -> bool:
        """Whether a file of the same size is another one that is to take its place."""
        state = self._states.pop((owner.kind, owner.id, file.path), State.SAME)
        return found == size and state not in {State.SAME, State.UNKNOWN}

    def _put(self, owner: _Owner, file: ArtifactFile, size: int, content: bytes | None) -> None:
        """Send it, and note what was sent."""
        digest = [""]

        @contextmanager
        def opened() -> Iterator[BinaryIO]:
            with self._open(file, content) as stream:
                hashing = Hashing(stream)
                yield hashing  # type: ignore[misc]
                digest[0] = hashing.hexdigest

        owner.places.put(owner.root, file.path, size, opened)
        self._sent.note(file, digest[0] or None, size)

    def _refuse(self, file: ArtifactFile, why: str, reason: str = "refused") -> None:
        self._sent.leave(file.owner_kind, file.owner_id)
        self._context.leave("artifact", file.owner_id, file.path, reason, why)

    def _content(self, file: ArtifactFile) -> bytes | None:
        """The bytes of a file in which ids are other ones on the server; None of any other."""
        if not names_ids(file.path, file.size):
            return None
        with open_guarded(self._context.source, file) as stream:
            return with_new_ids(file.path, stream, self._context.ids).read()

    def _open(self, file: ArtifactFile, content: bytes | None) -> AbstractContextManager[BinaryIO]:
        if content is not None:
            return _bytes(content)
        return open_guarded(self._context.source, file)

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


@contextmanager
def _bytes(content: bytes) -> Iterator[BinaryIO]:
    with io.BytesIO(content) as stream:
        yield stream
