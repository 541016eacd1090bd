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
from mlporter.execute.server.shared.objects import (
    make_one,
    new_objects,
    rows_below,
    source_rows,
    try_one,
)
from mlporter.stores.protocols import Among
from mlporter.stores.rows.json_strings import with_endpoints
from mlporter.stores.server.writing.evaluation import Evaluating

if TYPE_CHECKING:
    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.execute.server.shared.objects import Row

__all__ = ["write_datasets", "write_issues", "write_reviews", "write_scorers"]

_RECORDS = 200
_WRAPPED = "mlflow_wrapped"


def _api(context: ServerContext, row: Row) -> Evaluating:
    return Evaluating(context.writer_in(row["experiment_id"])[0])


def write_issues(context: ServerContext) -> None:
    """Issues come before traces, whose assessments name them."""
    if not context.is_offered("issues", "issues"):
        return
    for row, mapped in new_objects(context, "issues", "issue_id", "name"):
        body = {
            **context.along.named("issues", row["issue_id"]),
            "experiment_id": str(mapped["experiment_id"]),
            "root_causes": json.loads(row["root_causes"] or "null") or [],
            "categories": json.loads(row["categories"] or "null") or [],
        }
        if row.get("metadata"):  # since MLflow 3.18, like when it was seen and who updated it
            body["metadata"] = json.loads(row["metadata"])
        names = ("name", "description", "status", "severity", "source_run_id", "created_by")
        seen = ("last_seen_timestamp",)
        body |= {n: mapped[n] for n in (*names, *seen) if mapped.get(n) is not None}
        api = _api(context, row)
        updated_by = row.get("last_updated_by")
        by_another = updated_by if updated_by != row["created_by"] else None
        make = partial(api.issue, body, by_another)
        make_one(context, "issues", row["issue_id"], make, row["name"])


# --- Evaluation datasets --------------------------------------------------------------------------


def write_datasets(context: ServerContext) -> None:
    """Evaluation datasets with their records, tied to the experiments that are copied."""
    if not context.is_offered("evaluation datasets", "evaluation_datasets"):
        return
    ties = defaultdict(list)
    if "entity_associations" in context.tables:
        among = Among("source_type", ("evaluation_dataset",))
        for batch in context.source.read("entity_associations", None, among):
            for row in batch.to_pylist():
                if row["destination_type"] == "experiment":
                    ties[row["source_id"]].append(int(row["destination_id"]))
    for row, _ in new_objects(context, "evaluation_datasets", "dataset_id", "name"):
        id_ = row["dataset_id"]
        experiments = [
            context.ids.experiments[n] for n in ties[id_] if n in context.ids.experiments
        ]
        tags = {
            tag["key"]: tag["value"]
            for tag in rows_below(context, "evaluation_dataset_tags", "dataset_id", id_)
        }
        api = Evaluating(context.writer_of(context.ids.workspace(row["workspace"] or "default")))
        marked = {source_tags.DATASET: id_, **tags}  # a copy of a copy is one of the first
        make = partial(api.dataset, row["name"], experiments, marked)
        if make_one(context, "evaluation_datasets", id_, make, row["name"]):
            context.wrote("evaluation_dataset_tags", len(tags))
            context.wrote("entity_associations", len(experiments))
    _records(context)


def _records(context: ServerContext) -> None:
    waiting: dict[str, list[Row]] = defaultdict(list)
    workspaces = {
        row["dataset_id"]: context.ids.workspace(row["workspace"] or "default")
        for row in source_rows(context, "evaluation_datasets")
    }

    def send(dataset: str) -> None:
        rows = waiting.pop(dataset)
        api = Evaluating(context.writer_of(workspaces[dataset]))
        told = [_record(row) for row in rows]
        write = partial(api.records, context.ids.of("evaluation_datasets")[dataset], told)
        try_one(context, "evaluation_dataset_records", dataset, write, rows=len(rows))

    known = context.ids.of("evaluation_datasets")
    for missing in context.missing("evaluation_dataset_records"):
        mapped = context.mapped("evaluation_dataset_records", missing.rows).to_pylist()
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


def write_scorers(context: ServerContext) -> None:
    """Scorers with all versions, by their numbers, and what they run on."""
    if not context.is_offered("scorers", "scorers"):
        return
    names = {
        scorer["scorer_id"]: scorer
        for scorer in source_rows(context, "scorers")
        if scorer["experiment_id"] in context.ids.experiments
    }
    there = _last_versions(context)
    endpoints = {row["endpoint_id"]: row["name"] or "" for row in source_rows(context, "endpoints")}
    context.tallies["scorers"].there += sum(id_ in there for id_ in names)
    for missing in context.missing("scorer_versions"):
        for row in missing.rows.to_pylist():
            if row["scorer_id"] in names:
                text = with_endpoints(row["serialized_scorer"], endpoints)
                row |= {"serialized_scorer": text}
                _version(context, names[row["scorer_id"]], row, there, changed=missing.changed)
    for missing in context.missing("online_scoring_configs"):
        for row in missing.rows.to_pylist():
            if row["scorer_id"] in names:
                _online(context, names[row["scorer_id"]], row)


