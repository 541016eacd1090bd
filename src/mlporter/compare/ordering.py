"""Keys as they sort, and floats as they are equal: the arrays that the merge works on.

NaN is one value, whatever its bits, and sorts last. As part of a key 0.0 and -0.0 are the same,
as every database holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["bits", "canonical_bits", "codes", "first_unsorted", "key_columns"]
__all__ += ["ordinals", "sortable"]

_SIGN = np.int64(0x7FFF_FFFF_FFFF_FFFF)
_FEW = 8
"""Below one in `_FEW` undecided rows, taking them out is cheaper than comparing all."""


def bits(column: pa.Array) -> pa.Array:
    """The column without a copy, floats as integers of the same bits, so that NaN equals NaN."""
    if pa.types.is_float64(column.type):
        return column.view(pa.int64())
    if pa.types.is_float32(column.type):
        return column.view(pa.int32())
    return column


def canonical_bits(column: pa.Array) -> pa.Array:
    """Floats as integers that are equal where the floats are (NaN as well) and 0.0 is not -0.0."""
    if not pa.types.is_floating(column.type):
        return column
    values = _floats(column)
    whole = values.view(np.int64).copy()
    whole[np.isnan(values)] = _SIGN
    return _with_nulls(whole, column)


def sortable(column: pa.Array) -> pa.Array:
    """Floats as integers in the same order, NaN last, 0.0 and -0.0 the same; others unchanged."""
    if not pa.types.is_floating(column.type):
        return column
    values = _floats(column) + 0.0  # -0.0 + 0.0 is 0.0
    whole = values.view(np.int64)
    ordered = np.where(whole < 0, whole ^ _SIGN, whole)
    ordered[np.isnan(values)] = _SIGN
    return _with_nulls(ordered, column)


def key_columns(column: pa.Array, *, nullable: bool) -> tuple[pa.Array, ...]:
    """A column of a key as columns without NULL that sort as it does, NULL last."""
    values = sortable(column)
    if not nullable:
        return (values,)
    return (values.is_null(), pc.fill_null(values, _least(values)))


def ordinals(keys: Sequence[pa.Array], before: int) -> pa.Array:
    """How many rows just before each row have its key; `before` of them precede the first."""
    rows = np.arange(len(keys[0]), dtype=np.int64)
    equal = np.ones(max(0, len(rows) - 1), dtype=np.bool_)
    for key in keys:
        equal &= _mask(pc.equal(key.slice(0, len(key) - 1), key.slice(1)))
    starts = np.where(np.concatenate([[False], equal]), -before, rows)
    starts[0] = -before
    return pa.array(rows - np.maximum.accumulate(starts))


def _least(values: pa.Array) -> pa.Scalar:
    if pa.types.is_string(values.type) or pa.types.is_binary(values.type):
        return pa.scalar("", values.type)
    if pa.types.is_boolean(values.type):
        return pa.scalar(value=False)
    return pa.scalar(0, pa.int32()).cast(values.type)


def first_unsorted(keys: Sequence[pa.Array]) -> int | None:
    """The first row found that does not come after the row before it, or None.

    Args:
        keys: Key columns as `sortable` gives them, the most significant first, without nulls.
    """
    if not keys:
        return None
    undecided = np.arange(1, len(keys[0]), dtype=np.int64)
    for key in keys:
        if not len(undecided):
            return None
        equal, wrong = _compare_neighbours(key, undecided)
        if wrong is not None:
            return wrong
        undecided = undecided[equal]
    return int(undecided[0]) if len(undecided) else None


def codes(left: Sequence[pa.Array], right: Sequence[pa.Array]) -> tuple[NDArray[np.int64], ...]:
    """A number for each key of both sides, equal where the keys are equal."""
    both = np.zeros(len(left[0]) + len(right[0]), dtype=np.int64)
    span = 1
    for mine, theirs in zip(left, right, strict=True):
        encoded = pa.concat_arrays([mine, theirs]).dictionary_encode()
        size = len(encoded.dictionary)
        if size == 1:
            continue
        if span * size > int(_SIGN):
            distinct, both = np.unique(both, return_inverse=True)
            span = len(distinct)
        both = both * size + encoded.indices.to_numpy(zero_copy_only=False)
        span *= size
    return both[: len(left[0])], both[len(left[0]) :]


def _compare_neighbours(
    key: pa.Array, rows: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], int | None]:
    """Which of `rows` equal the row before, and the first of them that is less than it."""
    before, here = key.slice(0, len(key) - 1), key.slice(1)
    if len(rows) * _FEW < len(here):
        before, here = key.take(pa.array(rows - 1)), key.take(pa.array(rows))
        equal = _mask(pc.equal(before, here))
    else:
        equal = _mask(pc.equal(before, here))[rows - 1]
        unequal = pa.array(rows[~equal])
        before, here = key.take(pc.subtract(unequal, 1)), key.take(unequal)
        less = _mask(pc.less(here, before))
        return equal, int(rows[~equal][less][0]) if less.any() else None
    less = _mask(pc.less(here, before))
    return equal, int(rows[less][0]) if less.any() else None


def _mask(values: pa.BooleanArray) -> NDArray[np.bool_]:
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _floats(column: pa.Array) -> NDArray[np.float64]:
    filled = pc.fill_null(pc.cast(column, pa.float64()), 0.0)
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.float64)


def _with_nulls(values: NDArray[np.int64], column: pa.Array) -> pa.Array:
    if not column.null_count:
        return pa.array(values)
    return pa.array(values, mask=_mask(column.is_null()))
