"""Whose rows of a table are not as in an earlier snapshot: exact to the bit, by digests.

Both sides are read in the order of the key and held against each other owner by owner, so that
memory grows with what changed only. The points of metrics need not be read for it where the source
can tell how many there are and which are the latest: MLflow only ever adds points.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlporter.bundle.tables.layers import owner_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

__all__ = ["Mark", "changed_owners", "marks", "row_digests"]

_PRIME = np.uint64(0x100000001B3)
_NULL = np.uint64(0x9E3779B97F4A7C15)
_START = 0xCBF29CE484222325

_importing = Lock()

_MOST = 0.25
"""The share of owners that changed beyond which a table is rather written anew."""
_FEW = 1_000
"""So many owners may always have changed."""
_HELD = 100_000
"""So many are kept in memory before their share is looked at."""


class Mark(NamedTuple):
    """All rows of an owner: how many, and a digest of them."""

    owner: str
    rows: int
    digest: int


def row_digests(batch: pa.RecordBatch) -> NDArray[np.uint64]:
    """64 bits for each row; two rows with the same values have the same, bit for bit."""
    found = np.full(batch.num_rows, _START, np.uint64)
    for column in batch.columns:
        found = (found ^ _digests(column)) * _PRIME
        found ^= found >> np.uint64(29)
    return found


def _hash_array() -> Callable[..., NDArray[np.uint64]]:
    """What pandas hashes with, imported by one thread at a time.

    Its modules import each other, so that two threads that import it at once wait for each other:
    Python finds that out and fails one of them.
    """
    with _importing:
        from pandas.util import hash_array  # noqa: PLC0415 -- it takes half a second to import

        return hash_array


def _digests(values: pa.Array) -> NDArray[np.uint64]:
    hash_array = _hash_array()
    kind = values.type
    if pa.types.is_floating(kind):
        # The bits, and not the number: 0.0 is not -0.0 here.
        plain = np.ascontiguousarray(pc.fill_null(values, 0.0).to_numpy(zero_copy_only=False))
        numbers = plain.astype(np.float64, copy=False).view(np.int64)
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        whole = kind if pa.types.is_uint64(kind) else pa.int64()
        numbers = np.asarray(pc.fill_null(values.cast(whole), 0)).view(np.int64)
    else:
        numbers = np.array(values.to_pylist(), dtype=object)
        numbers[values.is_null().to_numpy(zero_copy_only=False)] = ""
    found: NDArray[np.uint64] = hash_array(numbers, categorize=False).astype(np.uint64)
    if values.null_count:
        found[values.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return found


def marks(batches: Iterable[pa.RecordBatch], whose: tuple[str, ...]) -> Iterator[Mark]:
    """A mark for each owner, in the order of the rows."""
    last: Mark | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        owners, digests = owner_names(batch, whose), row_digests(batch)
        differs = pc.not_equal(owners.slice(1), owners.slice(0, len(owners) - 1))
        starts = np.concatenate(([0], np.flatnonzero(np.asarray(differs)) + 1))
        sums = np.add.reduceat(digests, starts)
        counts = np.diff(np.append(starts, batch.num_rows))
        names = owners.take(pa.array(starts)).to_pylist()
        for name, rows, digest in zip(names, counts.tolist(), sums.tolist(), strict=True):
            mark = Mark(name, rows, digest)
            if last is not None and last.owner == name:
                mark = Mark(name, last.rows + rows, (last.digest + digest) % 2**64)
            elif last is not None:
                yield last
            last = mark
    if last is not None:
        yield last


def changed_owners(
    now: Iterator[Mark], then: Iterator[Mark], *, numbers: bool = False
) -> set[str] | None:
    """Owners whose rows are others now, or whom only one side has; None for most of them.

    Args:
        now: Marks of the source.
        then: Those of the earlier snapshot.
        numbers: Owners are sorted as numbers, and not as texts.
    """
    changed: set[str] = set()
    seen = 0
    is_most = False
    for owner, one, other in _side_by_side(now, then, numbers=numbers):
        seen += 1
        if one == other or is_most:
            continue
        changed.add(owner)
        if len(changed) > _HELD and len(changed) > _MOST * seen:
            is_most = True  # to the end all the same: others watch what is read
            changed.clear()
    return None if is_most or len(changed) > max(_FEW, _MOST * seen) else changed


def _side_by_side(
    now: Iterator[Mark], then: Iterator[Mark], *, numbers: bool
) -> Iterator[tuple[str, Mark | None, Mark | None]]:
    def order(mark: Mark) -> object:
        return int(mark.owner) if numbers else mark.owner

    one, other = next(now, None), next(then, None)
    while one is not None or other is not None:
        if one is not None and (other is None or order(one) < order(other)):  # type: ignore[operator]
            yield one.owner, one, None
            one = next(now, None)
        elif other is not None and (one is None or order(other) < order(one)):  # type: ignore[operator]
            yield other.owner, None, other
            other = next(then, None)
        elif one is not None and other is not None:
            yield one.owner, one, other
            one, other = next(now, None), next(then, None)
