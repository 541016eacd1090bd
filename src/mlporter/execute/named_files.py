"""Files that callers name for what we write: one of the same kind is replaced, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.bundle.folder.atomic import AtomicFile, disk_errors
from mlporter.errors import UnreachableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

__all__ = ["NamedKind", "check_kind", "check_named_file", "write_named_file"]

_BEGINNING = 1024


@dataclass(frozen=True)
class NamedKind:
    """A kind of file that we write where the caller says.

    Attributes:
        name: What it is called: ``report``.
        mark: What stands near the beginning of each.
        option: Which option names it, for hints.
    """

    name: str
    mark: bytes
    option: str


def check_named_file(file: str | PathLike[str] | None, kind: NamedKind) -> Path | None:
    """Refuse, before any work, a file that cannot be written, or that is something else already.

    Raises:
        UsageError: it is there and of another kind, or would be in a bundle or a repository.
        UnreachableError: there is no such folder.
    """
    if file is None:
        return None
    path = Path(file)
    if _is_stream(path):
        return path
    folder = path.resolve().parent
    if not folder.is_dir():
        raise UnreachableError("there is no such folder", subject=str(path.parent))
    check_kind(path, kind)
    for outer in (folder, *folder.parents):
        if _is_ours(outer):
            raise UsageError(
                f"a {kind.name} does not belong into a bundle or a repository",
                subject=str(path),
                hint="name a file outside of it",
            )
    return path


def check_kind(path: Path, kind: NamedKind) -> None:
    """Refuse to write over a file unless it is empty, or an earlier one of the same kind.

    A device or a pipe holds nothing that could be lost.

    Raises:
        UsageError: it is something else.
    """
    if _is_stream(path) or not path.exists():
        return
    if path.is_file():
        with disk_errors(path, "read"), path.open("rb") as file:
            beginning = file.read(_BEGINNING)
        if not beginning or kind.mark in beginning:
            return
    raise UsageError(
        f"is there, and is no {kind.name} of mlporter",
        subject=str(path),
        hint=f"{kind.option} names a new file, or an earlier {kind.name}",
    )


def write_named_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file: whole, or not at all. Through a link to the file that it stands for.

    Raises:
        UnreachableError: the disk is full or fails.
    """
    if _is_stream(path):
        with disk_errors(path), path.open("wb") as stream:
            stream.writelines(chunks)
        return
    path = path.resolve()
    with disk_errors(path), AtomicFile(path.parent) as file:
        for chunk in chunks:
            file.write(chunk)
        file.commit(path)


def _is_ours(folder: Path) -> bool:
    """Whether a folder has what a bundle or a repository has."""
    # Loaded when needed: they need pyarrow, and help does without.
    from mlporter.bundle.folder.layout import MANIFEST, SUMS  # noqa: PLC0415
    from mlporter.repository.layout import REPOSITORY, SNAPSHOTS  # noqa: PLC0415

    ours = ((MANIFEST, SUMS), (REPOSITORY, SNAPSHOTS))
    return any(all((folder / name).exists() for name in names) for names in ours)


def _is_stream(path: Path) -> bool:
    return path.is_char_device() or path.is_fifo()
