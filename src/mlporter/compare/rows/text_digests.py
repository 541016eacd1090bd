"""Digests of texts, 64 bits each, of a whole column at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["text_digests"]


def text_digests(
    values: pa.Array, spelled: Callable[[str], str] | None = None
) -> NDArray[np.uint64]:
    """Pandas' `hash_array` of texts, which is the same on every machine and in every release.

    Each text is digested once, however often it comes: ids of runs and names of metrics come again
    and again.

    Args:
        values: Texts; what stands for one that is null says nothing.
        spelled: Gives the text that is digested in the place of one.
    """
    from pandas.util import hash_array  # noqa: PLC0415 -- pandas takes half a second to import

    encoded = pc.fill_null(values, "").dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    if spelled is not None:
        texts = [spelled(text) for text in texts]
    found = hash_array(np.array(texts, dtype=object), categorize=False).astype(np.uint64)
    which = np.asarray(encoded.indices)
    return found[which] if len(found) else np.zeros(0, np.uint64)
