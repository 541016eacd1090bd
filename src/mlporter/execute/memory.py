"""What was last sent between two places, opened for one transfer."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlporter.bundle.folder.state import State, state_of
from mlporter.errors import StateInUseError, UnreachableError
from mlporter.plan.three_sides.sent.base import NoBase
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.stores.addresses.address import REPOSITORY, AddressKind
from mlporter.stores.addresses.locating import locate
from mlporter.stores.opening import open_source, refuse_repository, settled
from mlporter.stores.rows.last_sent import LastSent, folder_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.execute.options import TransferOptions
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source

__all__ = ["is_snapshot", "opened_memory"]


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
    """Whether what is named for the base is a bundle or a snapshot, and no folder that remembers.

    Raises:
        UnreachableError: it cannot be looked at.
        UsageError: it is a whole repository.
    """
    if state is None:
        return False
    place = _elsewhere(state)
    if place is None:
        return state_of(Path(state)) in {State.FINISHED, State.UNFINISHED}
    if place.kind is AddressKind.REPOSITORY:
        refuse_repository(place)
    return True


def _elsewhere(state: str) -> Address | None:
    """What is named for the base, if it is in a repository or in object storage."""
    path = Path(state)
    may_be = "://" in state or ("@" in path.name and not path.exists())
    if not may_be and not (path / REPOSITORY).exists():
        return None
    place = settled(locate(state if may_be else path))
    kept = {AddressKind.SNAPSHOT, AddressKind.REPOSITORY}
    return place if place.kind in kept or place.is_in_object_storage else None


def _snapshot(options: TransferOptions) -> Source | None:
    """The bundle or snapshot that is to be taken as what was last sent, if one is named.

    Raises:
        BundleError: it is one that cannot be used.
    """
    if options.state is None or not is_snapshot(options.state):
        return None
    place = _elsewhere(options.state) or locate(Path(options.state))
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
