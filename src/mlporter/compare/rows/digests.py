"""Digests of 64 bits, of a whole column at a time: pandas' `hash_array`, and texts by it."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["number_digests", "text_digests"]

_importing = Lock()


def _hash_array() -> Callable[..., Any]:
    """What pandas hashes with, imported by one thread at a time.

    Its modules import each other, so that two threads that import it at once wait for each other:
    Python finds that out and fails one of them.
    """
    with _importing:
        from pandas.util import hash_array  # noqa: PLC0415 -- it takes half a second to import

        return hash_array


def number_digests(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Digests of values as they are, the same on every machine and in every release."""
    found: NDArray[np.uint64] = _hash_array()(values, categorize=False).astype(np.uint64)
    return found


def text_digests(
    values: pa.Array, spelled: Callable[[str], str] | None = None
) -> NDArray[np.uint64]:
    """Digests of texts, as those of `number_digests`.

    Each text is digested once, however often it comes: ids of runs and names of metrics come again
    and again.

    Args:
        values: Texts; what stands for one that is null says nothing.
        spelled: Gives the text that is digested in the place of one.
    """
    encoded = pc.fill_null(values, "").dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    if spelled is not None:
        texts = [spelled(text) for text in texts]
    found = number_digests(np.array(texts, dtype=object))
    which = np.asarray(encoded.indices)
    return found[which] if len(found) else np.zeros(0, np.uint64)
