"""Requests that make issues, evaluation datasets, scorers, questions and review queues."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlporter.stores.rest.answers import ApiError
from mlporter.stores.rest.client import quoted_path
from mlporter.stores.server.reading.calls import API3

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlporter.stores.rest.client import Json
    from mlporter.stores.server.writing.writer import Writer

__all__ = ["Evaluating"]


class Evaluating:
    """Writes into one workspace of a server. Whatever makes something is sent once only."""

    def __init__(self, writer: Writer) -> None:
        self._client = writer.client

    def _made(self, path: str, body: Json, kind: str, id_: str) -> str:
        answer = self._client.post(f"{API3}/{path}", body, again=False)
        return str(answer.get(kind, {}).get(id_, ""))

    def issue(self, body: Json, updated_by: str | None = None) -> str:
        """Make an issue, and say who updated it if that was not who made it; its id."""
        id_ = self._made("issues", body, "issue", "issue_id")
        if updated_by is not None:
            path = f"{API3}/{quoted_path('issues', id_)}"
            self._client.patch(path, {"issue_id": id_, "last_updated_by": updated_by})
        return id_

    def label_schema(self, body: Json) -> str:
        """Make a question; its id."""
        return self._made("label-schemas/create", body, "label_schema", "schema_id")

    def schema_named(self, experiment: int, name: str) -> str | None:
        """The id of a question; listing them would make one that nobody asked for."""
        query = {"experiment_id": str(experiment), "name": name}
        try:
            answer = self._client.get(f"{API3}/label-schemas/get-by-name", query)
        except ApiError:
            return None
        found = answer.get("label_schema", {}).get("schema_id")
        return str(found) if found else None

    def queue(self, body: Json) -> str:
        """Make a review queue; its id. Everybody's own is made by asking for it."""
        if body["queue_type"] == "USER":
            asked = {"experiment_id": body["experiment_id"], "user": body["name"]}
            return self._made("review-queues/get-or-create-user", asked, "review_queue", "queue_id")
        return self._made("review-queues/create", body, "review_queue", "queue_id")

    def item(self, queue: str, row: Mapping[str, Any], *, new: bool) -> None:
        """Put something into a queue, and say how far it is."""
        if new:
            body = {
                "queue_id": queue,
                "item_type": row["item_type"].upper(),
                "item_ids": [row["item_id"]],
            }
            self._client.post(f"{API3}/review-queues/items/add", body)
        if not new or row["status"] != "pending":
            told = {"queue_id": queue, "item_id": row["item_id"], "status": row["status"].upper()}
            told |= {"completed_by": row["completed_by"]} if row["completed_by"] else {}
            self._client.post(f"{API3}/review-queues/items/set-status", told)

    def dataset(self, name: str, experiments: Sequence[int], tags: Mapping[str, str]) -> str:
        """Make an evaluation dataset; its id."""
        body = {
            "name": name,
            "experiment_ids": [str(number) for number in experiments],
            "tags": json.dumps(dict(tags)),
        }
        return self._made("datasets/create", body, "dataset", "dataset_id")

    def records(self, dataset: str, records: Sequence[Json]) -> None:
        """Put records into a dataset; those with the same inputs are one."""
        path = f"{API3}/{quoted_path('datasets', dataset)}/records"
        self._client.post(path, {"dataset_id": dataset, "records": json.dumps(list(records))})

    def scorer(self, experiment: int, name: str, text: str) -> str:
        """Make the next version of a scorer; the scorer's id."""
        body = {"experiment_id": str(experiment), "name": name, "serialized_scorer": text}
        answer = self._client.post(f"{API3}/scorers/register", body, again=False)
        return str(answer.get("scorer_id", ""))

    def delete_scorer(self, experiment: int, name: str, version: int) -> None:
        """Delete a version."""
        body = {"experiment_id": str(experiment), "name": name, "version": version}
        self._client.delete(f"{API3}/scorers/delete", body)

    def online(self, experiment: int, name: str, rate: float, filter_: str | None) -> None:
        """Say what a scorer runs on."""
        body: Json = {"experiment_id": str(experiment), "name": name, "sample_rate": rate}
        if filter_ is not None:
            body["filter_string"] = filter_
        self._client.put(f"{API3}/scorers/online-config", body)
