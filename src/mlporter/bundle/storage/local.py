"""Objects in a folder of this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.disk.durable import sync_file, sync_folder
from mlporter.bundle.folder.atomic import (
    disk_errors,
    make_folder,
    write_atomic,
    write_temporary,
)
from mlporter.bundle.folder.files import open_inside, read_inside, walk
from mlporter.bundle.storage.protocol import StoredObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["SCRATCH", "LocalStorage"]

SCRATCH = ".mlporter"
"""The folder of unfinished files; whatever lies in it is nobody's after a crash."""


class LocalStorage:
    """A folder, as `mlporter.bundle.storage.protocol.Storage`. No link in it is followed."""

    is_local = True
    reads_parts = True

    def __init__(self, root: Path) -> None:
        """Use a folder; it is made by the first object."""
        self.root = root

    def __reduce__(self) -> tuple[type[LocalStorage], tuple[Path]]:
        """Another process may be in another folder."""
        return LocalStorage, (self.root.absolute(),)

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.root)

    def elsewhere(self) -> LocalStorage:
        """This is all that there is to it."""
        return self

    def whole(self, path: str, sha256: str) -> None:
        """No object store."""

    def brought(self, path: str) -> None:
        """Nothing is remembered of what is there."""

    def scratch(self) -> Path:
        """A folder in it."""
        folder = self.root / SCRATCH
        make_folder(folder)
        return folder

    def put(self, path: str, data: bytes) -> None:
        """Write an object."""
        write_atomic(self.root / path, data)

    def put_file(self, path: str, file: Path) -> None:
        """Rename a file to its place."""
        place = self.root / path
        make_folder(place.parent)
        with disk_errors(place):
            sync_file(file)
            file.replace(place)
            sync_folder(place.parent)

    def put_new(self, path: str, data: bytes) -> bool:
        """Write an object by a link, which fails where there is one."""
        place = self.root / path
        make_folder(place.parent)
        with disk_errors(place):
            temporary = Path(write_temporary(str(place.parent), data))
            try:
                sync_file(temporary)
                _link(temporary, place)
                sync_folder(place.parent)
            except FileExistsError:
                return False
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def size(self, path: str) -> int | None:
        """Bytes of a regular file."""
        with disk_errors(self.root / path, "read"):
            try:
                found = (self.root / path).lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            return found.st_size

    def open(self, path: str) -> BinaryIO:
        """A file for reading, unbuffered."""
        return open_inside(self.root, path)

    def read(self, path: str, limit: int) -> bytes:
        """A small file."""
        return read_inside(self.root, path, limit)

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """Some bytes of a file."""
        with self.open(path) as file, disk_errors(self.root / path, "read"):
            file.seek(start)
            return file.read(size)

    def walk(self, below: str = "") -> Iterator[StoredObject]:
        """Every file below a folder."""
        if not (self.root / below).is_dir():
            return
        for entry in walk(self.root, below):
            if entry.kind != "file" or entry.path.split("/")[0] == SCRATCH:
                continue
            with suppress(FileNotFoundError):  # somebody else has just removed it
                found = (self.root / entry.path).lstat()
                written = datetime.fromtimestamp(found.st_mtime, timezone.utc)
                yield StoredObject(entry.path, found.st_size, written)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, and folders that nothing is left in."""
        folders = set()
        for path in paths:
            with disk_errors(self.root / path, "remove"):
                (self.root / path).unlink(missing_ok=True)
            folders.add((self.root / path).parent)
        for folder in folders:
            with suppress(OSError):
                if folder != self.root:
                    folder.rmdir()


def _link(file: Path, place: Path) -> None:
    """Give a file a name that nobody has, also where the disk knows no links.

    Raises:
        FileExistsError: somebody has it.
    """
    try:
        os.link(file, place)
    except FileExistsError:
        raise
    except OSError:
        with place.open("xb") as copy:
            copy.write(file.read_bytes())
