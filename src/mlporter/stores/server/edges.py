"""Edges that MLflow shows only where each run is asked for by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.stores.protocols import Among
from mlporter.stores.server import calls
from mlporter.stores.server.rows import merged, new_rows
from mlporter.stores.server.rows import traces as trace_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.stores.database.spool import Spool
    from mlporter.stores.server.client import Client
    from mlporter.stores.server.gathering import Gatherer
    from mlporter.stores.server.rows import Json, Rows

__all__ = ["Edges"]

_OUTPUT = "RUN_OUTPUT"


class Edges:
    """Reads edges of the runs that are in a spool.

    Args:
        spool: Where the runs are, and what they may have edges to.
        gather: Takes the edges.
        client_of: The client of an experiment's workspace.
    """

    def __init__(self, spool: Spool, gather: Gatherer, client_of: Callable[[int], Client]) -> None:
        self._spool = spool
        self._gather = gather
        self._client_of = client_of
        self._with_models: set[str] = set()
        self._outputs_told: bool | None = None  # whether a search shows what models runs made
        self._with_traces: set[str] = set()

    def to_models(self) -> None:
        """The logged models that runs used: MLflow's search leaves them out, getting a run not.

        That of MLflow 3.1 leaves out those that they made, too.
        """
        if self._outputs_told is None and self._has_outputs():
            self._outputs_told = True
        outputs = not self._outputs_told
        new = [found for found in self._runs() if found[0] not in self._with_models]
        self._with_models.update(run for run, _ in new)

        def fetch(asked: tuple[str, int]) -> Iterator[Rows]:
            run, experiment = asked
            rows = calls.models_of_run(self._client_of(experiment), run, outputs=outputs)
            if any(row["source_type"] == _OUTPUT for row in rows["inputs"]):
                self._outputs_told = False
            yield rows

        self._gather.each("run", new, fetch, _run)

    def _has_outputs(self) -> bool:
        """Whether a search brought a model that a run made."""
        made = Among("source_type", (_OUTPUT,))
        found = self._spool.reader.read("inputs", ("source_type",), made)
        return any(batch.num_rows for batch in found)

    def to_traces(self) -> None:
        """The traces that were linked to runs of the experiment that they are in.

        A trace that a run made itself says so in its metadata, and needs no edge.
        """
        traced = {
            experiment
            for batch in self._spool.reader.read("trace_info", ("experiment_id",))
            for experiment in batch.column(0).to_pylist()
        }
        new = [
            (run, experiment)
            for run, experiment in self._runs()
            if experiment in traced and run not in self._with_traces
        ]
        self._with_traces.update(run for run, _ in new)

        def fetch(asked: tuple[str, int]) -> Iterator[Rows]:
            run, experiment = asked
            for page in calls.traces_of_run(self._client_of(experiment), experiment, run):
                yield merged(_linked(found, run) for found in page)

        self._gather.each("run", new, fetch, _run)

    def _runs(self) -> Iterator[tuple[str, int]]:
        for batch in self._spool.reader.read("runs", ("run_uuid", "experiment_id")):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _linked(found: Json, run: str) -> Rows:
    rows = new_rows()
    if dict(found.get("trace_metadata") or {}).get("mlflow.sourceRun") != run:
        edge = trace_rows.association("trace", found["trace_id"], "run", run)
        rows["entity_associations"].append(edge)
    return rows


def _run(asked: tuple[str, int]) -> str:
    return asked[0]
