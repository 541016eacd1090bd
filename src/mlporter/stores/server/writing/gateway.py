"""Writing the AI gateway: model definitions, endpoints, bindings, budgets and guardrails.

A model definition cannot be made without the secret that opens it, and no secret can be read
anywhere. So a placeholder stands in while definitions are made. MLflow keeps them when it is
deleted: they have no secret then, until somebody gives them one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.stores.rest.answers import LostAnswerError
from mlporter.stores.server.reading.calls import API3

if TYPE_CHECKING:
    from mlporter.stores.rest.client import Json
    from mlporter.stores.server.writing.writer import Writer

__all__ = ["PLACEHOLDER_SECRET", "GatewayWriter"]

PLACEHOLDER_SECRET = "mlporter.placeholder"  # noqa: S105 -- a name
_PATH = f"{API3}/gateway"


class GatewayWriter:
    """Writes into one workspace of a server. Whatever makes something is sent once only."""

    def __init__(self, writer: Writer) -> None:
        self._client = writer.client
        self._secret: str | None = None

    def _made(self, path: str, body: Json, kind: str, id_: str) -> str:
        answer = self._client.post(f"{_PATH}/{path}", body, again=False)
        return str(answer.get(kind, {}).get(id_, ""))

    # --- Secrets and model definitions ------------------------------------------------------------

    def placeholder(self) -> str:
        """The id of a secret without a value, which is made if it is not there."""
        if self._secret is None:
            self._secret = self._placeholder() or self._made_placeholder()
        return self._secret

    def _made_placeholder(self) -> str:
        body = {"secret_name": PLACEHOLDER_SECRET, "secret_value": {"api_key": "none"}}
        try:
            return self._made("secrets/create", body, "secret", "secret_id")
        except LostAnswerError:
            found = self._placeholder()
            if found is None:
                raise
            return found

    def forget_placeholder(self) -> None:
        """Delete the secret without a value, if it is there."""
        found = self._secret or self._placeholder()
        if found is not None:
            self._client.delete(f"{_PATH}/secrets/delete", {"secret_id": found})
            self._secret = None

    def _placeholder(self) -> str | None:
        secrets = self._client.get(f"{_PATH}/secrets/list").get("secrets", ())
        named = (s["secret_id"] for s in secrets if s.get("secret_name") == PLACEHOLDER_SECRET)
        return next(named, None)

    def model_definition(self, body: Json) -> str:
        """Make a model definition; its id."""
        return self._made(
            "model-definitions/create", body, "model_definition", "model_definition_id"
        )

    # --- Endpoints --------------------------------------------------------------------------------

    def endpoint(self, body: Json) -> str:
        """Make an endpoint with the models behind it; its id."""
        return self._made("endpoints/create", body, "endpoint", "endpoint_id")

    def endpoint_tag(self, body: Json) -> None:
        """Set a tag of an endpoint."""
        self._client.post(f"{_PATH}/endpoints/set-tag", body)

    def bind(self, body: Json, more: Json) -> None:
        """Note what uses an endpoint, unless the server knows; it notes scorers by itself.

        Args:
            body: Endpoint, and kind and id of what uses it.
            more: What goes along.
        """
        path = f"{_PATH}/endpoints/bindings"
        if not self._client.get(f"{path}/list", body).get("bindings"):
            self._client.post(f"{path}/create", {**more, **body}, again=False)

    # --- Budgets and guardrails -------------------------------------------------------------------

    def budget(self, body: Json) -> str:
        """Make a limit on spending; its id."""
        return self._made("budgets/create", body, "budget_policy", "budget_policy_id")

    def guardrail(self, body: Json) -> str:
        """Make a guardrail; its id."""
        return self._made("guardrails/create", body, "guardrail", "guardrail_id")

    def guard(self, body: Json) -> None:
        """Put a guardrail before an endpoint."""
        self._client.post(f"{_PATH}/guardrails/add-to-endpoint", body, again=False)
