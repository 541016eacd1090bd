"""What newer MLflow keeps beside traces: issues, evaluation datasets, scorers, questions, queues.

A server gives all of these ids of its own. They are known again by what must be unique of them, or
by a tag; issues by their name and text.
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from mlporter.catalogue import source_tags
from mlporter.execute.server.objects import (
    make_one,
    new_objects,
    rows_below,
    source_rows,
    try_one,
)
from mlporter.stores.protocols import Among
from mlporter.stores.rows.gateway_endpoints import with_endpoints
from mlporter.stores.server.writing.evaluation import Evaluating

if TYPE_CHECKING:
    from mlporter.execute.server.context import Carry
    from mlporter.execute.server.objects import Row

__all__ = ["write_datasets", "write_issues", "write_reviews", "write_scorers"]

_RECORDS = 200
_WRAPPED = "mlflow_wrapped"


def _api(carry: Carry, row: Row) -> Evaluating:
    return Evaluating(carry.writer_in(row["experiment_id"])[0])


def write_issues(carry: Carry) -> None:
    """Issues come before traces, whose assessments name them."""
    if not carry.is_offered("issues", "issues"):
        return
    for row, mapped in new_objects(carry, "issues", "issue_id", "name"):
        body = {
            "experiment_id": str(mapped["experiment_id"]),
            "root_causes": json.loads(row["root_causes"] or "null") or [],
            "categories": json.loads(row["categories"] or "null") or [],
        }
        names = ("name", "description", "status", "severity", "source_run_id", "created_by")
        body |= {name: mapped[name] for name in names if mapped[name] is not None}
        api = _api(carry, row)
        make_one(carry, "issues", row["issue_id"], partial(api.issue, body), row["name"])


# --- Evaluation datasets --------------------------------------------------------------------------


def write_datasets(carry: Carry) -> None:
    """Evaluation datasets with their records, tied to the experiments that are carried."""
    if not carry.is_offered("evaluation datasets", "evaluation_datasets"):
        return
    ties = defaultdict(list)
    if "entity_associations" in carry.tables:
        among = Among("source_type", ("evaluation_dataset",))
        for batch in carry.source.read("entity_associations", None, among):
            for row in batch.to_pylist():
                if row["destination_type"] == "experiment":
                    ties[row["source_id"]].append(int(row["destination_id"]))
    for row, _ in new_objects(carry, "evaluation_datasets", "dataset_id", "name"):
        id_ = row["dataset_id"]
        homes = [carry.ids.experiments[n] for n in ties[id_] if n in carry.ids.experiments]
        tags = {
            tag["key"]: tag["value"]
            for tag in rows_below(carry, "evaluation_dataset_tags", "dataset_id", id_)
        }
        api = Evaluating(carry.writer_of(carry.ids.workspace(row["workspace"] or "default")))
        marked = {source_tags.DATASET: id_, **tags}  # a copy of a copy is one of the first
        make = partial(api.dataset, row["name"], homes, marked)
        if make_one(carry, "evaluation_datasets", id_, make, row["name"]):
            carry.wrote("evaluation_dataset_tags", len(tags))
            carry.wrote("entity_associations", len(homes))
    _records(carry)


def _records(carry: Carry) -> None:
    waiting: dict[str, list[Row]] = defaultdict(list)
    homes = {
        row["dataset_id"]: carry.ids.workspace(row["workspace"] or "default")
        for row in source_rows(carry, "evaluation_datasets")
    }

    def send(dataset: str) -> None:
        rows = waiting.pop(dataset)
        api = Evaluating(carry.writer_of(homes[dataset]))
        told = [_record(row) for row in rows]
        write = partial(api.records, carry.ids.of("evaluation_datasets")[dataset], told)
        try_one(carry, "evaluation_dataset_records", dataset, write, rows=len(rows))

    known = carry.ids.of("evaluation_datasets")
    for missing in carry.missing("evaluation_dataset_records"):
        mapped = carry.mapped("evaluation_dataset_records", missing.rows).to_pylist()
        owners = missing.rows.column("dataset_id").to_pylist()
        for owner, row in zip(owners, mapped, strict=True):
            if owner in known:
                waiting[owner].append(row)
                if len(waiting[owner]) >= _RECORDS:
                    send(owner)
    for owner in list(waiting):
        send(owner)


def _record(row: Row) -> Row:
    told = {"inputs": json.loads(row["inputs"])}
    for name in ("expectations", "tags", "source"):
        value = json.loads(row[name] or "null")
        if value is not None:
            told[name] = value
    outputs = json.loads(row["outputs"] or "null")
    told["outputs"] = outputs.get(_WRAPPED) if isinstance(outputs, dict) else None
    return told


# --- Scorers --------------------------------------------------------------------------------------


def write_scorers(carry: Carry) -> None:
    """Scorers with all versions, by their numbers, and what they run on."""
    if not carry.is_offered("scorers", "scorers"):
        return
    names = {
        scorer["scorer_id"]: scorer
        for scorer in source_rows(carry, "scorers")
        if scorer["experiment_id"] in carry.ids.experiments
    }
    there = _last_versions(carry)
    endpoints = {row["endpoint_id"]: row["name"] or "" for row in source_rows(carry, "endpoints")}
    carry.tallies["scorers"].there += sum(id_ in there for id_ in names)
    for missing in carry.missing("scorer_versions"):
        for row in missing.rows.to_pylist():
            if row["scorer_id"] in names:
                text = with_endpoints(row["serialized_scorer"], endpoints)
                row |= {"serialized_scorer": text}
                _version(carry, names[row["scorer_id"]], row, there, changed=missing.changed)
    for missing in carry.missing("online_scoring_configs"):
        for row in missing.rows.to_pylist():
            if row["scorer_id"] in names:
                _online(carry, names[row["scorer_id"]], row)


def _last_versions(carry: Carry) -> dict[str, int]:
    """The greatest number that the server has of each scorer."""
    there: dict[str, int] = defaultdict(int)
    if carry.back.of("scorers"):
        for batch in carry.there.read("scorer_versions", ("scorer_id", "scorer_version")):
            for row in batch.to_pylist():
                there[row["scorer_id"]] = max(there[row["scorer_id"]], row["scorer_version"])
    return there


def _version(carry: Carry, scorer: Row, row: Row, there: dict[str, int], *, changed: bool) -> None:
    """Make a version with its number: a server gives out the one after the greatest."""
    api, id_, number = _api(carry, scorer), scorer["scorer_id"], row["scorer_version"]
    home, name = carry.ids.experiments[scorer["experiment_id"]], scorer["scorer_name"]
    if changed or number <= there[id_]:
        carry.leave("scorers", name, str(number), "conflict", "the server has another version")
        carry.skip("scorer_versions")
        return
    new = id_ not in carry.ids.of("scorers")

    def write() -> None:
        before = range(there[id_] + 1, number)
        for one in (*before, number):
            made = api.scorer(home, name, row["serialized_scorer"])
            carry.ids.change("scorers", {id_: made})
            there[id_] = one
        for one in before:
            api.delete_scorer(home, name, one)

    try_one(carry, "scorer_versions", name, write, str(number))
    if new and id_ in carry.ids.of("scorers"):
        carry.wrote("scorers")


def _online(carry: Carry, scorer: Row, row: Row) -> None:
    home, name = carry.ids.experiments[scorer["experiment_id"]], scorer["scorer_name"]
    api = _api(carry, scorer)
    write = partial(api.online, home, name, row["sample_rate"], row["filter_string"])
    try_one(carry, "online_scoring_configs", name, write)


# --- Questions and queues -------------------------------------------------------------------------


def write_reviews(carry: Carry) -> None:
    """Label schemas, then the queues that name them, with users and items."""
    if carry.is_offered("label schemas", "label_schemas"):
        _label_schemas(carry)
    if carry.is_offered("review queues", "review_queues"):
        _queues(carry)
        _items(carry)


def _label_schemas(carry: Carry) -> None:
    for row, mapped in new_objects(carry, "label_schemas", "schema_id", "name"):
        body = {
            "experiment_id": str(mapped["experiment_id"]),
            "name": row["name"],
            "type": row["type"].upper(),
            "input": {row["input_type"]: json.loads(row["input_config"] or "{}")},
            "enable_comment": bool(row["enable_comment"]),
        }
        body |= {"instruction": row["instruction"]} if row["instruction"] is not None else {}
        api = _api(carry, row)
        found = api.schema_named(mapped["experiment_id"], row["name"])
        if found is not None:
            carry.ids.change("label_schemas", {row["schema_id"]: found})
            carry.tallies["label_schemas"].there += 1
            continue
        make = partial(api.label_schema, body)
        make_one(carry, "label_schemas", row["schema_id"], make, row["name"])


def _queues(carry: Carry) -> None:
    for row, mapped in new_objects(carry, "review_queues", "queue_id", "name"):
        id_ = row["queue_id"]
        users = [r["user_id"] for r in rows_below(carry, "review_queue_users", "queue_id", id_)]
        schemas = rows_below(carry, "review_queue_label_schemas", "queue_id", id_)
        body = {
            "experiment_id": str(mapped["experiment_id"]),
            "name": row["name"],
            "queue_type": row["queue_type"].upper(),
            "users": users,
            "schema_ids": [schema["schema_id"] for schema in schemas],
        }
        api = _api(carry, row)
        make = partial(api.queue, body)
        if make_one(carry, "review_queues", id_, make, row["name"]):
            carry.wrote("review_queue_users", len(users))
            carry.wrote("review_queue_label_schemas", len(schemas))


def _items(carry: Carry) -> None:
    homes = {r["queue_id"]: r["experiment_id"] for r in source_rows(carry, "review_queues")}
    known = carry.ids.of("review_queues")
    for missing in carry.missing("review_queue_items"):
        owners = missing.rows.column("queue_id").to_pylist()
        mapped = carry.mapped("review_queue_items", missing.rows).to_pylist()
        for owner, row in zip(owners, mapped, strict=True):
            if owner not in known:
                continue
            api = _api(carry, {"experiment_id": homes[owner]})
            write = partial(api.item, known[owner], row, new=not missing.changed)
            try_one(carry, "review_queue_items", owner, write, row["item_id"])
