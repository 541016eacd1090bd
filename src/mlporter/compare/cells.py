"""When two values are the same: plain values, JSON documents, and excerpts of long texts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlporter.compare.ordering import canonical_bits, sortable
from mlporter.redaction import redact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlporter.catalogue.types import Column

__all__ = ["EXCERPT", "excerpts", "same_json", "unequal"]

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
