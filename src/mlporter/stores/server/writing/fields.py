"""Fields that this release does not know, in the requests that change an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlporter.stores.rest.client import quoted_path
from mlporter.stores.server.reading.answer_fields import ANSWER_FIELDS
from mlporter.stores.server.reading.calls import API, API3
from mlporter.stores.server.writing.element_fields import POINTS, element_path
from mlporter.stores.server.writing.placed_fields import is_placeable
from mlporter.stores.server.writing.writer import LOGGED_MODEL_STATUS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlporter.stores.rest.client import Client, Json

__all__ = ["CHANGEABLE", "is_sendable", "sendable_name", "set_fields"]


_Request = tuple[str, str, "Json"]
"""Method, path and body."""


def _experiment(row: Mapping[str, Any]) -> _Request:
    named = {"experiment_id": str(row["experiment_id"]), "new_name": row["name"]}
    return "POST", f"{API}/experiments/update", named


def _run(row: Mapping[str, Any]) -> _Request:
    return "POST", f"{API}/runs/update", {"run_id": row["run_uuid"]}


def _logged_model(row: Mapping[str, Any]) -> _Request:
    path = f"{API}/{quoted_path('logged-models', row['model_id'])}"
    return (
        "PATCH",
        path,
        {"model_id": row["model_id"], "status": LOGGED_MODEL_STATUS[row["status"]]},
    )


def _registered_model(row: Mapping[str, Any]) -> _Request:
    named = {"name": row["name"], "description": row["description"] or ""}
    return "PATCH", f"{API}/registered-models/update", named


def _model_version(row: Mapping[str, Any]) -> _Request:
    named = {"name": row["name"], "version": str(row["version"])}
    text = {"description": row["description"] or ""}
    return "PATCH", f"{API}/model-versions/update", named | text


def _issue(row: Mapping[str, Any]) -> _Request:
    path = f"{API3}/{quoted_path('issues', row['issue_id'])}"
    return "PATCH", path, {"issue_id": row["issue_id"]}


def _of_gateway(kind: str, id_: str, *names: str) -> Callable[[Mapping[str, Any]], _Request]:
    def request(row: Mapping[str, Any]) -> _Request:
        return "POST", f"{API3}/gateway/{kind}/update", {name: row[name] for name in (id_, *names)}

    return request


CHANGEABLE: Mapping[str, Callable[[Mapping[str, Any]], _Request]] = {
    "experiments": _experiment,
    "runs": _run,
    "logged_models": _logged_model,
    "registered_models": _registered_model,
    "model_versions": _model_version,
    "issues": _issue,
    "model_definitions": _of_gateway("model-definitions", "model_definition_id", "name"),
    "endpoints": _of_gateway("endpoints", "endpoint_id", "name"),
    "budget_policies": _of_gateway("budgets", "budget_policy_id", "budget_amount"),
}
"""By table: the request that changes an object, as it is on the server, into itself."""


def sendable_name(table: str, path: str) -> str | None:
    """What a field is called in a request, which is flat; None where none has it.

    A bundle may come from anybody: what MLflow knows by that name is not sent in its place.
    """
    name = path.removeprefix("info.")
    known = ANSWER_FIELDS[table]
    taken = known.names | (known.inside["info"].names if "info" in known.inside else set())
    return None if "." in name or "[" in name or name in taken else name


def is_sendable(table: str, path: str) -> bool:
    """Whether this release knows a request that sets a field."""
    if element_path(table, path) is not None or is_placeable(table, path):
        return True
    settable = table in CHANGEABLE or table == POINTS.table
    return settable and sendable_name(table, path) is not None


def set_fields(client: Client, table: str, row: Mapping[str, Any], fields: Json) -> None:
    """Send fields along with what an object has already.

    A server that does not know them ignores them, so that only reading again tells.

    Args:
        client: In the object's workspace.
        table: Of `CHANGEABLE`.
        row: The object as the server has it.
        fields: Names and values, none of which MLflow's own request has.
    """
    method, path, body = CHANGEABLE[table](row)
    send = client.post if method == "POST" else client.patch
    send(path, {**fields, **body})
