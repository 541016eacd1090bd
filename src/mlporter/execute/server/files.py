"""Artifact files on their way to a server: streamed, and several at a time."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.uris import layout
from mlporter.errors import OutsideError
from mlporter.execute.artifact_files import SourceFileError, open_guarded, unreadable
from mlporter.execute.result import FilesResult
from mlporter.execute.server.worker_pool import WorkerPool
from mlporter.plan.ids.id_strings import names_ids, with_new_ids
from mlporter.stores.rest.answers import REFUSED, reason_of
from mlporter.stores.rows.sorted_lookup import SortedLookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from mlporter.execute.server.context import ServerContext
    from mlporter.stores.protocols import ArtifactFile
    from mlporter.stores.server.target_places import ServerPlaces

__all__ = ["Files"]

_ORPHAN = "orphan"
_PROXIED = "mlflow-artifacts:"
_DEFAULT = "default"
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
        dry: Count only.

    Attributes:
        refused: Files that the server did not take.
    """

    def __init__(
        self, context: ServerContext, places_of: Callable[[str], ServerPlaces], *, dry: bool = False
    ) -> None:
        self._context = context
        self._places_of = places_of
        self._dry = dry
        self._lock = Lock()
        self._files = self._bytes = self._there = self._stored = self._stored_bytes = 0
        self.refused = 0
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
            return kind in kinds and self._root(kind, owner) is not None

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
            there = owner.there().get(file.path) == size
            if owner.places.is_renamed(owner.root, file.path):
                self._refuse(file, "MLflow's proxy would write it under another name")
                return
            if not there and self._dry:
                context.note("artifacts", f"{file.owner_kind} {file.owner_id}: {file.path}")
            elif not there:
                owner.places.put(owner.root, file.path, size, partial(self._open, file, content))
            self._count(size, there=there)
        except SourceFileError as error:
            with context.lock:
                context.left_out.add(unreadable(file, str(error)))
        except OutsideError as error:
            self._refuse(file, error.message, "outside")
        except REFUSED as error:
            self._refuse(file, error.message, reason_of(error))
            with self._lock:
                self.refused += 1

    def _refuse(self, file: ArtifactFile, why: str, reason: str = "refused") -> None:
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

    def _count(self, size: int, *, there: bool) -> None:
        with self._lock:
            self._files += 1
            self._bytes += size
            self._there += there
            self._stored += not there
            self._stored_bytes += 0 if there else size
            done = self._bytes
        self._context.on_progress("copying artifacts", done, None, "bytes")


@contextmanager
def _bytes(content: bytes) -> Iterator[BinaryIO]:
    with io.BytesIO(content) as stream:
        yield stream
