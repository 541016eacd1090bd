"""Putting a new bundle in the place of an old one, so that one of them is whole at any moment.

The new one is built in a hidden folder beside the old one, checked, and then both are exchanged in
one step where the system can do that (Linux and macOS, on most disks). Elsewhere the old one is
renamed first: should the process be killed between the two renames, the next export finds the new
one and finishes the work.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mlporter.artifacts.disk.durable import exchange, sync_folder
from mlporter.bundle.checks.verify import verify_bundle
from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.files import walk
from mlporter.bundle.folder.layout import MANIFEST, WORK, is_ours
from mlporter.bundle.folder.state import Mode, State, check_only_ours, state_of
from mlporter.errors import BundleDamagedError, RefusedError

__all__ = ["building_place", "check_built", "new_place", "old_place", "remove_bundle", "take_place"]


def new_place(root: Path) -> Path:
    """The folder beside a bundle in which the one that will replace it is built."""
    return root.with_name(f".{root.name}.mlporter-new")


def old_place(root: Path) -> Path:
    """The folder beside a bundle in which the one that was replaced lies until it is removed."""
    return root.with_name(f".{root.name}.mlporter-old")


def building_place(path: Path, mode: Mode) -> tuple[Path, Path | None]:
    """Where to write a bundle, and the finished one that it then replaces, or None.

    What a replacement that was killed has left is cleared away, or finished, first.

    Raises:
        RefusedError: the bundle there cannot be replaced; nothing was changed.
        UnreachableError: the disk fails.
    """
    root = Path(os.path.realpath(path))
    new = new_place(root)
    if not root.exists() and not new.is_symlink() and state_of(new) is State.FINISHED:
        with disk_errors(root):
            new.rename(root)
            sync_folder(root.parent)
    if mode == "new" or state_of(root) is not State.FINISHED:
        return path, None
    if mode == "resume" and state_of(new) is not State.UNFINISHED:
        return path, None
    check_only_ours(root)
    if root.is_mount():
        raise RefusedError(
            "is a mount point: it cannot be replaced as a whole",
            subject=str(root),
            hint="export to a new folder in it, or empty it first",
        )
    for place in (new, old_place(root)):
        if place.is_symlink():
            raise RefusedError("is a link, and is in the way", subject=str(place), hint="remove it")
    if state_of(new) is State.FINISHED:
        remove_bundle(new)
    remove_bundle(old_place(root))
    return new, root


def check_built(new: Path) -> None:
    """Read every byte of a bundle that is about to replace another one.

    Raises:
        BundleDamagedError: it is not as it was written. It is removed; the other one stays.
    """
    report = verify_bundle(new, "sample", fraction=1.0)
    if report.problems:
        remove_bundle(new)
        raise BundleDamagedError(
            "the new bundle does not read back as written; the old one was kept",
            subject=str(new),
            hint="check the disk, then run the same command again",
            reasons=tuple(str(problem) for problem in report.problems[:10]),
        )


def take_place(new: Path, root: Path) -> None:
    """Exchange a finished bundle for the one at `root`; the old one then lies in `old_place`.

    Raises:
        UnreachableError: the disk fails; what was at `root` is there.
    """
    old = old_place(root)
    with disk_errors(root, "replace"):
        if not root.exists():
            new.rename(root)
        elif exchange(new, root):
            sync_folder(root.parent)
            new.rename(old)
        else:
            _rename_both(new, root, old)
        sync_folder(root.parent)


def _rename_both(new: Path, root: Path, old: Path) -> None:
    try:
        root.rename(old)
        sync_folder(root.parent)
        new.rename(root)
    except BaseException:
        if not root.exists() and old.exists():
            old.rename(root)
        raise


def remove_bundle(root: Path) -> None:
    """Remove a bundle that nobody needs, as far as it is there and ours; what is not ours stays.

    What cannot be removed now is left for the next time.
    """
    with suppress(OSError):
        (root / MANIFEST).unlink(missing_ok=True)
    if not root.is_dir():
        return
    folders = [root]
    for entry in walk(root):
        if entry.kind == "folder":
            folders.append(root / entry.path)
        elif entry.kind == "file" and (is_ours(entry.path) or entry.path.startswith(f"{WORK}/")):
            with suppress(OSError):
                (root / entry.path).unlink()
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()
