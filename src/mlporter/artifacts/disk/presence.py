"""Looking whether folders are there: one that may not be looked at is reported, not guessed.

"It is not there" and "nobody can say" are different answers: the first loses nothing. `Path.is_dir`
raises a bare `PermissionError` for the second, and `os.path.isdir` gives the first.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from mlporter.errors import AccessDeniedError, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "cannot_look",
    "displayable",
    "folders_in",
    "is_file",
    "is_folder",
    "is_seen",
    "is_there",
    "open_real",
]

_READ_ONLY = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Not blocking, so that a fifo that took a file's place is not waited for."""
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_LINK_ABOVE = getattr(os, "O_NOFOLLOW_ANY", 0)
"""macOS has it: no link anywhere in the path."""
_STEP = getattr(os, "O_PATH", 0) | getattr(os, "O_DIRECTORY", 0) | _NO_LINK
"""Into a folder, which need not be one that may be listed; Linux has it."""


def displayable(name: str) -> str:
    r"""A name as valid text: undecodable bytes, which are surrogates, are spelt ``\udcff``."""
    return name.encode("utf-8", "backslashreplace").decode()


def cannot_look(path: Path | str, error: OSError) -> UnreachableError:
    """The error that says that a place cannot be looked at."""
    denied = error.errno in {errno.EACCES, errno.EPERM}
    kind = AccessDeniedError if denied else UnreachableError
    reason = error.strerror or str(error)
    return kind(
        f"cannot be looked at: {reason}",
        subject=displayable(os.fspath(path)),
        hint="ask for permission to read it, or run this as a user who has it" if denied else None,
    )


def is_there(path: Path | str) -> bool:
    """Whether there is anything.

    Raises:
        UnreachableError: nobody can say.
    """
    return _mode(path) is not None


def is_folder(path: Path | str) -> bool:
    """Whether it is a folder, or leads to one.

    Raises:
        UnreachableError: nobody can say.
    """
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def is_file(path: Path | str) -> bool:
    """Whether it is a file, or leads to one.

    Raises:
        UnreachableError: nobody can say.
    """
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_seen(path: Path | str) -> bool:
    """Whether there is surely something: for a hint, and never for what is copied."""
    try:
        return is_there(path)
    except (UnreachableError, ValueError):
        return False


def _mode(path: Path | str) -> int | None:
    try:
        return os.stat(path).st_mode  # noqa: PTH116 -- a text as well
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise cannot_look(path, error) from error


def folders_in(folder: Path | str) -> list[str]:
    """Names of the folders in a folder, links to folders not among them; none if it is absent.

    Raises:
        UnreachableError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise cannot_look(folder, error) from error


def open_real(real: str) -> int:
    """Open a file for reading by its real path, in which no link is followed.

    A folder on the way, or the file itself, may have become a link since somebody looked.

    Raises:
        OSError: it cannot be opened, or the path leads over a link by now.
    """
    if not _NO_LINK and os.path.islink(real):  # noqa: PTH114 -- a text
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), real)
    flags = _READ_ONLY | _NO_LINK | _NO_LINK_ABOVE
    if _NO_LINK_ABOVE or not getattr(os, "O_PATH", 0):
        return os.open(real, flags)
    descriptor = os.open(real, flags)
    if _is_at(descriptor, real):
        return descriptor
    os.close(descriptor)
    return _open_stepwise(real, flags)


def _is_at(descriptor: int, real: str) -> bool:
    """Whether Linux says that what was opened lies there: quicker than a look at each folder."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}") == real  # noqa: PTH115 -- a text
    except OSError:
        return False


def _open_stepwise(real: str, flags: int) -> int:
    *folders, name = real.strip("/").split("/")
    at = os.open("/", _STEP)
    try:
        for folder in folders:
            following = os.open(folder, _STEP, dir_fd=at)
            os.close(at)
            at = following
        return os.open(name, flags, dir_fd=at)
    finally:
        os.close(at)
