"""Commands that begin at once: what takes long to import, and is not needed, is not imported."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["arrow_without_pandas"]


def arrow_without_pandas() -> None:
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
