"""Artifact files on their way into a target's artifact root, to be taken back if it fails."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from mlporter.artifacts.disk.sorting import SortedNumbers
from mlporter.artifacts.disk.write_log import NotRemoved, WriteLog
from mlporter.artifacts.listing import files_of
from mlporter.artifacts.places import LocalPlace, Written
from mlporter.artifacts.uris.allowed_hosts import Hosts
from mlporter.artifacts.uris.uri_text import UriMap
from mlporter.errors import ReadBackError, UnreachableError
from mlporter.execute.files.tasks import PutFile, PutObject
from mlporter.stores.addresses.environment import PROCESS, TRACKING_URI, Environment
from mlporter.stores.artifact_places.mlflow_place import MlflowPlace
from mlporter.stores.artifact_places.places import Places
from mlporter.stores.artifact_places.portable import StoredPlace, place_elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from mlporter.artifacts.places import Changeable
    from mlporter.execute.database.rewrite import Rewrite
    from mlporter.execute.files.tasks import Landed, Put
    from mlporter.stores.protocols import ArtifactFile, Openable
    from mlporter.workers.task_pool import TaskPool

__all__ = ["Bound", "TargetFiles"]


@dataclass(frozen=True, slots=True)
class Bound:
    """A file of the source, and the artifact URI of its owner in the target.

    `is_old` says that the target had that owner before.
    """

    file: ArtifactFile
    root: str
    is_old: bool = False


class TargetFiles:
    """Writes files to the places that `rewrite` gives their owners.

    Nothing that is already there is changed: an equal file is left as it is, another one is an
    error. `undo` removes what was written, and nothing else.
    """

    def __init__(
        self,
        rewrite: Rewrite,
        uri_map: tuple[str, ...] = (),
        environment: Environment = PROCESS,
    ) -> None:
        self._rewrite = rewrite
        self._log = WriteLog()
        self._root, self._is_local = "", True
        self._put = SortedNumbers()
        # A relative root was made absolute with the current folder, not with the database's.
        parsed = UriMap.parse(uri_map)
        # Of hosts, only those that the user named: a row of the target may name any other.
        named = (rewrite.root, *parsed.targets)
        hosts = Hosts.of(None, named, tracking=environment.get(TRACKING_URI))
        self._places = Places(
            base=Path.cwd(),
            uri_map=parsed,
            log=self._log,
            hosts=lambda: hosts,
            environment=environment,
        )

    @property
    def root(self) -> str:
        """The target's artifact root."""
        return self._rewrite.root

    def open(self, uri: str) -> Changeable:
        """The place of an owner that the target has already."""
        return cast("Changeable", self._places.open(uri))

    def prepare(self, pool: TaskPool) -> None:
        """Make the local folders that experiments lie in, as MLflow does for its own root.

        They tell a run that logged no files from a disk that is not there. A remote root is only
        looked at: that it can be is better known before the rows are written than after.

        Raises:
            UnreachableError: they cannot be made, or reached.
            RefusedError: the workers that are to write into them do not see them.
        """
        for root in self._rewrite.workspace_roots():
            place = self._places.open(root)
            if isinstance(place, LocalPlace):
                try:
                    place.create()
                except OSError as error:
                    reason = error.strerror or str(error)
                    raise UnreachableError(f"cannot write: {reason}", subject=place.uri) from error
                pool.check_sees(place.base)
            else:
                place.exists()

    def bind(self, files: Iterator[ArtifactFile]) -> Iterator[Bound]:
        """Each file with the root it goes to, in the order given: by owner kind and id."""
        root_of = self._rewrite.owner_root()
        owner, root = ("", ""), ""
        for file in files:
            # An owner has many files, and their root is the same.
            if (file.owner_kind, file.owner_id) != owner:
                owner = (file.owner_kind, file.owner_id)
                root = root_of(*owner)
            yield Bound(file, root)

    def put(
        self,
        bound: Bound,
        opened: Callable[[], AbstractContextManager[BinaryIO]],
        found: Callable[[], Openable | None],
    ) -> Written:
        """Write one file, and read it back where that costs no network.

        Args:
            bound: Which.
            opened: Opens its bytes.
            found: Where others find them: a storage may copy its own.

        Raises:
            RefusedError: another file is already there.
            UnreachableError: it cannot be written.
            ReadBackError: what is there now is not what was written.
        """
        place = self._places.open(bound.root)
        if isinstance(place, MlflowPlace):
            file = found()
            return place.put_from(bound.file.path, opened, file.whole if file else None)
        with opened() as stream:
            return place.put(bound.file.path, stream)

    def replace_by_storage(
        self,
        bound: Bound,
        opened: Callable[[], AbstractContextManager[BinaryIO]],
        found: Callable[[], Openable | None],
        is_expected: Callable[[str], bool],
    ) -> Written | None:
        """Have a storage copy a file over another one; see `MlflowPlace.replace_by_storage`.

        Args:
            bound: Which.
            opened: Opens its bytes.
            found: Where others find them.
            is_expected: Whether what is there may be replaced, by its SHA-256 (hex).

        Returns:
            What was written; None if nothing was, and the other file is as it was.
        """
        place = self._places.open(bound.root)
        if not isinstance(place, MlflowPlace):
            return None
        file = found()
        whole = file.whole if file else None
        return place.replace_by_storage(bound.file.path, opened, whole, is_expected)

    def elsewhere(self, bound: Bound, file: Openable) -> Put | None:
        """What another process has to do to put a file; None if only this one can.

        What is there already is looked for here and now: so it is known what is to be taken back,
        even if nobody ever says what became of the task.

        Raises:
            RefusedError: the path is not safe.
            UnreachableError: the folder cannot be made, or the place not be looked at.
        """
        path, place = bound.file.path, self._places.open(bound.root)
        if isinstance(place, LocalPlace):
            folder = place.folder_of(path)
            name = path.rpartition("/")[2]
            return PutFile(file, str(folder), name, is_new=not os.path.lexists(folder / name))
        stored = place_elsewhere(place)
        if not isinstance(place, MlflowPlace) or not isinstance(stored, StoredPlace):
            return None
        return PutObject(file, stored, path, is_new=place.expects(path))

    def put_elsewhere(self, bound: Bound, written: Landed) -> Written | None:
        """Note what another process has put; None if it cannot be found here."""
        path, place = bound.file.path, self._places.open(bound.root)
        if isinstance(place, LocalPlace):
            folder, name = place.folder_of(path), path.rpartition("/")[2]
            try:
                found = (folder / name).lstat()
            except OSError:
                return None
            if (found.st_ino, found.st_size) != (written.inode, written.size):
                return None
            if written.created:
                self._log.add_file(folder, name, found.st_dev, found.st_ino)
        elif isinstance(place, MlflowPlace):
            place.brought(path, written.size)
        return Written(written.sha256, written.size, written.created, written.by_storage)

    def landed(self, bound: Bound, written: Written) -> None:
        """Note a file that was put, in order; an owner's files are looked at when it is complete.

        Raises:
            ReadBackError: a remote store does not list a file, or in another size.
        """
        if bound.root != self._root:
            self.check_listed()
            self._root = bound.root
            self._is_local = isinstance(self._places.open(bound.root), LocalPlace)
        if not self._is_local:
            self._put[bound.file.path.encode()] = written.size

    def check_listed(self) -> None:
        """Look whether a remote store lists what was put there; see `landed`."""
        if self._is_local:
            return
        put, self._put = self._put, SortedNumbers()
        place = self._places.open(self._root)
        listed = files_of(place.list())
        there = next(listed, None)
        with closing(put):
            for path, size in put.items():
                while there is not None and there.path.encode() < path:
                    there = next(listed, None)
                is_it = there is not None and there.path.encode() == path
                found = there.size if there is not None and is_it else None
                if found != size:
                    raise ReadBackError(
                        f"was written with {size} bytes, and is listed with {found}",
                        subject=f"{place.uri}/{path.decode()}",
                    )

    def settle(self) -> None:
        """Make everything that was put survive a crash: the rows that name it are committed next.

        Raises:
            UnreachableError: the disk fails.
        """
        self.check_listed()
        try:
            self._log.sync()
        except OSError as error:
            raise UnreachableError(
                f"cannot write: {error.strerror or error}", subject=self._rewrite.root
            ) from error

    def undo(self) -> list[NotRemoved]:
        """Remove what was written; returns what could not be removed."""
        return self._places.undo()
