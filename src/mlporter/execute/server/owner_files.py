"""Where the files of each owner go on a server, and what they are made of there."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.disk.copying import hash_stream
from mlporter.catalogue.file_owners import FILE_OWNERS
from mlporter.execute.files.artifact_files import open_guarded
from mlporter.plan.ids.id_strings import names_ids, with_new_ids
from mlporter.stores.protocols import elsewhere
from mlporter.stores.rows.spool import SortedLookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from mlporter.artifacts.places import WholeObject
    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.stores.protocols import ArtifactFile
    from mlporter.stores.server.target_places import ServerPlaces

__all__ = ["OwnedFiles", "ServerOwner"]

_CHUNK = 1 << 20


@dataclass
class ServerOwner:
    """An owner's files on the server, while they are planned or sent.

    Attributes:
        kind: What it is.
        id: The source's id.
        root: Where its files lie there.
        places: Opens that.
        fresh: Whether it was made just now, so that it has none.
    """

    kind: str
    id: str
    root: str
    places: ServerPlaces
    fresh: bool = False
    _lock: Lock = field(default_factory=Lock)
    _known: Mapping[str, int] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What it is remembered by."""
        return self.kind, self.id

    def there(self) -> Mapping[str, int]:
        """What the server had; nothing is asked about what was made just now."""
        with self._lock:
            if self._known is None:
                self._known = {} if self.fresh else self.places.sizes(self.root)
            return self._known

    def hash(self, path: str) -> str:
        """The SHA-256 of a file that is there."""
        with self.places.open(self.root, path) as stream:
            return hash_stream(stream)[0]


class OwnedFiles:
    """Finds the places of owners, and opens files as the server is to have them.

    Args:
        context: The import.
        places_of: Where the files of a workspace go.
    """

    def __init__(self, context: ServerContext, places_of: Callable[[str], ServerPlaces]) -> None:
        self._context = context
        self._places_of = places_of
        self._lookups: dict[str, SortedLookup] = {}

    def owner(self, kind: str, id_: str) -> ServerOwner | None:
        """An owner, if it is copied, and the server has it; asked in the order of owners."""
        place = self._root(kind, id_)
        if place is None:
            return None
        root, workspace = place
        return ServerOwner(kind, id_, root, self._places_of(workspace), id_ in self._context.fresh)

    def _root(self, kind: str, owner: str) -> tuple[str, str] | None:
        """Where the files of an owner go, and in which workspace; None if it is not copied."""
        context = self._context
        if kind == "model_version":
            return self._version_root(owner)
        table, column = FILE_OWNERS[kind].table, FILE_OWNERS[kind].key
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

    # --- What a file is made of -------------------------------------------------------------------

    def content(self, file: ArtifactFile) -> bytes | None:
        """The bytes of a file in which ids are other ones on the server; None of any other."""
        if not names_ids(file.path, file.size):
            return None
        with open_guarded(self._context.source, file) as stream:
            return with_new_ids(file.path, stream, self._context.ids).read()

    def open(self, file: ArtifactFile, content: bytes | None) -> AbstractContextManager[BinaryIO]:
        """The bytes of a file, as they are sent."""
        if content is not None:
            return _bytes(content)
        return open_guarded(self._context.source, file)

    def whole(self, file: ArtifactFile, content: bytes | None) -> WholeObject | None:
        """The object that a file is, if it is sent as it is stored."""
        found = elsewhere(self._context.source, file) if content is None else None
        return found.whole if found else None

    def size(self, file: ArtifactFile) -> int:
        """Its bytes, as they are sent."""
        content = self.content(file)
        return file.size if content is None else len(content)

    def sha256(self, file: ArtifactFile) -> str | None:
        """The SHA-256 of it, as it is sent, where that is known without reading it all."""
        content = self.content(file)
        return file.sha256 if content is None else hash_stream(io.BytesIO(content))[0]

    def hash(self, file: ArtifactFile) -> str:
        """The same; read where it must be."""
        known = self.sha256(file)
        if known is not None:
            return known
        with self.open(file, None) as stream:
            return hash_stream(stream)[0]

    def is_part(self, owner: ServerOwner, file: ArtifactFile, there: int) -> bool:
        """Whether the server has the beginning of a file: an upload was cut."""
        left = there
        with (
            self.open(file, self.content(file)) as mine,
            owner.places.open(owner.root, file.path) as theirs,
        ):
            while left > 0:
                some = mine.read(min(left, _CHUNK))
                if not some or theirs.read(len(some)) != some:
                    return False
                left -= len(some)
        return True


@contextmanager
def _bytes(content: bytes) -> Iterator[BinaryIO]:
    with io.BytesIO(content) as stream:
        yield stream
