"""What is asked of a server, one function for each kind of thing: pages in, rows out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.stores.rest.answers import ApiError, MissingEndpointError
from mlporter.stores.rest.client import Json, quoted_path
from mlporter.stores.server.reading.rows import (
    evaluation,
    gateway,
    mcp,
    merged,
    models,
    new_rows,
    skills,
    traces,
    tracking,
)
from mlporter.stores.server.reading.unknown_fields import keep_unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlporter.stores.rest.client import Client
    from mlporter.stores.server.reading.rows import Rows

API = "/api/2.0/mlflow"
API3 = "/api/3.0/mlflow"
SKILLS = f"{API3}/skills"

DEFAULT = "default"
"""The workspace of a server that has none."""

_PAGE = 1000
_RUNS = 200
"""Runs a page: with all their parameters and last metrics they are large."""
_TRACES = 200
_PROMPTS = "tags.`mlflow.prompt.is_prompt` = 'true'"


def workspace_of(client: Client) -> str:
    """The workspace that rows of a client belong to."""
    return client.workspace or DEFAULT


# --- Tracking -------------------------------------------------------------------------------------


def experiments(client: Client) -> Iterator[Rows]:
    """All experiments, deleted ones too."""
    body = {"max_results": _PAGE, "view_type": "ALL"}
    for page in client.pages(f"{API}/experiments/search", body, "experiments"):
        yield merged(tracking.experiment(found, workspace_of(client)) for found in page)


def runs(client: Client, experiments: Sequence[int]) -> Iterator[Rows]:
    """All runs of some experiments, oldest first, so that new ones do not move the pages."""
    body = {
        "experiment_ids": [str(id_) for id_ in experiments],
        "run_view_type": "ALL",
        "max_results": _RUNS,
        "order_by": ["attributes.start_time ASC"],
    }
    seen: set[str] = set()
    for page in client.pages(f"{API}/runs/search", body, "runs"):
        new = [found for found in page if _id(found) not in seen]
        seen.update(_id(found) for found in new)
        yield merged(tracking.run(found) for found in new)


def _id(run: Json) -> str:
    return str(run["info"].get("run_id") or run["info"]["run_uuid"])


def run(client: Client, id_: str) -> Iterator[Rows]:
    """One run."""
    yield tracking.run(client.part(f"{API}/runs/get", "run", {"run_id": id_}))


def model_inputs(client: Client, id_: str, *, outputs: bool) -> Rows:
    """The logged models that a run used, and those that it made if `outputs` are asked for."""
    found = client.get(f"{API}/runs/get", {"run_id": id_})["run"]
    return tracking.model_inputs(found, outputs=outputs)


# --- Models ---------------------------------------------------------------------------------------


def logged_models(client: Client, experiments: Sequence[int]) -> Iterator[Rows]:
    """The logged models of some experiments; deleted ones are not shown."""
    body = {"experiment_ids": [str(id_) for id_ in experiments], "max_results": 50}
    for page in client.pages(f"{API}/logged-models/search", body, "models"):
        yield merged(models.logged_model(found) for found in page)


def has_logged_models(client: Client, experiments: Sequence[int]) -> bool:
    """Whether there is any logged model in some experiments."""
    body = {"experiment_ids": [str(id_) for id_ in experiments], "max_results": 1}
    return bool(client.post(f"{API}/logged-models/search", body).get("models"))


def logged_model(client: Client, id_: str) -> Iterator[Rows]:
    """One logged model."""
    yield models.logged_model(client.part(f"{API}/{quoted_path('logged-models', id_)}", "model"))


def registered_models(client: Client) -> Iterator[Rows]:
    """All registered models and prompts; MLflow keeps prompts back unless they are asked for."""
    path = f"{API}/registered-models/search"
    seen: set[str] = set()
    for filter_ in ("", _PROMPTS):
        query = {"max_results": _PAGE} | ({"filter": filter_} if filter_ else {})
        for page in client.pages(path, query, "registered_models", method="GET"):
            new = [found for found in page if found["name"] not in seen]
            seen.update(found["name"] for found in new)
            yield merged(models.registered_model(found, workspace_of(client)) for found in new)


def model_versions(client: Client) -> Iterator[list[Json]]:
    """All versions of models and prompts, as the API gives them; deleted ones are not shown."""
    path = f"{API}/model-versions/search"
    seen: set[tuple[str, str]] = set()
    for filter_ in ("", _PROMPTS):
        query = {"max_results": _PAGE} | ({"filter": filter_} if filter_ else {})
        for page in client.pages(path, query, "model_versions", method="GET"):
            new = [found for found in page if (found["name"], found["version"]) not in seen]
            seen.update((found["name"], found["version"]) for found in new)
            yield new


def model_version(client: Client, found: Json) -> Iterator[Rows]:
    """A version; where its files are is asked for only where `source` is no place itself."""
    location = found.get("source")
    if str(location).startswith("models:"):
        named = {"name": found["name"], "version": found["version"]}
        try:
            answer = client.get(f"{API}/model-versions/get-download-uri", named)
            location = answer.get("artifact_uri")
        except ApiError:
            location = None
    yield models.model_version(found, workspace_of(client), location)


def webhooks(client: Client) -> Iterator[Rows]:
    """All webhooks, without their secrets."""
    query = {"max_results": _PAGE}
    for page in client.pages(f"{API}/webhooks", query, "webhooks", method="GET"):
        yield merged(models.webhook(found, workspace_of(client)) for found in page)


# --- Traces ---------------------------------------------------------------------------------------


def found_traces(client: Client, experiment: int) -> Iterator[list[Json]]:
    """The traces of an experiment, oldest first, as MLflow 3 gives them."""
    body = {"max_results": _TRACES, "order_by": ["timestamp_ms ASC"]}
    yield from client.pages(f"{API3}/traces/search", body | _within(experiment), "traces")


def traces_of_run(client: Client, experiment: int, run: str) -> Iterator[list[Json]]:
    """The traces of an experiment that a run made, or that were linked to it."""
    body = {"max_results": _TRACES, "filter": f"attributes.run_id = '{run}'"}
    yield from client.pages(f"{API3}/traces/search", body | _within(experiment), "traces")


def _within(experiment: int) -> Json:
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": str(experiment)}}
    return {"locations": [place]}


def old_traces(client: Client, experiment: int) -> Iterator[Rows]:
    """The traces of an experiment, as MLflow 2 gives them."""
    query = {
        "experiment_ids": [str(experiment)],
        "max_results": _TRACES,
        "order_by": ["timestamp_ms ASC"],
    }
    for page in client.pages(f"{API}/traces", query, "traces", method="GET"):
        yield merged(traces.old_trace(found) for found in page)


def trace(client: Client, id_: str) -> Json:
    """One trace."""
    answer = client.part(f"{API3}/{quoted_path('traces', id_)}", "trace")
    found: Json = answer["trace_info"]
    return found


def issues(client: Client, experiment: int) -> Iterator[Rows]:
    """The issues of an experiment."""
    body = {"experiment_id": str(experiment), "max_results": 100}
    for page in client.pages(f"{API3}/issues/search", body, "issues"):
        yield merged(traces.issue(found) for found in page)


# --- Evaluation -----------------------------------------------------------------------------------


def datasets(client: Client) -> Iterator[list[Json]]:
    """All evaluation datasets, as the API gives them."""
    body = {"max_results": 50}
    yield from client.pages(f"{API3}/datasets/search", body, "datasets")


def dataset(client: Client, found: Json) -> Iterator[Rows]:
    """An evaluation dataset with its records."""
    path = f"{API3}/{quoted_path('datasets', found['dataset_id'])}"
    tied = client.part(f"{path}/experiment-ids", "experiment_ids") or ()
    yield evaluation.dataset(found, workspace_of(client), tied)
    query: dict[str, object] = {"max_results": _PAGE}
    while True:
        answer = client.get(f"{path}/records", query)
        yield evaluation.records(answer.get("records", ""))
        if not answer.get("next_page_token"):
            return
        query["page_token"] = answer["next_page_token"]


def scorers(client: Client, experiment: int, endpoints: Mapping[str, str]) -> Iterator[Rows]:
    """The scorers of an experiment with all versions, and what they run on."""
    id_ = str(experiment)
    listed = client.part(f"{API3}/scorers/list", "scorers", {"experiment_id": id_})
    for found in listed or ():
        query = {"experiment_id": id_, "name": found["scorer_name"]}
        versions = client.part(f"{API3}/scorers/versions", "scorers", query) or ()
        rows = evaluation.scorer(versions, endpoints)
        for config in _online(client, found["scorer_id"]):
            rows = merged((rows, evaluation.online_config(config)))
        yield rows


def _online(client: Client, scorer: str) -> Sequence[Json]:
    asked = {"scorer_ids": [scorer]}
    try:
        return client.part(f"{API3}/scorers/online-configs", "configs", asked) or ()
    except MissingEndpointError:
        return ()


def review(client: Client, experiment: int, *, listable: bool) -> Iterator[Rows]:
    """Review queues of an experiment with their items, and label schemas.

    Listing label schemas makes MLflow write a default one into the experiment if there is none,
    and a source is never changed: then only those are read that queues name.
    """
    id_ = str(experiment)
    named: set[str] = set()
    query = {"experiment_id": id_, "max_results": 100}
    for page in client.pages(f"{API3}/review-queues/list", query, "review_queues", method="GET"):
        for queue in page:
            named.update(queue.get("schema_ids", ()))
            yield evaluation.review_queue(queue, list(_items(client, queue["queue_id"])))
    if listable:
        path = f"{API3}/label-schemas/list"
        for page in client.pages(path, query, "label_schemas", method="GET"):
            yield merged(evaluation.label_schema(found) for found in page)
        return
    for schema in sorted(named):
        try:
            answer = client.get(f"{API3}/label-schemas/get", {"schema_id": schema})
        except ApiError:  # a queue may name one that was deleted
            continue
        yield evaluation.label_schema(answer["label_schema"])


def _items(client: Client, queue: str) -> Iterator[Json]:
    query = {"queue_id": queue, "max_results": 100}
    path = f"{API3}/review-queues/items/list"
    for page in client.pages(path, query, "items", method="GET"):
        yield from page


def has_default_schema(client: Client, experiment: int) -> bool:
    """Whether an experiment has the default label schema that listing would make."""
    query = {"experiment_id": str(experiment), "name": "Feedback"}
    try:
        found = client.get(f"{API3}/label-schemas/get-by-name", query).get("label_schema", {})
    except MissingEndpointError:
        raise
    except ApiError:
        return False
    return bool(found.get("is_default"))


# --- Gateway and MCP ------------------------------------------------------------------------------


def endpoints(client: Client) -> Iterator[list[Json]]:
    """The gateway's endpoints, as the API gives them."""
    yield list(client.part(f"{API3}/gateway/endpoints/list", "endpoints") or ())


