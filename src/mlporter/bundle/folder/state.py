"""What a directory is (a bundle, an unfinished one, somebody else's), and taking it over."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Literal

from mlporter.artifacts.disk.durable import sync_folder
from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.files import open_inside, walk
from mlporter.bundle.folder.layout import FORMAT, MANIFEST, SUMS, TEMPORARY, WORK, is_ours
from mlporter.bundle.folder.lock import check_not_in_use
from mlporter.errors import (
    BundleDamagedError,
    BundleUnfinishedError,
    RefusedError,
    UnreachableError,
    UsageError,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Mode",
    "State",
    "check_finished",
    "check_only_ours",
    "prepare",
    "refuse_used",
    "state_of",
]

_SHOWN = 10


Mode = Literal["new", "resume", "restart"]
"""What to do with a directory that is used: refuse it, go on, or begin again."""


class State(str, Enum):
    """What a directory is to somebody who wants to write a bundle there."""

    EMPTY = "empty"
    """It does not exist, or nothing is in it."""
    FINISHED = "finished"
    """It has a manifest of ours."""
    UNFINISHED = "unfinished"
    """It has no manifest but a working folder: it is being written, or was interrupted."""
    FOREIGN = "foreign"
    """Something else is in it."""


def state_of(root: Path) -> State:
    """What the directory is.

    Raises:
        UnreachableError: it is no directory, or cannot be read.
    """
    if not root.exists():
        return State.EMPTY
    if not root.is_dir():
        raise UnreachableError("is not a directory", subject=str(root))
    with disk_errors(root, "list"):
        names = {entry.name for entry in root.iterdir()}
    if MANIFEST in names:
        return State.FINISHED if _is_our_manifest(root) else State.FOREIGN
    if WORK in names:
        return State.UNFINISHED
    return State.FOREIGN if names else State.EMPTY


def check_finished(root: Path) -> None:
    """Make sure that there is a bundle to read; its manifest is not looked into.

    Raises:
        UnreachableError: there is no such directory.
        UsageError: it is not a bundle.
        BundleDamagedError: it has the sums of a finished bundle and no manifest.
        BundleInUseError: it has no manifest, and is being written right now.
        BundleUnfinishedError: it has no manifest, and its writer is gone.
    """
    if not root.exists():
        raise UnreachableError("no such directory", subject=str(root))
    if not root.is_dir():
        raise UsageError("is not a bundle, which is a directory", subject=str(root))
    with disk_errors(root, "list"):
        names = {entry.name for entry in root.iterdir()}
    if MANIFEST in names:
        return
    if WORK not in names and SUMS in names:
        raise BundleDamagedError(f"{MANIFEST} is missing", subject=str(root))
    if WORK not in names:
        raise UsageError(f"is not a bundle: it has no {MANIFEST}", subject=str(root))
    check_not_in_use(root)
    message = "the export never finished: there is no manifest"
    hint = f"mlporter export SOURCE {root} --resume"
    raise BundleUnfinishedError(message, subject=str(root), hint=hint)


def check_only_ours(root: Path) -> None:
    """Make sure that a directory holds nothing that is not of a bundle.

    Raises:
        RefusedError: it does; the first few are named.
    """
    foreign = [
        entry.path
        for entry in walk(root)
        if entry.kind != "folder" and not (entry.kind == "file" and is_ours(entry.path))
    ]
    if foreign:
        more = [f"and {len(foreign) - _SHOWN} more"] if len(foreign) > _SHOWN else []
        raise RefusedError(
            "it contains files that do not belong to a bundle",
            subject=str(root),
            reasons=(*foreign[:_SHOWN], *more),
            hint="move them away, or choose another directory",
        )


def refuse_used(root: Path, mode: Mode) -> None:
    """Refuse before anything is touched.

    Raises:
        RefusedError: the directory is not what `mode` is for.
        BundleInUseError: another process is writing there.
    """
    state = state_of(root)
    if state is State.UNFINISHED:
        check_not_in_use(root)
    refusals = {
        ("new", State.UNFINISHED): (
            "holds an unfinished bundle",
            "continue it with --resume, or start over with --restart",
        ),
        ("new", State.FINISHED): (
            "already holds a bundle",
            "choose another directory, or replace the bundle with --restart",
        ),
        ("resume", State.FINISHED): (
            "holds a finished bundle: there is nothing to resume",
            "choose another directory, or replace the bundle with --restart",
        ),
    }
    foreign = ("is not empty, and not a bundle", "choose another directory")
    refusal = foreign if state is State.FOREIGN else refusals.get((mode, state))
    if refusal:
        raise RefusedError(refusal[0], subject=str(root), hint=refusal[1])
    if state is not State.EMPTY:
        check_only_ours(root)


def prepare(root: Path, mode: Mode) -> None:
    """With the lock held: look again, and remove what must go.

    Raises:
        RefusedError: a bundle was finished meanwhile, or something foreign is in it.
        UnreachableError: it cannot be changed.
    """
    if mode != "restart" and (root / MANIFEST).exists():
        raise RefusedError("another process has just finished a bundle here", subject=str(root))
    check_only_ours(root)
    if mode == "restart" and (root / MANIFEST).exists():
        # First of all: without it, nobody takes the rest for a bundle.
        with disk_errors(root, "remove"):
            (root / MANIFEST).unlink()
            sync_folder(root)
    for entry in walk(root):
        temporary = TEMPORARY.fullmatch(entry.path.rpartition("/")[2]) is not None
        kept = mode != "restart" and not temporary
        if entry.kind == "file" and not kept and not entry.path.startswith(f"{WORK}/"):
            with disk_errors(root / entry.path, "remove"):
                (root / entry.path).unlink()


def _is_our_manifest(root: Path) -> bool:
    start = f"format: {FORMAT}\n".encode()
    if (root / MANIFEST).is_symlink() or not (root / MANIFEST).is_file():
        return False
    with open_inside(root, MANIFEST) as file:
        return file.read(len(start)) == start
