"""Threads of this process: what is used unless something else is asked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from mlporter.stopping import Pool

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mlporter.workers.task_pool import Executor

__all__ = ["Threads"]


@dataclass(frozen=True)
class Threads:
    """So many threads; see `mlporter.workers.task_pool.TaskPool`."""

    width: int
    is_elsewhere = False

    def started(self, *, waits: bool) -> AbstractContextManager[Executor]:
        """A pool; after an interrupt its threads are left where they are, unless it `waits`."""
        kind = ThreadPoolExecutor if waits else Pool
        return cast("AbstractContextManager[Executor]", kind(self.width, "mlporter-work"))

    def check_sees(self, folder: str) -> None:
        """They see what this process sees."""
