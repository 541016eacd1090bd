"""Full metric histories, in as few requests as the server can answer completely.

``metrics/get-history-bulk`` gives all points of one metric in up to 100 runs, and cuts its answer
at 25,000 points without a word (MLflow 2.0 to 3.17). An answer with fewer is whole. One that is as
long as that may be cut, and is asked for again in halves; a single run's history comes in the end
from ``metrics/get-history``, which is paged and never cut. ``get-history-bulk-interval`` samples,
and is never asked.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue.tables.own import UNKNOWN_FIELDS
from mlporter.errors import AccessDeniedError
from mlporter.stores.rest.answers import ApiError, MissingEndpointError
from mlporter.stores.server.reading.answer_fields import POINT
from mlporter.stores.server.reading.rows import tracking
from mlporter.stores.server.reading.unknown_fields import row_of, unknown_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from mlporter.stores.database.scratch_registry import ScratchRegistry
    from mlporter.stores.protocols import Among
    from mlporter.stores.rest.client import Client, Json
    from mlporter.stores.server.reading.gathering import Gatherer
    from mlporter.stores.server.reading.rows import Rows

__all__ = ["RUNS_AT_ONCE", "Histories", "History"]

RUNS_AT_ONCE = 100
"""Runs that the server takes in one request."""
_CAP = 25_000
_PAGE = 25_000
_BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
_SINGLE = "/api/2.0/mlflow/metrics/get-history"


class Histories:
    """Puts full histories of the runs that are in a scratch registry there too, each once.

    Args:
        scratch: Where the runs and their last metrics are.
        gather: Takes the points.
        client_of: The client of an experiment's workspace.
        bulk: Whether the server may have the endpoint for many runs.
    """

    def __init__(
        self,
        scratch: ScratchRegistry,
        gather: Gatherer,
        client_of: Callable[[int], Client],
        *,
        bulk: bool,
    ) -> None:
        self._scratch = scratch
        self._gather = gather
        self._client_of = client_of
        self._bulk = bulk
        self._done: set[str] = set()
        self._left: set[str] = set()
        self.failed: set[str] = set()
        """Runs some of whose points could not be read."""

    def leave(self, runs: Iterable[str]) -> frozenset[str]:
        """Do as if some runs had no histories.

        Returns:
            Those of which none was read yet; of the others all points are there.
        """
        left = frozenset(runs) - self._done
        self._left |= left
        return left

    def take_up(self, runs: Iterable[str]) -> None:
        """Read the histories of some runs after all, when they are asked for next."""
        self._left.difference_update(runs)

    def of_runs(self, among: Among | None) -> None:
        """The histories of all runs that are there, or of those in `among`."""
        asked = among if among is not None and among.column == "run_uuid" else None
        homes = self._homes(asked)
        keys: dict[int, dict[str, list[str]]] = {}
        new: set[str] = set()
        for batch in self._scratch.reader.read("latest_metrics", ("run_uuid", "key"), asked):
            for run, key in python_rows(batch):
                if run in homes and run not in self._done and run not in self._left:
                    new.add(run)
                    keys.setdefault(id(homes[run]), {}).setdefault(key, []).append(run)
        self._done |= new
        clients = {id(client): client for client in homes.values()}
        for home, runs in keys.items():
            history = History(clients[home], bulk=self._bulk)
            self._gather.each("metric", _few_at_once(runs), partial(self._put, history), _named)

    def _homes(self, among: Among | None) -> dict[str, Client]:
        homes: dict[str, Client] = {}
        for batch in self._scratch.reader.read("runs", ("run_uuid", "experiment_id"), among):
            for run, experiment in python_rows(batch):
                homes[run] = self._client_of(experiment)
        return homes

    def _put(self, history: History, asked: tuple[str, Sequence[str]]) -> Iterator[Rows]:
        try:
            for batch in history.read(*asked):
                self._gather.put_batch("metrics", batch)
        except (AccessDeniedError, ApiError):
            self.failed.update(asked[1])
            raise
        yield {UNKNOWN_FIELDS.name: history.unknown()}


def _few_at_once(runs: dict[str, list[str]]) -> Iterator[tuple[str, list[str]]]:
    for key, ids in runs.items():
        for at in range(0, len(ids), RUNS_AT_ONCE):
            yield key, ids[at : at + RUNS_AT_ONCE]


def _named(asked: tuple[str, Sequence[str]]) -> str:
    return f"{asked[0]} of {', '.join(asked[1][:3])}"


class History:
    """Reads histories of one workspace.

    Args:
        client: In the workspace of the runs.
        bulk: Whether the server may have the endpoint for many runs.
    """

    def __init__(self, client: Client, *, bulk: bool) -> None:
        self._client = client
        self._bulk = bulk
        self._unknown: deque[dict[str, Any]] = deque()

    def unknown(self) -> list[dict[str, Any]]:
        """What of points was not known since this was last asked: rows of `UNKNOWN_FIELDS`."""
        found = []
        with suppress(IndexError):
            while True:
                found.append(self._unknown.popleft())
        return found

    def _points(self, run: str | None, found: list[Json]) -> pa.RecordBatch:
        batch = tracking.points(run, found)
        for index, point in enumerate(found):
            if not POINT.names.issuperset(point):
                row = batch.slice(index, 1).to_pylist()[0]
                fields = unknown_in(point, POINT)
                self._unknown.extend(row_of("metrics", row, *field) for field in fields)
        return batch

    def read(self, key: str, runs: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All points of a metric in some runs (at most `RUNS_AT_ONCE`), page by page."""
        if len(runs) > 1 and self._bulk:
            found = self._many(key, runs)
            if found is not None:
                yield self._points(None, found)
                return
            if self._bulk:
                middle = len(runs) // 2
                yield from self.read(key, runs[:middle])
                yield from self.read(key, runs[middle:])
                return
        for run in runs:
            yield from self._one(key, run)

    def _many(self, key: str, runs: Sequence[str]) -> list[Json] | None:
        """All points, or None if it can't be known that these are all."""
        query = {"run_id": list(runs), "metric_key": key, "max_results": _CAP}
        try:
            answer = self._client.get(_BULK, query)
        except (MissingEndpointError, AccessDeniedError):
            self._bulk = False
            return None
        found: list[Json] = answer.get("metrics", [])
        told = {point.get("run_id") for point in found}
        # Each of the runs is known to have at least one point.
        return found if len(found) < _CAP and told == set(runs) else None

    def _one(self, key: str, run: str) -> Iterator[pa.RecordBatch]:
        query = {"run_id": run, "metric_key": key, "max_results": _PAGE}
        pages = self._client.pages(_SINGLE, query, "metrics", method="GET")
        try:
            for page in pages:
                yield self._points(run, page)
        except ApiError as error:
            # Releases before 1.30 take no page; then the answer is whole.
            if error.code != "INVALID_PARAMETER_VALUE":
                raise
            answer = self._client.get(_SINGLE, {"run_id": run, "metric_key": key})
            yield self._points(run, answer.get("metrics", []))