def _last_versions(context: ServerContext) -> dict[str, int]:
    """The greatest number that the server has of each scorer."""
    there: dict[str, int] = defaultdict(int)
    if context.back.of("scorers"):
        for batch in context.there.read("scorer_versions", ("scorer_id", "scorer_version")):
            for row in batch.to_pylist():
                there[row["scorer_id"]] = max(there[row["scorer_id"]], row["scorer_version"])
    return there


def _version(
    context: ServerContext, scorer: Row, row: Row, there: dict[str, int], *, changed: bool
) -> None:
    """Make a version with its number: a server gives out the one after the greatest."""
    api, id_, number = _api(context, scorer), scorer["scorer_id"], row["scorer_version"]
    home, name = context.ids.experiments[scorer["experiment_id"]], scorer["scorer_name"]
    if changed or number <= there[id_]:
        context.leave(
            "scorers", name, str(number), "conflict", "the server has a different version"
        )
        context.skip("scorer_versions")
        return
    new = id_ not in context.ids.of("scorers")

    def write() -> None:
        before = range(there[id_] + 1, number)
        for one in (*before, number):
            made = api.scorer(home, name, row["serialized_scorer"])
            context.ids.change("scorers", {id_: made})
            there[id_] = one
        for one in before:
            api.delete_scorer(home, name, one)

    try_one(context, "scorer_versions", name, write, str(number))
    if new and id_ in context.ids.of("scorers"):
        context.wrote("scorers")


def _online(context: ServerContext, scorer: Row, row: Row) -> None:
    home, name = context.ids.experiments[scorer["experiment_id"]], scorer["scorer_name"]
    api = _api(context, scorer)
    write = partial(api.online, home, name, row["sample_rate"], row["filter_string"])
    try_one(context, "online_scoring_configs", name, write)


# --- Questions and queues -------------------------------------------------------------------------


def write_reviews(context: ServerContext) -> None:
    """Label schemas, then the queues that name them, with users and items."""
    if context.is_offered("label schemas", "label_schemas"):
        _label_schemas(context)
    if context.is_offered("review queues", "review_queues"):
        _queues(context)
        _items(context)


def _label_schemas(context: ServerContext) -> None:
    for row, mapped in new_objects(context, "label_schemas", "schema_id", "name"):
        body = {
            "experiment_id": str(mapped["experiment_id"]),
            "name": row["name"],
            "type": row["type"].upper(),
            "input": {row["input_type"]: json.loads(row["input_config"] or "{}")},
            "enable_comment": bool(row["enable_comment"]),
        }
        body |= {"instruction": row["instruction"]} if row["instruction"] is not None else {}
        api = _api(context, row)
        found = api.schema_named(mapped["experiment_id"], row["name"])
        if found is not None:
            context.ids.change("label_schemas", {row["schema_id"]: found})
            context.tallies["label_schemas"].there += 1
            continue
        make = partial(api.label_schema, body)
        make_one(context, "label_schemas", row["schema_id"], make, row["name"])


def _queues(context: ServerContext) -> None:
    for row, mapped in new_objects(context, "review_queues", "queue_id", "name"):
        id_ = row["queue_id"]
        users = [r["user_id"] for r in rows_below(context, "review_queue_users", "queue_id", id_)]
        schemas = rows_below(context, "review_queue_label_schemas", "queue_id", id_)
        body = {
            "experiment_id": str(mapped["experiment_id"]),
            "name": row["name"],
            "queue_type": row["queue_type"].upper(),
            "users": users,
            "schema_ids": [schema["schema_id"] for schema in schemas],
        }
        api = _api(context, row)
        make = partial(api.queue, body)
        if make_one(context, "review_queues", id_, make, row["name"]):
            context.wrote("review_queue_users", len(users))
            context.wrote("review_queue_label_schemas", len(schemas))


def _items(context: ServerContext) -> None:
    experiments = {r["queue_id"]: r["experiment_id"] for r in source_rows(context, "review_queues")}
    known = context.ids.of("review_queues")
    for missing in context.missing("review_queue_items"):
        owners = missing.rows.column("queue_id").to_pylist()
        mapped = context.mapped("review_queue_items", missing.rows).to_pylist()
        for owner, row in zip(owners, mapped, strict=True):
            if owner not in known:
                continue
            api = _api(context, {"experiment_id": experiments[owner]})
            write = partial(api.item, known[owner], row, new=not missing.changed)
            try_one(context, "review_queue_items", owner, write, row["item_id"])
