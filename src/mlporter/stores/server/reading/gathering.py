"""Rows on their way from a server into the scratch registry: in parallel, and in batches."""

from __future__ import annotations

from collections import defaultdict
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from mlporter.artifacts.prefetch import prefetched
from mlporter.catalogue.tables.own import UNKNOWN_FIELDS
from mlporter.errors import AccessDeniedError, LeftOut
from mlporter.stores.rest.answers import ApiError, MissingEndpointError
from mlporter.stores.server.reading.unknown_fields import UnknownFields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

    from mlporter.progress import OnProgress
    from mlporter.stores.database.scratch_registry import ScratchRegistry
    from mlporter.stores.server.reading.rows import Rows

__all__ = ["Gatherer"]

_ROWS = 4_000
"""Rows of a table that are kept before they are written into the scratch registry."""

_SHARED = {"datasets": "dataset_uuid"}
"""Tables of what comes with each run that uses it, and an id to know it by."""

_Item = TypeVar("_Item")


class Gatherer:
    """Fetches objects in several threads and puts their rows into a scratch registry.

    Args:
        scratch: Where the rows go.
        workers: Requests at a time.
        on_progress: Called with how many rows have come.

    Attributes:
        failed: What could not be read, by name and reason.
        unknown: Fields that came with it and that this release does not know.
    """

    def __init__(self, scratch: ScratchRegistry, workers: int, on_progress: OnProgress) -> None:
        self._scratch = scratch
        self._on_progress = on_progress
        self._rows = 0
        self.workers = workers
        self._waiting: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._seen: set[str] = set()
        self._lock = Lock()
        self.failed: list[LeftOut] = []
        self.unknown = UnknownFields()

    def each(
        self,
        kind: str,
        items: Iterable[_Item],
        fetch: Callable[[_Item], Iterable[Rows]],
        name: Callable[[_Item], object] = str,
    ) -> None:
        """Fetch the rows of each item; one that is refused is noted, and the rest goes on.

        Args:
            kind: What items are, for what failed.
            items: Taken in the caller's thread.
            fetch: Gives rows page by page, each of which is put away before the next is asked for.
            name: What an item is called.
        """

        def work(item: _Item) -> None:
            try:
                for rows in fetch(item):
                    self.put(rows)
            except AccessDeniedError as error:
                self.fail(kind, name(item), "denied", error.message)
            except MissingEndpointError:
                raise
            except ApiError as error:
                self.fail(kind, name(item), "unreadable", error.message)

        step, before = f"fetching {kind.removesuffix('s')}s", self._rows
        for _ in prefetched(items, work, self.workers):
            self._on_progress(step, self._rows - before, None)
        rows = self._rows - before
        self._on_progress(step, rows, rows)

    def fail(self, kind: str, name: object, reason: str, detail: str) -> None:
        """Note what could not be read."""
        with self._lock:
            self.failed.append(LeftOut(kind, str(name), "", reason, detail))

    def put(self, rows: Rows) -> None:
        """Keep rows, and put those of a table away when they are many."""
        beside = rows.pop(UNKNOWN_FIELDS.name, ())
        self.unknown.take((r["table"], r["key"], r["field"], r["value"]) for r in beside)
        ready = []
        with self._lock:
            for table, found in rows.items():
                waiting = self._waiting[table]
                self._rows += len(found)
                waiting += self._new(found, _SHARED[table]) if table in _SHARED else found
                if len(waiting) >= _ROWS:
                    ready.append((table, waiting))
                    self._waiting[table] = []
        for table, found in ready:
            self._scratch.append_rows(table, found)

    def _new(self, rows: list[dict[str, Any]], column: str) -> Iterator[dict[str, Any]]:
        for row in rows:
            if row[column] not in self._seen:
                self._seen.add(row[column])
                yield row

    def put_batch(self, table: str, batch: pa.RecordBatch) -> None:
        """Put a batch of a table's columns away."""
        if batch.num_rows:
            with self._lock:
                self._rows += batch.num_rows
            self._scratch.append(table, [batch])

    def settle(self) -> None:
        """Put away all that is left."""
        with self._lock:
            waiting, self._waiting = self._waiting, defaultdict(list)
        for table, found in waiting.items():
            self._scratch.append_rows(table, found)
