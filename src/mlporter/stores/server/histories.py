"""Full metric histories, in as few requests as the server can answer completely.

``metrics/get-history-bulk`` gives all points of one metric in up to 100 runs, and cuts its answer
at 25,000 points without a word (MLflow 2.0 to 3.17). An answer with fewer is whole. One that is as
long as that may be cut, and is asked for again in halves; a single run's history comes in the end
from ``metrics/get-history``, which is paged and never cut. ``get-history-bulk-interval`` samples,
and is never asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.errors import AccessDeniedError
from mlporter.stores.server.answers import ApiError, MissingEndpointError
from mlporter.stores.server.rows import tracking

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from mlporter.stores.server.client import Client, Json

__all__ = ["RUNS_AT_ONCE", "Histories"]

RUNS_AT_ONCE = 100
"""Runs that the server takes in one request."""
_CAP = 25_000
_PAGE = 25_000
_BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
_SINGLE = "/api/2.0/mlflow/metrics/get-history"


class Histories:
    """Reads histories of one server.

    Args:
        client: In the workspace of the runs.
        bulk: Whether the server may have the endpoint for many runs.
    """

    def __init__(self, client: Client, *, bulk: bool) -> None:
        self._client = client
        self._bulk = bulk

    def read(self, key: str, runs: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All points of a metric in some runs (at most `RUNS_AT_ONCE`), page by page."""
        if len(runs) > 1 and self._bulk:
            found = self._many(key, runs)
            if found is not None:
                yield tracking.points(None, found)
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
                yield tracking.points(run, page)
        except ApiError as error:
            # Releases before 1.30 take no page; then the answer is whole.
            if error.code != "INVALID_PARAMETER_VALUE":
                raise
            answer = self._client.get(_SINGLE, {"run_id": run, "metric_key": key})
            yield tracking.points(run, answer.get("metrics", []))
