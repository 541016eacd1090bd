"""Metric points that an earlier import read back: they need not be read again.

Over REST points can only be added, and neither changed nor taken away. So when all points of the
runs of an experiment were read back, that is noted in a tag of the experiment: digests of what
the source had, for groups of runs. A later import compares its own digests with the tag, and asks
the server for the histories of those groups only where they differ. A digest also covers which run
on the server is the copy, and the last value of each of its metrics as the server shows it: a copy
that was made anew, or whose points were changed in the database, is read as a whole.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from hashlib import blake2b
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlporter.catalogue import source_tags
from mlporter.errors import AccessDeniedError
from mlporter.execute.server.tracking.unchanged_runs import Proof
from mlporter.plan.matching.natural_keys import tagged
from mlporter.stores.rest.answers import ApiError
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.execute.server.shared.context import ServerContext

__all__ = ["read_receipts", "write_receipts"]

_GROUPS = 64
"""Of the runs of an experiment: a new run makes the histories of its group be read."""
_BYTES = 8
"""Of a group's digest."""
_WIDTH = 2 * _BYTES
_NOT_WHOLE = "-" * _WIDTH
"""In place of the digest of a group that lacks something."""
_POINT = np.dtype(
    [("key", "V16"), ("timestamp", "<i8"), ("step", "<i8"), ("value", "<f8"), ("is_nan", "?")]
)
_COLUMNS = ("run_uuid", "key", "timestamp", "step", "value", "is_nan")


def read_receipts(context: ServerContext) -> None:
    """Find the runs all of whose points are known to be on the server; these are not read."""
    context.with_receipt = frozenset(context.unread) | _with_receipt(context)
    context.tallies["metrics"].there += sum(proof.points for proof in context.unread.values())
    copies = context.ids.of("runs")
    context.server.leave_histories(copies[run] for run in context.with_receipt)


def _with_receipt(context: ServerContext) -> frozenset[str]:
    noted = _noted(context) if context.has("metrics") else {}
    if not noted:
        return frozenset()
    experiment_of = _homes(context, noted)
    found: dict[tuple[int, int], int] = defaultdict(int)
    for run, proof in _proofs(context, experiment_of):
        found[experiment_of[run], _group(run)] ^= proof.digest
    good = {at for at, digest in found.items() if _part(noted[at[0]], at[1]) == _text(digest)}
    return frozenset(run for run, number in experiment_of.items() if (number, _group(run)) in good)


def write_receipts(context: ServerContext, read: ServerContext) -> None:
    """Note on the server whose points were found there when they were read last.

    Args:
        context: The import.
        read: What compared the server as it is now: the import's reading back, or itself.
    """
    if not read.has("metrics"):
        return
    noted = _noted(read)
    stages = rows_of(read.server, "experiments", ("experiment_id", "lifecycle_stage"))
    active = {number for number, stage in stages if stage != "deleted"}
    numbers = [old for new, old in read.back.experiments.items() if new in active]
    experiment_of = _homes(read, numbers)
    found: dict[int, list[int]] = {}
    for run, proof in _proofs(read, experiment_of):
        read.proofs[run] = proof
        found.setdefault(experiment_of[run], [0] * _GROUPS)[_group(run)] ^= proof.digest
    lacking = {(experiment_of[run], _group(run)) for run in read.lacking if run in experiment_of}
    for number, digests in found.items():
        texts = (
            _NOT_WHOLE if (number, group) in lacking else _text(digest)
            for group, digest in enumerate(digests)
        )
        value = "".join(texts)
        if noted.get(number) != value:
            writer, home = context.writer_in(number)
            # It only saves time: without it the next import reads all points. Who may only read
            # can have an import with nothing to write.
            with contextlib.suppress(ApiError, AccessDeniedError):
                writer.set_experiment_tag(home, source_tags.METRICS, value)


def _noted(context: ServerContext) -> dict[int, str]:
    """The tags of earlier imports, by the source's ids of experiments."""
    back = context.back.experiments
    found = tagged(context.server, "experiment_tags", "experiment_id", source_tags.METRICS)
    return {back[int(number)]: value for number, value in found if int(number) in back}


def _homes(context: ServerContext, numbers: Iterable[int]) -> dict[str, int]:
    """The experiments (the source's ids) of runs that have copies, of some experiments."""
    wanted, copies = set(numbers), context.ids.of("runs")
    if not wanted:
        return {}
    rows = rows_of(context.source, "runs", ("run_uuid", "experiment_id"))
    return {run: number for run, number in rows if number in wanted and run in copies}


def _group(run: str) -> int:
    return crc32(run.encode()) % _GROUPS


def _part(value: str, group: int) -> str:
    return value[group * _WIDTH : (group + 1) * _WIDTH]


def _text(digest: int) -> str:
    return f"{digest:0{_WIDTH}x}"


# --- Digests --------------------------------------------------------------------------------------


def _proofs(context: ServerContext, experiment_of: dict[str, int]) -> Iterator[tuple[str, Proof]]:
    """Runs that have points, with digests of these and of what the server has.

    Of those that look as they did, it is remembered.
    """
    if not experiment_of:
        return
    yield from ((run, proof) for run, proof in context.unread.items() if run in experiment_of)
    copies, last = context.ids.of("runs"), _last(context)
    for run, count, points in _points(context):
        if run in experiment_of:
            copy = copies[run]
            whole = f"{run} {copy} {last.get(copy, 0)} {points}"
            yield run, Proof(_number(whole.encode()), count)


def _number(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=_BYTES).digest(), "big")


def _last(context: ServerContext) -> dict[str, int]:
    """Of runs on the server: a digest of the last values of metrics, in no order."""
    found: dict[str, int] = defaultdict(int)
    for row in rows_of(context.server, "latest_metrics", _COLUMNS):
        found[row[0]] ^= _number(repr(row).encode())
    return found


def _points(context: ServerContext) -> Iterator[tuple[str, int, str]]:
    """Runs of the source with how many points they have, and a digest of all.

    However the rows are cut into batches.
    """
    run, count, digest = "", 0, blake2b(digest_size=16)
    for batch in context.source.read("metrics", _COLUMNS):
        rows = _as_bytes(batch)
        ends = pc.run_end_encode(batch.column(0))
        start = 0
        for end, name in zip(ends.run_ends.to_pylist(), ends.values.to_pylist(), strict=True):
            if name != run:
                if run:
                    yield run, count, digest.hexdigest()
                run, count, digest = name, 0, blake2b(digest_size=16)
            digest.update(rows[start:end].tobytes())
            count += end - start
            start = end
    if run:
        yield run, count, digest.hexdigest()


def _as_bytes(batch: pa.RecordBatch) -> np.ndarray:
    """Points as rows of bytes; keys as digests, which are all of one length."""
    rows = np.zeros(batch.num_rows, _POINT)
    keys = batch.column(1).dictionary_encode()
    known = [blake2b(key.encode(), digest_size=16).digest() for key in keys.dictionary.to_pylist()]
    if known:
        rows["key"] = np.array(known, "V16")[keys.indices.to_numpy()]
    for at, name in enumerate(_COLUMNS[2:], 2):
        rows[name] = batch.column(at).to_numpy(zero_copy_only=False)
    return rows
