# ruff: noqa: PLC0415 -- MLflow takes seconds to import, which most commands can do without
"""Artifact places behind MLflow's artifact repositories: S3, GCS, Azure, HDFS, SFTP, servers.

MLflow is imported when the first such place is opened, never before. Retries are MLflow's and
the drivers' own. What they raise becomes an `UnreachableError` (or an `OSError` for a single file
that is read), with credentials taken out of the text.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote, urlsplit

from mlporter.artifacts.disk.copying import Tapped, copy_and_hash, hash_stream
from mlporter.artifacts.disk.sorting import SortedNumbers
from mlporter.artifacts.failures import reading_one_file, translated
from mlporter.artifacts.listing import (
    Folder,
    Found,
    files_of,
    listed_inside,
    walk,
)
from mlporter.artifacts.places import Written
from mlporter.artifacts.uris.uri_text import safe_relative
from mlporter.errors import RefusedError, UnreachableError
from mlporter.redaction import redact
from mlporter.stores.artifact_places.s3_copies import (
    OtherwiseNowError,
    UnprovenError,
    copy_by_store,
    stored_sha256,
)
from mlporter.stores.artifact_places.s3_objects import (
    UNSAFE,
    lists_s3,
    objects_below,
    objects_in_order,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from mlflow.entities import FileInfo
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

    from mlporter.artifacts.disk.write_log import WriteLog
    from mlporter.artifacts.places import WholeObject
    from mlporter.stores.artifact_places.s3_copies import StoreCopy

__all__ = ["MlflowPlace"]

_FIRST_USE = threading.Lock()
_used: set[str] = set()


@dataclass
class MlflowPlace:
    """A place behind one of MLflow's artifact repositories; made by `open_place`.

    Files pass through a temporary file on their way in and out, so memory stays small.
    """

    address: str
    repository: ArtifactRepository
    log: WriteLog | None = None
    prefix: str | None = None
    """Of the variables by which another process reaches it; None where none does."""
    _known: SortedNumbers | None = field(default=None, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)

    @property
    def uri(self) -> str:
        """Its URI, redacted."""
        return redact(self.address)

    def exists(self) -> bool:
        """Whether there is anything below it."""
        if lists_s3(self.repository):
            return any(True for _ in self.list())
        return bool(self._children(""))

    def list(self) -> Iterator[Found]:
        """All files below it; see `Place.list`.

        S3 lists 1,000 at a time; of other stores MLflow lists a folder at a time.
        """
        if lists_s3(self.repository):
            return objects_in_order(self.address, self._asked(objects_below(self.repository)))
        return walk(Folder(""), self._inside)

    def _asked(self, found: Iterator[Found]) -> Iterator[Found]:
        """The same, and what drivers raise as ours."""
        while True:
            with translated(self.address), _one_at_first(self.address):
                item = next(found, None)
            if item is None:
                return
            yield item

    def _inside(self, folder: Folder) -> Iterator[Found | Folder]:
        children = (
            (info.path, info.is_dir, int(info.file_size or 0))
            for info in self._children(folder.path)
        )
        return listed_inside(folder, children, UNSAFE)

    def _children(self, folder: str) -> Sequence[FileInfo]:
        with translated(self.address), _one_at_first(self.address):
            listed: Sequence[FileInfo] = self.repository.list_artifacts(folder or None)
        return listed

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """A file's bytes; see `Place.open`. It is downloaded to a temporary file first."""
        if not safe_relative(path):
            raise PermissionError(f"not a safe path: {path!r}")
        with tempfile.TemporaryDirectory(prefix="mlporter-") as folder:
            local = Path(folder, "download")
            with reading_one_file(self.address):
                # Not download_artifacts: that lists first, and takes an object "a" for a folder
                # where there is also an object "a/b".
                self.repository._download_file(self._remote(path), os.fspath(local))  # noqa: SLF001
            with local.open("rb") as stream:
                yield stream

    def _remote(self, path: str) -> str:
        """Repositories that speak HTTP paste paths into URLs without quoting them."""
        from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

        return quote(path) if isinstance(self.repository, HttpArtifactRepository) else path

    def put(self, path: str, stream: BinaryIO) -> Written:
        """Write a file; see `Place.put`.

        What lies here is listed once, before the first file is written. Read back with `list`.
        """
        return self._put(path, stream, looks=True)

    def _put(self, path: str, stream: BinaryIO, *, looks: bool) -> Written:
        if not safe_relative(path):
            raise RefusedError("the path of an artifact is not safe", subject=path)
        folder, _, name = self._remote(path).rpartition("/")
        with tempfile.TemporaryDirectory(prefix="mlporter-") as temporary:
            local = Path(temporary, name)
            digest, size = _spool(stream, local)
            if looks and self._size(path) is not None:
                return self._already(path, digest, size)
            if self.log:
                self.log.add_remote(self.address, path)
            with translated(self.address):
                self.repository.log_artifact(os.fspath(local), folder or None)
        if looks:
            self.brought(path, size)
        return Written(digest, size, created=True)

    def expects(self, path: str) -> bool:
        """Note that another process is about to write a file; whether there is none yet."""
        if not safe_relative(path):
            raise RefusedError("the path of an artifact is not safe", subject=path)
        is_new = self._size(path) is None
        if is_new and self.log:
            self.log.add_remote(self.address, path)
        return is_new

    def brought(self, path: str, size: int) -> None:
        """Note that another process has written a file."""
        with self._lock:
            self._sizes()[path.encode()] = size

    def put_from(
        self,
        path: str,
        opened: Callable[[], AbstractContextManager[BinaryIO]],
        whole: WholeObject | None,
        *,
        is_new: bool = False,
    ) -> Written:
        """Write a file, never over another one; by a copy of the storage's own where there is one.

        Args:
            path: Below this place.
            opened: Opens its bytes, if they are needed.
            whole: The object that it is, if it is one.
            is_new: Whether it is known that there is none; then nothing is listed, nor noted.
        """
        copy = whole and copy_by_store(self.repository, self.prefix, path, whole)
        written = None
        if copy and safe_relative(path):
            try:
                written = self._copied(path, copy, is_new=is_new)
            except OtherwiseNowError:
                is_new = False
                with self._lock:
                    self._known = None
        if written is not None:
            return written
        with opened() as stream:
            return self._put(path, stream, looks=not is_new)

    def _copied(self, path: str, copy: StoreCopy, *, is_new: bool) -> Written | None:
        """What the storage copied, or had; None if it is to be streamed."""
        if is_new:
            return copy.made()
        if self._size(path) is not None:
            return copy.there()
        if self.log:
            self.log.add_remote(self.address, path)
        try:
            written = copy.made()
        except OtherwiseNowError:
            if self.log:  # Whoever put it there: a rollback must not take it away.
                self.log.forget_remote(self.address, path)
            raise
        if written is not None:
            self.brought(path, written.size)
        return written

    def replace_by_storage(
        self,
        path: str,
        opened: Callable[[], AbstractContextManager[BinaryIO]],
        whole: WholeObject | None,
        is_expected: Callable[[str], bool],
    ) -> Written | None:
        """Have the storage copy a file over another one, if that is still what it was.

        Args:
            path: Below this place.
            opened: Opens its bytes: it is streamed after all where nothing proves the copy.
            whole: The object that it is, if it is one.
            is_expected: Whether what is there may be replaced, by its SHA-256 (hex).

        Returns:
            What was written; None if nothing was: it is to be looked at again, and streamed.

        Raises:
            OSError: it cannot be read.
            UnreachableError: it cannot be written.
        """
        copy = whole and copy_by_store(self.repository, self.prefix, path, whole)
        if not copy or not safe_relative(path):
            return None

        def read() -> str:
            with self.open(path) as stream:
                return hash_stream(stream)[0]

        try:
            written = copy.made_over(is_expected, read)
        except OtherwiseNowError:
            return None
        except UnprovenError:
            with opened() as stream:
                return self.replace(path, stream)
        if written is not None:
            self.brought(path, written.size)
        return written

    def replace(self, path: str, stream: BinaryIO) -> Written:
        """Write a file over another one; see `Changeable.replace`."""
        folder, _, name = self._remote(path).rpartition("/")
        with tempfile.TemporaryDirectory(prefix="mlporter-") as temporary:
            local = Path(temporary, name)
            digest, size = _spool(stream, local)
            with translated(self.address):
                self.repository.log_artifact(os.fspath(local), folder or None)
        with self._lock:
            self._known = None
        return Written(digest, size, created=True)

    def _size(self, path: str) -> int | None:
        """The bytes of a file that lies here; None if there is none."""
        with self._lock:
            return self._sizes().get(path.encode())

    def _sizes(self) -> SortedNumbers:
        """The bytes of all files that lie here; listed once."""
        if self._known is None:
            known = SortedNumbers()
            for file in files_of(self.list()):
                known[file.path.encode()] = file.size
            self._known = known
        return self._known

    def _already(self, path: str, digest: str, size: int) -> Written:
        if self._size(path) == size:
            if stored_sha256(self.repository, path) == digest:
                return Written(digest, size, created=False)
            with self.open(path) as there:
                if hash_stream(there) == (digest, size):
                    return Written(digest, size, created=False)
        raise RefusedError("another file is already there", subject=f"{self.uri}/{path}")

    def remove(self, paths: Sequence[str]) -> Sequence[str]:
        """Remove files; those that stay are found by listing, as stores fail in silence here.

        A path that also is a folder of other files stays: MLflow would delete the folder.
        """
        from mlflow.store.artifact.artifact_repo import ArtifactRepository

        if type(self.repository).delete_artifacts is ArtifactRepository.delete_artifacts:
            return paths
        wanted = frozenset(paths)
        above = (PurePosixPath(file.path).parents for file in files_of(self.list()))
        folders = {name for parents in above for name in map(str, parents) if name in wanted}
        for path in paths:
            if path not in folders:
                with translated(self.address):
                    self.repository.delete_artifacts(self._remote(path))
        there = {file.path for file in files_of(self.list()) if file.path in wanted}
        return [path for path in paths if path in there]


def _spool(stream: BinaryIO, local: Path) -> tuple[str, int]:
    source = Tapped(stream)
    try:
        with local.open("xb") as out:
            return copy_and_hash(source, out)
    except OSError as error:
        if error is source.failure:
            raise
        raise UnreachableError(
            f"cannot write a temporary file: {error.strerror or error}",
            subject=os.fspath(local.parent),
            hint="set TMPDIR to a folder with room for the largest artifact",
        ) from error


@contextlib.contextmanager
def _one_at_first(address: str) -> Iterator[None]:
    """boto3's default session may not be made by two threads at once; nor are others known to."""
    scheme = urlsplit(address).scheme
    if scheme in _used:
        yield
        return
    with _FIRST_USE:
        yield
        _used.add(scheme)
