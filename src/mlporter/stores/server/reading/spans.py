"""Spans of traces that MLflow keeps in its database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue.tables.own import UNKNOWN_FIELDS
from mlporter.stores.protocols import Among
from mlporter.stores.server.reading.answer_fields import SPANS_FILE
from mlporter.stores.server.reading.rows import new_rows
from mlporter.stores.server.reading.rows.traces import SPANS_LOCATION, span
from mlporter.stores.server.reading.unknown_fields import row_of, unknown_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.stores.database.scratch_registry import ScratchRegistry
    from mlporter.stores.rest.client import Client
    from mlporter.stores.server.reading.gathering import Gatherer
    from mlporter.stores.server.reading.rows import Rows

__all__ = ["Spans"]

_STORED = "/ajax-api/2.0/mlflow/get-trace-artifact"


class Spans:
    """Reads spans of the traces that are in a scratch registry.

    Args:
        scratch: Where the traces are.
        gather: Takes the spans.
        client_of: The client of an experiment's workspace.
    """

    def __init__(
        self, scratch: ScratchRegistry, gather: Gatherer, client_of: Callable[[int], Client]
    ) -> None:
        self._scratch = scratch
        self._gather = gather
        self._client_of = client_of
        self._fetched: set[str] = set()

    def of_traces(self, among: Among | None) -> None:
        """Fetch the spans of the traces that are there and have them in the database, once."""
        asked = among if among is not None and among.column == "trace_id" else None
        wanted = [found for found in self._wanted(asked) if found[0] not in self._fetched]
        self._fetched.update(trace for trace, _ in wanted)
        self._gather.each("spans", wanted, self._fetch, lambda found: found[0])

    def _wanted(self, among: Among | None) -> Iterator[tuple[str, int]]:
        """Traces whose spans are in the database, with their experiments."""
        asked = None if among is None else Among("request_id", among.values)
        stored = set()
        for batch in self._scratch.reader.read("trace_tags", ("request_id", "key", "value"), asked):
            for trace, key, value in python_rows(batch):
                if key == SPANS_LOCATION and value == "TRACKING_STORE":
                    stored.add(trace)
        for batch in self._scratch.reader.read(
            "trace_info", ("request_id", "experiment_id"), asked
        ):
            for trace, experiment in python_rows(batch):
                if trace in stored:
                    yield trace, experiment

    def _fetch(self, asked: tuple[str, int]) -> Iterator[Rows]:
        """The spans of a trace, as MLflow stores them: what the server sends as a file."""
        trace, experiment = asked
        with self._client_of(experiment).download(_STORED, {"request_id": trace}) as stream:
            data = json.load(stream)
        rows = new_rows()
        rows["spans"] += (span(found, trace, experiment) for found in data.get("spans", ()))
        of_trace = {"request_id": trace}
        rows[UNKNOWN_FIELDS.name] += (
            row_of("trace_info", of_trace, f"spans.{name}", value)
            for name, value in unknown_in(data, SPANS_FILE)
        )
        yield rows
