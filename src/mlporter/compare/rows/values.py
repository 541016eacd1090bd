"""When two values are the same, and how keys sort: what the comparison of rows works with.

NaN is one value, whatever its bits, and sorts last. As part of a key 0.0 and -0.0 are the same,
as every database holds.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlporter.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlporter.catalogue.types import Column

__all__ = [
    "EXCERPT",
    "bits",
    "canonical_bits",
    "codes",
    "excerpts",
    "first_unsorted",
    "key_columns",
    "same_json",
    "unequal",
]

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


EXCERPT = 400
"""Longer texts (characters) or values (bytes) are shown by an excerpt of this length."""

_LEAD = 60
"""How much of what is the same an excerpt shows before the first difference."""


def unequal(left: pa.Array, right: pa.Array, column: Column, *, strict: bool) -> NDArray[np.bool_]:
    """In which rows two columns of one type differ.

    NULL equals NULL and NaN equals NaN. Unless `strict`, 0.0 equals -0.0, and JSON documents
    are equal if they parse equal.
    """
    as_compared = canonical_bits if strict else sortable
    mine, theirs = as_compared(left), as_compared(right)
    differ = pc.fill_null(pc.not_equal(mine, theirs), fill_value=False)
    if mine.null_count or theirs.null_count:
        differ = pc.or_(differ, pc.xor(mine.is_null(), theirs.is_null()))
    mask = np.array(differ.to_numpy(zero_copy_only=False), dtype=np.bool_)
    if column.json and not strict:
        for row in np.flatnonzero(mask):
            mask[row] = not same_json(left[int(row)].as_py(), right[int(row)].as_py())
    return mask


def same_json(left: str | None, right: str | None) -> bool:
    """Whether two JSON documents parse equal; what does not parse equals only itself.

    The order of members, blanks, escapes and the notation of a number do not matter; 1, 1.0 and
    true are three values.
    """
    if left is None or right is None:
        return left is right
    if left == right:
        return True
    try:
        return _canonical(left) == _canonical(right)
    except (ValueError, RecursionError):  # not JSON, ambiguous, or nested to do harm
        return False


def _canonical(text: str) -> str:
    parsed = json.loads(text, object_pairs_hook=_members)
    return json.dumps(parsed, sort_keys=True)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a JSON object names a member twice")
    return members


def excerpts(left: object, right: object) -> tuple[object, object]:
    """Two values that differ, as they may be shown: long ones cut to where they begin to differ.

    Passwords and tokens in URIs are redacted, so that two that differ may look the same.
    """
    start = 0
    for kind in (str, bytes):
        if isinstance(left, kind) and isinstance(right, kind):
            start = _first_difference(left, right)
    return _excerpt(left, start), _excerpt(right, start)


def _first_difference(left: str | bytes, right: str | bytes) -> int:
    low, high = 0, min(len(left), len(right))
    while low < high:  # the longest common beginning, by halving
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _excerpt(value: object, start: int) -> object:
    if not isinstance(value, (str, bytes)):
        return value
    if len(value) <= EXCERPT:
        return redact(value) if isinstance(value, str) else value
    begin = max(0, min(start - _LEAD, len(value) - EXCERPT))
    end = begin + EXCERPT
    if isinstance(value, bytes):
        return f"{value[begin:end].hex()} (bytes {begin} to {end} of {len(value)})"
    # A secret that the cut runs through is only known as one with what is around it.
    before = redact(value[max(0, begin - EXCERPT) : begin + EXCERPT + EXCERPT])
    part = before[min(begin, EXCERPT) :][:EXCERPT]
    return f"{part} (characters {begin} to {end} of {len(value)})"
