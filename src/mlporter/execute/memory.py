"""What was last sent between two places, opened for one transfer; and plan files."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlporter.bundle.folder.state import State, state_of
from mlporter.errors import RefusedError, StateInUseError, UnreachableError, UsageError
from mlporter.plan.three_sides.actions import Action
from mlporter.plan.three_sides.base import NoBase
from mlporter.plan.three_sides.memory import Memory
from mlporter.stores.addresses.locating import locate
from mlporter.stores.opening import open_source
from mlporter.stores.state import LastSent, folder_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlporter.execute.options import Expected, TransferOptions
    from mlporter.plan.three_sides.actions import ActionBook
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source

__all__ = ["PLAN_FORMAT", "check_expected", "is_snapshot", "opened_memory", "read_plan"]
__all__ += ["write_plan"]

PLAN_FORMAT = "mlporter-plan"
_VERSION = 1
_SHOWN = 5
"""How many actions are named that a plan file has, or has not."""


@contextmanager
def opened_memory(source: Address, target: Address, options: TransferOptions) -> Iterator[Memory]:
    """What was last sent from one place to another; closed at the end, and kept if committed.

    A bundle that is named is taken as what was last sent, and not written to.

    Where it cannot be kept, `sync` and what names a folder is refused; other transfers do without.

    Raises:
        StateInUseError: another process is at work between these places.
        UnreachableError: it cannot be kept.
    """
    with ExitStack() as stack:
        memory = Memory(subject=str(target))
        stack.callback(memory.book.close)
        memory.snapshot = _snapshot(options)
        if memory.snapshot is not None:
            stack.callback(memory.snapshot.close)
        base = _base(source, target, options, memory, stack)
        if base is not None:
            stack.callback(base.close)
            if options.policy.rebase or memory.snapshot is not None:
                base.clear()
        memory.base = base or NoBase()
        yield memory


def is_snapshot(state: str | None) -> bool:
    """Whether what is named for the base is a bundle, and not a folder that remembers.

    Raises:
        UnreachableError: it cannot be looked at.
    """
    return state is not None and state_of(Path(state)) in {State.FINISHED, State.UNFINISHED}


def _snapshot(options: TransferOptions) -> Source | None:
    """The bundle that is to be taken as what was last sent, if one is named.

    Raises:
        BundleError: it is one that cannot be used.
    """
    if not is_snapshot(options.state):
        return None
    place = locate(Path(options.state or ""))
    return open_source(place, include_secrets=options.include_secrets, dedupe=True)


def _base(
    source: Address,
    target: Address,
    options: TransferOptions,
    memory: Memory,
    stack: ExitStack,
) -> LastSent | None:
    is_bundle = memory.snapshot is not None
    folder = folder_for(source, target)
    if options.state is not None and not is_bundle:
        folder = Path(options.state)
    if not folder.exists() and options.dry_run:
        if not is_bundle:
            return None
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="mlporter-")))
    try:
        return LastSent(folder, str(source), str(target))
    except (StateInUseError, UnreachableError) as error:
        # A copy does without; and two at a time are for the target to refuse.
        if options.policy.updates or options.state is not None:
            raise
        memory.notes.append(f"What was sent is not remembered: {error.message}.")
        return None


# --- Plan files -----------------------------------------------------------------------------------


def write_plan(path: str, header: Mapping[str, Any], book: ActionBook) -> None:
    """Write a plan file: a line that says what is planned, and a line for each action.

    Raises:
        UnreachableError: it cannot be written.
    """
    head = {"format": PLAN_FORMAT, "format_version": _VERSION, **header, "digest": book.digest}
    try:
        with Path(path).open("wb") as file:
            file.write(json.dumps(head, ensure_ascii=False).encode() + b"\n")
            file.writelines(book.lines())
    except OSError as error:
        raise UnreachableError(f"cannot write: {error.strerror or error}", subject=path) from error


def read_plan(path: str) -> dict[str, Any]:
    """What is planned in a plan file.

    Raises:
        UsageError: it is no plan file.
        RefusedError: of a version that this release does not read.
        UnreachableError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            line = file.readline(1 << 20)
    except OSError as error:
        raise UnreachableError(f"cannot read: {error.strerror or error}", subject=path) from error
    try:
        head = json.loads(line)
    except ValueError:
        head = None
    if not isinstance(head, dict) or head.get("format") != PLAN_FORMAT:
        raise UsageError("is no plan", subject=path, hint="--plan-out of copy or sync writes one")
    if head.get("format_version") != _VERSION:
        raise RefusedError(
            f"is a plan of format version {head.get('format_version')}",
            subject=path,
            hint="make a new one with this release",
        )
    return head


def check_expected(expected: Expected | None, book: ActionBook) -> None:
    """Refuse what a plan file does not say.

    Raises:
        RefusedError: the actions are others; the first that only one of them has are named.
    """
    if expected is None or expected.digest == book.digest:
        return
    with Path(expected.path).open("rb") as file:
        next(file, None)  # what is planned
        planned = Counter(map(_digest, file))
        would_be = Counter(map(_digest, book.lines()))
        added = tuple(_beginning("now", book.lines(), would_be - planned))
        file.seek(0)
        next(file, None)
        gone = tuple(_beginning("no more", file, planned - would_be))
    raise RefusedError(
        "the source or the target changed since the plan was made",
        subject=expected.path,
        hint="look at a new plan: the same command with --plan-out",
        reasons=(*added, *gone),
    )


def _digest(line: bytes) -> bytes:
    return sha256(line.rstrip(b"\n")).digest()


def _beginning(word: str, lines: Iterable[bytes], wanted: Counter[bytes]) -> Iterator[str]:
    """The first of some actions, in words."""
    some = (json.loads(line) for line in lines if wanted[_digest(line)] > 0)
    for action in islice(some, _SHOWN):
        yield f"{word}: {action['action']} {Action.from_dict(action)}"
