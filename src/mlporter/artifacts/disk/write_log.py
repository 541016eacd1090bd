"""What a transfer wrote, to take precisely that back."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import threading
import weakref
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from mlporter.artifacts.disk.durable import has_syncfs, sync_file, sync_folder, sync_whole_disk
from mlporter.errors import MlporterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["NotRemoved", "Taker", "WriteLog"]

_IN_MEMORY = 1 << 20
_quoted = json.encoder.encode_basestring_ascii
"""A text as JSON: `json.dumps` takes a tenth of the time that copying a small file does."""
_FOLDERS = 4096
"""Folders that are remembered as synced: files come owner by owner, so few are synced twice."""


class Taker(Protocol):
    """A place that files can be removed from again."""

    def remove(self, paths: Sequence[str]) -> Sequence[str]:
        """Remove files that this process wrote; returns those that stay."""


@dataclass(frozen=True, slots=True)
class NotRemoved:
    """Something that a rollback could not remove: where it is, and why it stays."""

    where: str
    why: str


class WriteLog:
    """What was created, so that `undo` removes precisely that. Safe to use from several threads.

    Kept in a temporary file once it is large, so that memory does not grow with the files.
    A local file is noted with its inode *before* it appears under its name, and only removed
    while it still is that inode: what was there before, or was put there since, stays.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._disks: dict[int, Path] = {}
        self._others: set[tuple[str, str]] = set()
        self._spool: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        self._closing = weakref.finalize(self, self._spool.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget what was written; done by itself when the log is no longer used."""
        self._closing()

    def add_file(self, folder: Path, name: str, device: int, inode: int) -> None:
        """A local file that is about to get this name in a folder."""
        self._disks.setdefault(device, folder)
        self._add("file", f"{os.fspath(folder)}/{name}", f"{device}:{inode}")

    def add_directory(self, path: Path) -> None:
        """A local directory that was just made."""
        parent = path.parent
        self._disks.setdefault(parent.stat().st_dev, parent)
        self._add("directory", os.fspath(path), "")

    def add_remote(self, uri: str, path: str) -> None:
        """A file that is about to be written below an artifact URI."""
        with self._lock:
            self._others.discard((uri, path))
        self._add("remote", uri, path)

    def forget_remote(self, uri: str, path: str) -> None:
        """A file that somebody else has put there, as it turned out; it is theirs."""
        with self._lock:
            self._others.add((uri, path))

    def _add(self, *entry: str) -> None:
        line = f"[{', '.join(map(_quoted, entry))}]\n".encode()
        with self._lock:
            self._spool.seek(0, os.SEEK_END)
            self._spool.write(line)

    def _entries(self) -> Iterator[tuple[str, str, str]]:
        self._spool.seek(0)
        for line in self._spool:
            kind, first, second = json.loads(line)
            yield kind, first, second

    def sync(self) -> None:
        """Make all local files and directories durable, with their names.

        Once at the end, and not with each file, as that would be most of the time.

        Raises:
            OSError: the disk fails, or somebody took a folder away.
        """
        if has_syncfs():
            for folder in self._disks.values():
                sync_whole_disk(folder)
            return
        sync_names = lru_cache(_FOLDERS)(sync_folder)
        with self._lock:
            for kind, where, _ in self._entries():
                if kind == "remote":
                    continue
                if kind == "file":
                    sync_file(Path(where))
                sync_names(Path(where).parent)

    def undo(self, open_place: Callable[[str], Taker] | None = None) -> list[NotRemoved]:
        """Remove the files, then the directories that are empty.

        Args:
            open_place: Opens the artifact URIs given to `add_remote`; needed if there are any.

        Returns:
            What could not be removed. Never raises for a single file.
        """
        stays: list[NotRemoved] = []
        directories: list[str] = []
        with self._lock:
            for (kind, where), group in groupby(self._entries(), key=_undo_group):
                if kind == "file":
                    stays += [stay for _, path, inode in group if (stay := _unlink(path, inode))]
                elif kind == "directory":
                    directories += [path for _, path, _ in group]
                else:
                    paths = [path for _, _, path in group if (where, path) not in self._others]
                    stays += _remove_remote(where, paths, open_place) if paths else []
        for path in sorted(directories, key=len, reverse=True):
            if stay := _rmdir(path):
                stays.append(stay)
        return stays


def _undo_group(entry: tuple[str, str, str]) -> tuple[str, str]:
    kind, where, _ = entry
    return kind, where if kind == "remote" else ""


def _unlink(path: str, inode: str) -> NotRemoved | None:
    try:
        found = os.lstat(path)
        if f"{found.st_dev}:{found.st_ino}" == inode:
            Path(path).unlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        return NotRemoved(path, error.strerror or str(error))
    return None


def _rmdir(path: str) -> NotRemoved | None:
    try:
        Path(path).rmdir()
    except FileNotFoundError:
        return None
    except OSError as error:
        # Somebody else's files came into it: theirs to keep.
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return None
        return NotRemoved(path, error.strerror or str(error))
    return None


def _remove_remote(
    uri: str, paths: list[str], open_place: Callable[[str], Taker] | None
) -> list[NotRemoved]:
    if open_place is None:
        return [NotRemoved(f"{uri}/{path}", "there is no way to remove it") for path in paths]
    why = "the artifact store did not remove it"
    staying: Sequence[str] = paths
    try:
        staying = open_place(uri).remove(paths)
    except (OSError, MlporterError) as error:
        why = f"{why}: {error}"
    return [NotRemoved(f"{uri}/{path}", why) for path in staying]
