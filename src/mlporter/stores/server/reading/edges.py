"""Edges that MLflow shows only where each run is asked for by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.bundle.tables.rows import python_rows
from mlporter.stores.protocols import Among
from mlporter.stores.server.reading import calls
from mlporter.stores.server.reading.rows import merged, new_rows
from mlporter.stores.server.reading.rows import traces as trace_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.stores.database.scratch_registry import ScratchRegistry
    from mlporter.stores.rest.client import Client
    from mlporter.stores.server.reading.gathering import Gatherer
    from mlporter.stores.server.reading.rows import Json, Rows

__all__ = ["Edges"]


class Edges:
    """Reads edges of the runs that are in a scratch registry.

    Args:
        scratch: Where the runs are, and what they may have edges to.
        gather: Takes the edges.
        client_of: The client of an experiment's workspace.
    """

    def __init__(
        self, scratch: ScratchRegistry, gather: Gatherer, client_of: Callable[[int], Client]
    ) -> None:
        self._scratch = scratch
        self._gather = gather
        self._client_of = client_of
        self._with_models: set[str] = set()
        self._with_traces: set[str] = set()

    def to_models(self) -> None:
        """The logged models that runs used: MLflow's search leaves them out, getting a run not."""
        new = [found for found in self._runs() if found[0] not in self._with_models]
        self._with_models.update(run for run, _ in new)
        shown = self._with_outputs()

        def fetch(asked: tuple[str, int]) -> Iterator[Rows]:
            run, experiment = asked
            client = self._client_of(experiment)
            yield calls.model_inputs(client, run, outputs=run not in shown)

        self._gather.each("run", new, fetch, _run)

    def _with_outputs(self) -> set[str]:
        """Runs that were shown with the models that they made."""
        among = Among("source_type", ("RUN_OUTPUT",))
        batches = self._scratch.reader.read("inputs", ("source_id",), among)
        return {run for batch in batches for run in batch.column(0).to_pylist()}

    def to_traces(self) -> None:
        """The traces that were linked to runs of the experiment that they are in.

        A trace that a run made itself says so in its metadata, and needs no edge.
        """
        traced = {
            experiment
            for batch in self._scratch.reader.read("trace_info", ("experiment_id",))
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
        for batch in self._scratch.reader.read("runs", ("run_uuid", "experiment_id")):
            yield from python_rows(batch)


def _linked(found: Json, run: str) -> Rows:
    rows = new_rows()
    if dict(found.get("trace_metadata") or {}).get("mlflow.sourceRun") != run:
        edge = trace_rows.association("trace", found["trace_id"], "run", run)
        rows["entity_associations"].append(edge)
    return rows


def _run(asked: tuple[str, int]) -> str:
    return asked[0]
