"""Fields that this release does not know, of what stands in lists: parameters, tags, aliases.

The requests that set such an element take it whole, so it is sent as the server has it, with the
fields along.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mlporter.stores.rest.client import quoted_path
from mlporter.stores.server.reading.answer_fields import ANSWER_FIELDS
from mlporter.stores.server.reading.calls import API, API3

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlporter.stores.rest.client import Client, Json

__all__ = ["ELEMENTS", "POINTS", "Element", "ElementPath", "element_path", "send_elements"]

_PATH = re.compile(r"(?P<list>[\w.]+)\[(?P<name>[^\[\]]*)\]\.(?P<field>\w+)")


class ElementPath(NamedTuple):
    """A field of an element: ``data.params[lr].unit``."""

    list: str
    name: str
    field: str


def element_path(table: str, path: str) -> ElementPath | None:
    """The parts of the path of such a field; None where no request sets it.

    A bundle may come from anybody: what MLflow knows by that name is not sent in its place.
    """
    found = _PATH.fullmatch(path)
    if found is None or (table, found["list"]) not in ELEMENTS:
        return None
    known = ANSWER_FIELDS[table]
    for step in found["list"].split("."):
        known = known.inside[step]
    return None if found["field"] in known.names else ElementPath(**found.groupdict())


_Body = tuple[str, str, "Json"]
_Item = tuple["Mapping[str, Any]", "Mapping[str, Any]"]
"""A row, and the fields that go with it."""


@dataclass(frozen=True)
class Element:
    """What stands in a list of an object.

    Attributes:
        table: Its rows are those of.
        names: The columns by which it is called.
        owner: The columns, there, that are the object's key.
        request: Sets some of one object.
        at_once: How many of them.
        is_sure: Whether a row says enough of one for it to be set to the same.
    """

    table: str
    names: tuple[str, ...]
    owner: tuple[str, ...]
    request: Callable[[Sequence[_Item]], _Body]
    at_once: int = 1
    is_sure: Callable[[Mapping[str, Any]], bool] = lambda _: True

    def called(self, row: Mapping[str, Any]) -> str:
        """What one is called in paths."""
        return "/".join(str(row[name]) for name in self.names)


def send_elements(client: Client, element: Element, items: Sequence[_Item]) -> None:
    """Set elements of one object once more, with fields along.

    Args:
        client: In the object's workspace.
        element: What they are.
        items: Their rows as the server has them, and the fields of each.
    """
    for at in range(0, len(items), element.at_once):
        method, path, body = element.request(items[at : at + element.at_once])
        send = client.post if method == "POST" else client.patch
        send(path, body)


def _pairs(items: Sequence[_Item], key: str, value: str) -> list[Json]:
    return [{**more, "key": row[key], "value": row[value] or ""} for row, more in items]


def _of_run(kind: str) -> Callable[[Sequence[_Item]], _Body]:
    def request(items: Sequence[_Item]) -> _Body:
        run = items[0][0]["run_uuid"]
        found = _points(items) if kind == "metrics" else _pairs(items, "key", "value")
        return "POST", f"{API}/runs/log-batch", {"run_id": run, kind: found}

    return request


def _points(items: Sequence[_Item]) -> list[Json]:
    return [
        {
            **more,
            "key": row["key"],
            "value": "NaN" if row["is_nan"] else row["value"],
            "timestamp": row["timestamp"],
            "step": row["step"],
        }
        for row, more in items
    ]


def _model_point(items: Sequence[_Item]) -> _Body:
    """A point of a run, said once more to be one of a logged model's."""
    ((row, more),) = items
    point = {
        **more,
        "key": row["metric_name"],
        "value": row["metric_value"],
        "timestamp": row["metric_timestamp_ms"],
        "step": row["metric_step"],
        "model_id": row["model_id"],
    }
    names = ("dataset_name", "dataset_digest")
    point |= {name: row[name] for name in names if row[name] is not None}
    return "POST", f"{API}/runs/log-batch", {"run_id": row["run_id"], "metrics": [point]}


def _endpoint_tag(items: Sequence[_Item]) -> _Body:
    ((row, more),) = items
    named = {"endpoint_id": row["endpoint_id"], "key": row["key"], "value": row["value"] or ""}
    return "POST", f"{API3}/gateway/endpoints/set-tag", {**more, **named}


def _of_logged_model(kind: str) -> Callable[[Sequence[_Item]], _Body]:
    def request(items: Sequence[_Item]) -> _Body:
        model, one = items[0][0]["model_id"], kind.removesuffix("s")
        path = f"{API}/{quoted_path('logged-models', model)}/{kind}"
        found = _pairs(items, f"{one}_key", f"{one}_value")
        return "PATCH" if kind == "tags" else "POST", path, {"model_id": model, kind: found}

    return request


def _experiment_tag(items: Sequence[_Item]) -> _Body:
    ((row, more),) = items
    named = {"experiment_id": str(row["experiment_id"]), "key": row["key"]}
    body = {**more, **named, "value": row["value"] or ""}
    return "POST", f"{API}/experiments/set-experiment-tag", body


def _of_model(what: str) -> Callable[[Sequence[_Item]], _Body]:
    def request(items: Sequence[_Item]) -> _Body:
        ((row, more),) = items
        kind = "model-versions" if what == "version_tag" else "registered-models"
        body: Json = {**more, "name": row["name"]}
        if what == "alias":
            body |= {"alias": row["alias"]}
        else:
            body |= {"key": row["key"], "value": row["value"] or ""}
        body |= {"version": str(row["version"])} if "version" in row else {}
        return "POST", f"{API}/{kind}/{'alias' if what == 'alias' else 'set-tag'}", body

    return request


_MODEL = ("workspace", "name")

ELEMENTS: Mapping[tuple[str, str], Element] = {
    ("runs", "data.params"): Element("params", ("key",), ("run_uuid",), _of_run("params"), 100),
    ("runs", "data.tags"): Element("tags", ("key",), ("run_uuid",), _of_run("tags"), 100),
    ("runs", "data.metrics"): Element(
        "latest_metrics", ("key",), ("run_uuid",), _of_run("metrics"), 1000
    ),
    ("logged_models", "data.params"): Element(
        "logged_model_params", ("param_key",), ("model_id",), _of_logged_model("params"), 100
    ),
    ("logged_models", "info.tags"): Element(
        "logged_model_tags", ("tag_key",), ("model_id",), _of_logged_model("tags"), 100
    ),
    ("logged_models", "data.metrics"): Element(
        "logged_model_metrics",
        ("metric_name", "metric_step", "metric_timestamp_ms", "run_id"),
        ("model_id",),
        _model_point,
        # One that is not a number is kept as 0.
        is_sure=lambda row: bool(row["metric_value"]),
    ),
    ("endpoints", "tags"): Element("endpoint_tags", ("key",), ("endpoint_id",), _endpoint_tag),
    ("experiments", "tags"): Element(
        "experiment_tags", ("key",), ("experiment_id",), _experiment_tag
    ),
    ("registered_models", "tags"): Element(
        "registered_model_tags", ("key",), _MODEL, _of_model("tag")
    ),
    ("registered_models", "aliases"): Element(
        "registered_model_aliases", ("alias",), _MODEL, _of_model("alias")
    ),
    ("model_versions", "tags"): Element(
        "model_version_tags", ("key",), (*_MODEL, "version"), _of_model("version_tag")
    ),
}
"""By table and list: what can be set once more with fields along."""

POINTS = Element("metrics", ("key",), ("run_uuid",), _of_run("metrics"), 1000)
"""Points of metrics, which are rows by themselves."""
