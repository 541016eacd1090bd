"""Commands that begin at once and take little memory: an Arrow that does without."""

from __future__ import annotations

import os
import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["light_arrow"]

_POOL = "ARROW_DEFAULT_MEMORY_POOL"


def light_arrow() -> None:
    """Make pyarrow, before it is used, take little memory, and find no pandas.

    Its own allocator keeps what threads have once used: with the system's, verbs took 13 to 59
    MB less and as long (docs/performance.md). What the user has set stays. Source:
    https://arrow.apache.org/docs/cpp/memory.html (overriding the default memory pool).
    """
    os.environ.setdefault(_POOL, "system")
    _without_pandas()


def _without_pandas() -> None:
    """Let pyarrow find no pandas, so that it does not import it, once and for all.

    It looks for it when the first Python value becomes an Arrow one, as that could be one of
    pandas': half a second for what never happens here. Whoever imports pandas later (MLflow does)
    gets it. Source: pyarrow/pandas-shim.pxi, which remembers whether its import succeeded.
    """
    import pyarrow as pa  # noqa: PLC0415 -- `--help` needs none

    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([None])
    finally:
        sys.meta_path.remove(finder)


class _NoPandas(MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 -- as the protocol wants it
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ImportError(fullname)
        return None