def gateway_rest(client: Client) -> Iterator[Rows]:
    """What there is of a gateway beside endpoints and guardrails."""
    workspace = workspace_of(client)
    path = f"{API3}/gateway/model-definitions/list"
    definitions = client.part(path, "model_definitions") or ()
    yield merged(gateway.model_definition(found, workspace) for found in definitions)
    bindings = client.part(f"{API3}/gateway/endpoints/bindings/list", "bindings") or ()
    yield merged(gateway.binding(found) for found in bindings)


def budgets(client: Client) -> Iterator[Rows]:
    """Limits on spending."""
    query = {"max_results": 100}
    path = f"{API3}/gateway/budgets/list"
    for page in client.pages(path, query, "budget_policies", method="GET"):
        yield merged(gateway.budget(found, workspace_of(client)) for found in page)


def guardrails(client: Client, endpoint_ids: Sequence[str]) -> Iterator[Rows]:
    """Guardrails, and the endpoints that they stand before."""
    workspace = workspace_of(client)
    path = f"{API3}/gateway/guardrails"
    query = {"max_results": 100}
    for page in client.pages(f"{path}/list", query, "guardrails", method="GET"):
        yield merged(gateway.guardrail(found, workspace) for found in page)
    for id_ in endpoint_ids:
        found = client.part(f"{path}/list-for-endpoint", "configs", {"endpoint_id": id_}) or ()
        yield merged(gateway.guardrail_config(config, workspace) for config in found)


