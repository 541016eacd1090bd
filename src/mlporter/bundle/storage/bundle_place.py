"""What a place in object storage is to a bundle: empty, whole, unfinished, or somebody else's."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from mlporter.bundle.folder.layout import FORMAT, MANIFEST, OWNER, SUMS, is_ours
from mlporter.bundle.folder.state import State
from mlporter.bundle.storage.locks import is_over, owner_of, who_holds
from mlporter.errors import (
    BundleDamagedError,
    BundleInUseError,
    BundleUnfinishedError,
    RefusedError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)

if TYPE_CHECKING:
    from mlporter.bundle.folder.state import Mode
    from mlporter.bundle.storage.protocol import Storage

__all__ = ["check_not_written", "check_there", "is_bundle", "refuse_used_place"]

_SHOWN = 10
_START = f"format: {FORMAT}\n".encode()


def is_bundle(storage: Storage) -> bool:
    """Whether there is a bundle, or what an export that never finished has left of one."""
    return any(storage.size(path) is not None for path in (MANIFEST, OWNER, SUMS))


def check_there(storage: Storage) -> None:
    """Make sure that there is a bundle to read; its manifest is not looked into.

    Raises:
        UnreachableError: there is nothing.
        UsageError: it is not a bundle; what is there is named.
        BundleDamagedError: it has the sums of a finished bundle and no manifest.
        BundleInUseError: it has no manifest, and is being written right now.
        BundleUnfinishedError: it has no manifest, and its writer is gone.
    """
    if storage.size(MANIFEST) is not None:
        return
    if storage.size(OWNER) is not None:
        check_not_written(storage)
        message = "the export never finished: there is no manifest"
        hint = f"mlporter export SOURCE {storage.name} --resume"
        raise BundleUnfinishedError(message, subject=storage.name, hint=hint)
    if storage.size(SUMS) is not None:
        raise BundleDamagedError(f"{MANIFEST} is missing", subject=storage.name)
    first = next(storage.walk(), None)
    if first is None:
        raise UnreachableError("holds no object", subject=storage.name)
    raise UsageError(
        f"is not a bundle: it has no {MANIFEST}, but {first.path}", subject=storage.name
    )


def check_not_written(storage: Storage) -> None:
    """Make sure that nobody writes a bundle there.

    Raises:
        BundleInUseError: somebody does.
    """
    for found in storage.walk(OWNER.rpartition("/")[0]):
        owner = owner_of(storage, OWNER) if found.path == OWNER else None
        if owner is not None and not is_over(found, owner):
            raise BundleInUseError(
                f"is being written by {who_holds(owner)}",
                subject=storage.name,
                hint="wait for it; what was left by a machine that died is free after 15 minutes",
            )


def refuse_used_place(storage: Storage, mode: Mode) -> None:
    """Refuse a place for a bundle before anything is written there.

    Raises:
        RefusedError: it is not what `mode` is for; what is there is named.
        UnsupportedError: a finished bundle would have to be replaced.
        BundleInUseError: another process is writing there.
    """
    state, foreign = _state(storage)
    if state is State.UNFINISHED:
        check_not_written(storage)
    if state is State.FINISHED and mode == "restart":
        raise UnsupportedError(
            "holds a finished bundle, and in object storage none can be replaced in one step",
            subject=storage.name,
            hint="export to another prefix, then remove this one",
        )
    if foreign:
        raise RefusedError(
            "is not empty, and not a bundle" if state is State.FOREIGN else "holds other objects",
            subject=storage.name,
            reasons=foreign,
            hint="choose another prefix",
        )
    if state is State.FINISHED:
        what = ": there is nothing to resume" if mode == "resume" else ""
        raise RefusedError(
            f"already holds a bundle{what}", subject=storage.name, hint="choose another prefix"
        )
    if state is State.UNFINISHED and mode == "new":
        raise RefusedError(
            "holds an unfinished bundle",
            subject=storage.name,
            hint="continue it with --resume, or start over with --restart",
        )


def _state(storage: Storage) -> tuple[State, tuple[str, ...]]:
    """What the place is, and the first objects that are of no bundle."""
    if storage.size(MANIFEST) is not None:
        ours = storage.read_range(MANIFEST, 0, len(_START)) == _START
        return (State.FINISHED, ()) if ours else (State.FOREIGN, (MANIFEST,))
    is_begun = storage.size(OWNER) is not None
    strangers = (o.path for o in storage.walk() if not (is_begun and is_ours(o.path)))
    foreign = tuple(islice(strangers, _SHOWN))
    if is_begun:
        return State.UNFINISHED, foreign
    return (State.FOREIGN, foreign) if foreign else (State.EMPTY, ())
