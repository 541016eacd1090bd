"""Requests that say once more what a server has, with fields of a newer MLflow in their places."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlporter.stores.protocols import Among
from mlporter.stores.server.reading.calls import API, API3
from mlporter.stores.server.writing.placed_fields import place
from mlporter.stores.server.writing.trace_bodies import assessment_body, trace_body

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.stores.protocols import Source
    from mlporter.stores.rest.client import Client, Json

__all__ = ["Repeating", "dataset_of"]

Row = dict[str, Any]


def dataset_of(row: Mapping[str, Any]) -> Json:
    """A dataset as the API takes it, from a row."""
    names = {
        "name": "name",
        "digest": "digest",
        "source_type": "dataset_source_type",
        "source": "dataset_source",
        "schema": "dataset_schema",
        "profile": "dataset_profile",
    }
    return {name: row[column] for name, column in names.items() if row[column] is not None}


@dataclass(frozen=True)
class Repeating:
    """Sends what a server has to it.

    Attributes:
        server: What it has.
        client: In the workspace of the object.
    """

    server: Source
    client: Client

    def send(self, table: str, row: Row, fields: Mapping[str, Any]) -> None:
        """Say once more what is known of an object.

        Args:
            table: Of what `placed_fields` has requests for.
            row: The object.
            fields: What is said beside it, by path.
        """
        send = {"trace_info": self._trace, "runs": self._inputs}[table]
        send(row, fields)

    def _rows(self, table: str, column: str, *values: str) -> Iterator[Row]:
        among = Among(column, tuple(sorted(set(values), key=str.encode)))
        for batch in self.server.read(table, None, among):
            yield from batch.to_pylist()

    def _trace(self, row: Row, fields: Mapping[str, Any]) -> None:
        id_ = row["request_id"]
        tags, metadata = (
            {found["key"]: found["value"] for found in self._rows(table, "request_id", id_)}
            for table in ("trace_tags", "trace_request_metadata")
        )
        # One that overrides another is taken by a request of its own only.
        rows = (a for a in self._rows("assessments", "trace_id", id_) if not a["overrides"])
        named = [assessment_body(a) for a in rows if f"[{a['assessment_id']}]" in "".join(fields)]
        body = trace_body(row, tags, metadata, named)
        place(body["trace"]["trace_info"], "trace_info", fields)
        self.client.post(f"{API3}/traces", body)

    def _inputs(self, row: Row, fields: Mapping[str, Any]) -> None:
        run = row["run_uuid"]
        edges = {edge["source_id"]: edge for edge in self._rows("inputs", "destination_id", run)}
        tags: dict[str, list[Json]] = defaultdict(list)
        ids = [edge["input_uuid"] for edge in edges.values()]
        for tag in self._rows("input_tags", "input_uuid", *ids):
            tags[tag["input_uuid"]].append({"key": tag["name"], "value": tag["value"]})
        datasets = [
            {"dataset": dataset_of(found), "tags": tags[edges[found["dataset_uuid"]]["input_uuid"]]}
            for found in self._rows("datasets", "dataset_uuid", *edges)
        ]
        models = [
            {"model_id": edge["destination_id"]}
            for edge in self._rows("inputs", "source_id", run)
            if edge["source_type"] == "RUN_INPUT" and edge["destination_id"] in "".join(fields)
        ]
        place({"inputs": {"dataset_inputs": datasets, "model_inputs": models}}, "runs", fields)
        body = {"run_id": run, "datasets": datasets, "models": models}
        self.client.post(f"{API}/runs/log-inputs", body)