def mcp_servers(client: Client) -> Iterator[Rows]:
    """The servers of the MCP registry."""
    path = f"{API3}/mcp-servers"
    query = {"max_results": 100}
    for page in client.pages(path, query, "mcp_servers", method="GET"):
        for found in page:
            of_it = f"{path}/{quoted_path(found['name'])}/versions"
            versions = client.pages(of_it, query, "mcp_server_versions", method="GET")
            flat = [version for part in versions for version in part]
            yield mcp.mcp_server(found, flat, workspace_of(client))


def skill_registry(client: Client) -> Iterator[Rows]:
    """The skills of the registry, with all versions."""
    query = {"max_results": 100}
    for page in client.pages(SKILLS, query, "skills", method="GET"):
        for found in page:
            path = f"{skill_path(found.get('organization', ''), found['name'])}/versions"
            versions = client.pages(path, query, "skill_versions", method="GET")
            flat = [version for part in versions for version in part]
            yield skills.skill(found, flat, workspace_of(client))


def skill_path(organization: str, name: str) -> str:
    """Where a skill is asked for: below its organization, if it has one."""
    return f"{SKILLS}/@{organization}/{name}" if organization else f"{SKILLS}/{name}"


def workspaces(client: Client) -> Iterator[Rows]:
    """All workspaces."""
    rows = new_rows()
    for found in client.part(f"{API3}/workspaces", "workspaces") or ():
        archive = found.get("trace_archival_config") or {}
        rows["workspaces"].append(
            {
                "name": found["name"],
                "description": found.get("description"),
                "default_artifact_root": found.get("default_artifact_root"),
                "trace_archival_location": archive.get("location"),
                "trace_archival_retention": archive.get("retention"),
            }
        )
        keep_unknown(rows, "workspaces", found)
    yield rows
