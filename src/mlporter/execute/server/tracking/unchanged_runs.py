"""Runs that look as they did when they were last in step: their points are not read again.

A server's search shows of a run everything but its points, and of these the last one of each
metric. A look is a digest of that, on either side. Where a run looks on both sides as it did at
the end of the last transfer, and is not at work any more, its points are taken for unchanged: they
were compared then. What is overlooked so is a point that was logged to an ended run, is not the
last of its metric, and came without any other change.

That is for sources whose points cost a request for each metric of a hundred runs; with all others,
and with `sync --full`, points are read.
"""

from __future__ import annotations

from collections import defaultdict
from hashlib import blake2b
from itertools import starmap
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue.file_owners import FILE_OWNERS
from mlporter.plan.three_sides.sent.digests import key_digests
from mlporter.stores.protocols import remote_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.plan.side_reader import Reader
    from mlporter.plan.three_sides.sent.base import Base

__all__ = ["Proof", "find_unchanged_runs", "looks_of", "remember_looks", "take_up"]

_NOTES = "run_looks"
_TABLES = ("runs", "params", "tags", "latest_metrics")
_BITS = 64


class Proof(NamedTuple):
    """What is known of the points of a run that both sides have.

    Attributes:
        digest: Of the points and of the copy that has them (`receipts`).
        points: How many they are.
    """

    digest: int
    points: int


class _Known(NamedTuple):
    """What is remembered of a run: how it looked on both sides, and its points."""

    mine: int
    theirs: int
    proof: Proof


def find_unchanged_runs(context: ServerContext, base: Base) -> None:
    """Leave the points of runs that look as they did on both sides, if the policy is quick."""
    context.remote = remote_source(context.source)
    if context.remote is None:
        return
    context.looks = looks_of(context.source)
    if not context.policy.is_quick or not base.is_known:
        return
    known = _recall(base)
    copies = context.ids.of("runs")
    same = [run for run, look in context.looks.items()
            if run in copies and run in known and known[run].mine == look]  # fmt: skip
    theirs = looks_of(context.server) if same else {}
    same = [run for run in same if theirs.get(copies[run]) == known[run].theirs]
    context.unread = {run: known[run].proof for run in context.remote.leave_histories(same)}


def take_up(context: ServerContext, runs: tuple[str, ...]) -> None:
    """Read the points of some runs after all."""
    left = context.unread.keys() & set(runs)
    if left and context.remote is not None:
        context.remote.take_up_histories(left)
        for run in left:
            del context.unread[run]


def remember_looks(context: ServerContext, read: ServerContext, base: Base) -> bool:
    """Remember how runs look all of whose points both sides have.

    Args:
        context: The transfer.
        read: What compared the server as it is now.
        base: Where to.

    Returns:
        Whether these are all runs of the source: no points would be read again.
    """
    if context.remote is None:
        return False
    copies, theirs = read.ids.of("runs"), looks_of(read.server)
    unsure = read.lacking | context.remote.incomplete_histories
    found = {
        run: _Known(context.looks[run], theirs[copies[run]], proof)
        for run, proof in (context.unread | read.proofs).items()
        if run in context.looks and run not in unsure and copies.get(run) in theirs
    }
    # Where a part of the source was copied, the rest is as it was.
    all_runs = {run for (run,) in _ids(context)}
    sent = set(base.names("runs")) - all_runs
    rest = {run: known for run, known in _recall(base).items() if run in sent}
    base.note(_NOTES, {run: _text(known) for run, known in (rest | found).items()})
    return all_runs == found.keys()


def _ids(context: ServerContext) -> list[tuple[str]]:
    return [
        (run,)
        for batch in context.source.read("runs", ("run_uuid",))
        for run in batch.column(0).to_pylist()
    ]


# --- How runs look --------------------------------------------------------------------------------


def looks_of(reader: Reader) -> dict[str, int]:
    """Digests of all that is shown of runs that are not at work any more."""
    status, at_work = FILE_OWNERS["run"].status, FILE_OWNERS["run"].at_work
    sums: dict[str, list[int]] = {}
    for batch in reader.read("runs", ("run_uuid", status)):
        pairs = python_rows(batch)
        sums |= {run: [0] * len(_TABLES) for run, state in pairs if state not in at_work}
    for at, table in enumerate(_TABLES):
        for run, digest in _row_digests(reader, table).items():
            if run in sums:
                sums[run][at] = digest
    return {run: _number(run, found) for run, found in sums.items()}


def _row_digests(reader: Reader, table: str) -> Mapping[str, int]:
    """Digests of the rows of each run, whatever their order and the batches they come in."""
    found: dict[str, int] = defaultdict(int)
    for batch in reader.read(table):
        runs = batch.column("run_uuid").dictionary_encode()
        digests = key_digests(batch, batch.schema.names)
        sums = np.zeros(len(runs.dictionary), np.uint64)
        np.add.at(sums, runs.indices.to_numpy(), digests)
        for run, digest in zip(runs.dictionary.to_pylist(), sums.tolist(), strict=True):
            found[run] = (found[run] + digest) % (1 << _BITS)
    return found


def _number(run: str, sums: list[int]) -> int:
    content = f"{run} {sums}".encode()
    return int.from_bytes(blake2b(content, digest_size=_BITS // 8).digest(), "big")


# --- As notes -------------------------------------------------------------------------------------


def _recall(base: Base) -> dict[str, _Known]:
    return dict(starmap(_parsed, base.noted(_NOTES).items()))


def _parsed(run: str, text: str) -> tuple[str, _Known]:
    mine, theirs, digest, points = (int(part, 16) for part in text.split())
    return run, _Known(mine, theirs, Proof(digest, points))


def _text(known: _Known) -> str:
    numbers = (known.mine, known.theirs, *known.proof)
    return " ".join(f"{number:x}" for number in numbers)
