"""A writer that writes nothing: what a plan is made with, by the very steps that carry it out."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from mlporter.stores.server.reading.calls import API, API3
from mlporter.stores.server.writing.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.stores.rest.client import Client, Json

__all__ = ["Rehearsal"]

_MADE = {
    "issues": ("issue", "issue_id"),
    "label-schemas/create": ("label_schema", "schema_id"),
    "review-queues/create": ("review_queue", "queue_id"),
    "review-queues/get-or-create-user": ("review_queue", "queue_id"),
    "datasets/create": ("dataset", "dataset_id"),
    "gateway/secrets/create": ("secret", "secret_id"),
    "gateway/model-definitions/create": ("model_definition", "model_definition_id"),
    "gateway/endpoints/create": ("endpoint", "endpoint_id"),
    "gateway/budgets/create": ("budget_policy", "budget_policy_id"),
    "gateway/guardrails/create": ("guardrail", "guardrail_id"),
    "webhooks": ("webhook", "webhook_id"),
}

_numbers = count(1)


class Rehearsal(Writer):
    """Gives made-up ids to what would be made."""

    def __init__(self, client: Client) -> None:
        super().__init__(cast("Client", _Silent(client)))
        self._asking = Writer(client)
        self._planned: set[str] = set()

    def create_experiment(self, name: str, tags: Mapping[str, str]) -> Json:  # noqa: ARG002
        """An experiment with a number that no server gives."""
        return {"experiment_id": -next(_numbers), "name": name, "artifact_location": "planned:/"}

    def create_run(self, body: Json, tag: tuple[str, str]) -> str:  # noqa: ARG002
        """An id."""
        return uuid4().hex

    def run_tagged(self, experiment: str, tag: tuple[str, str]) -> str | None:
        """As it is: looking changes nothing."""
        return self._asking.run_tagged(experiment, tag)

    def create_logged_model(self, body: Json, tag: tuple[str, str]) -> str:  # noqa: ARG002
        """An id."""
        self._planned.add(model := f"m-{uuid4().hex}")
        return model

    def logged_model_location(self, model: str) -> str:
        """Where it is, or would be."""
        return "planned:/" if model in self._planned else super().logged_model_location(model)

    def logged_model_tags(self, model: str) -> dict[str, str]:
        """What it has, or would have."""
        return {} if model in self._planned else super().logged_model_tags(model)

    def logged_model_tagged(self, experiment: str, tag: tuple[str, str]) -> str | None:  # noqa: ARG002
        """None."""
        return None

    def experiment_of_trace(self, trace: str) -> int | None:  # noqa: ARG002
        """Nowhere."""
        return None

    def create_model_version(self, body: Json, expected: int) -> int:  # noqa: ARG002
        """The number that is expected."""
        return expected


class _Silent:
    """A client that asks, and sends nothing."""

    def __init__(self, client: Client) -> None:
        self.subject = client.subject
        self.get = client.get

    def post(self, path: str, *_: object, **__: object) -> Json:
        """Made-up ids of what would be made."""
        kind, id_ = _MADE.get(path.removeprefix(API3).removeprefix(API).strip("/"), ("", ""))
        return {kind: {id_: uuid4().hex}, "scorer_id": uuid4().hex, "id": uuid4().hex}

    patch = put = delete = send = post
