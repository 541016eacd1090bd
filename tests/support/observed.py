"""Everything that MLflow's own client shows of a registry, as plain data to compare.

This is the judge of a transfer: none of our own code is used. Whatever says *where* things are
(artifact URIs) is left out, as a move changes it; that files are there and load is tested with
predictions. Opening a database with MLflow may write to it, so observe a copy of what must stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.entities.entity_type import EntityAssociationType
from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils.workspace_context import WorkspaceContext

from .mlflow_session import mlflow_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow.entities import TraceInfo

Observation = dict[str, Any]
"""``kind/id`` → what MLflow shows of it; nothing but JSON in it, numbers that are floats as text
(``repr``), so that NaN equals NaN and the last bit counts."""

#: What names a place, in MLflow's entities and among a trace's tags.
_PLACES = frozenset({"artifact_uri", "artifact_location", "artifact_path", "storage_location",
                     "download_uri", "mlflow.artifactLocation", "mlflow.trace.archiveLocation",
                     "default_artifact_root"})  # fmt: skip

#: A secret stays behind unless asked for, and with it what says how it is masked.
_SECRETS = frozenset({"secret", "secret_id", "secret_name"})

#: Lists in whose order MLflow puts no meaning: it takes what the database gives first.
_UNORDERED = frozenset({"access_endpoints", "aliases", "assessments", "bindings", "dataset_inputs",
                        "events", "experiment_ids", "metrics", "model_inputs", "model_mappings",
                        "model_outputs", "records", "schema_ids", "spans", "tags",
                        "users"})  # fmt: skip


def observe(tracking_uri: str, workspace: str | None = None) -> Observation:
    """Everything in the registry (in one workspace of it, if one is named)."""
    with mlflow_at(tracking_uri, workspaces=workspace is not None):
        if workspace is None:
            return _Observer().everything()
        with WorkspaceContext(workspace):
            return _Observer().everything()


def observe_as_clients(tracking_uri: str) -> Observation:
    """The part of it that MLflow's clients can ask a server for, too."""
    with mlflow_at(tracking_uri):
        return _Observer().what_servers_show()


def differences(left: object, right: object, limit: int = 20) -> list[str]:
    """What differs, as lines to read: ``path: this != that``. Empty if all is the same."""
    found = _differences("", left, right)
    return [line for line, _ in zip(found, range(limit), strict=False)]


def _differences(path: str, left: object, right: object) -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            below = f"{path} > {key}" if path else str(key)
            if key not in right:
                yield f"{below}: only left: {_short(left[key])}"
            elif key not in left:
                yield f"{below}: only right: {_short(right[key])}"
            else:
                yield from _differences(below, left[key], right[key])
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from _differences(f"{path}[{number}]", one, other)
    elif type(left) is not type(right) or left != right:
        yield f"{path}: {_short(left)} != {_short(right)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}… ({len(text)} characters)"


def plain(value: object) -> Any:
    """Any value of MLflow's as JSON: entities by their properties, without places and secrets."""
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, bytes, date)):
        return repr(value)
    if isinstance(value, Mapping):
        return {str(k): _item(k, v) for k, v in value.items() if k not in _PLACES | _SECRETS}
    if isinstance(value, (list, tuple, set, frozenset)):
        made = [plain(item) for item in value]
        return sorted(made) if isinstance(value, (set, frozenset)) else made
    return plain(_properties(value))


def _item(key: object, value: object) -> Any:
    made = plain(value)
    return sorted(made, key=json.dumps) if isinstance(made, list) and key in _UNORDERED else made


def _properties(value: object) -> dict[str, object]:
    """Of an entity: MLflow's own iterate over them, others are data classes or plain objects."""
    if is_dataclass(value):
        return {entry.name: getattr(value, entry.name) for entry in fields(value)}
    if hasattr(value, "_properties"):
        return {name: getattr(value, name) for name in value._properties()}
    if hasattr(value, "model_dump"):
        return dict(value.model_dump())
    return {name.lstrip("_"): item for name, item in vars(value).items()}


@dataclass
class _Observer:
    """Asks the client and, for what the client does not offer, the store that it uses."""

    def __post_init__(self) -> None:
        self.client = MlflowClient()
        self.store = _get_store()
        self.seen: Observation = {}

    def everything(self) -> Observation:
        """All kinds of things, one after the other."""
        experiments = self._experiments()
        self._runs(experiments)
        self._registry()
        self._prompts()
        self._logged_models(experiments)
        self._traces(experiments)
        self._datasets()
        for experiment in experiments:
            # MLflow does not show these of a deleted experiment.
            if self.seen[f"experiment/{experiment}"]["lifecycle_stage"] == "active":
                self._scorers(experiment)
                self._review(experiment)
        self._gateway()
        self._mcp_servers()
        self._skills()
        self._note("webhook", self.client.list_webhooks(), "webhook_id")
        self._note("issue", self.store.search_issues(include_trace_count=True), "issue_id")
        return self.seen

    def what_servers_show(self) -> Observation:
        """What no store but a database's is needed for."""
        experiments = self._experiments()
        self._runs(experiments)
        self._registry()
        self._prompts()
        self._logged_models(experiments)
        for info in _all(lambda token: _traces_page(self.store, experiments, token)):
            self.seen[f"trace/{info.trace_id}"] = self._trace(info)
        return self.seen

    def _note(self, kind: str, entities: Iterable[object], *key: str) -> list[Any]:
        listed = list(entities)
        for entity in listed:
            identity = "/".join(str(getattr(entity, name)) for name in key)
            self.seen[f"{kind}/{identity}"] = plain(entity)
        return listed

    def _experiments(self) -> list[str]:
        found = _all(lambda token: self.client.search_experiments(ViewType.ALL, page_token=token))
        self._note("experiment", found, "experiment_id")
        return [entry.experiment_id for entry in found]

    def _runs(self, experiments: list[str]) -> None:
        found = _all(
            lambda token: self.client.search_runs(
                experiments, run_view_type=ViewType.ALL, max_results=1000, page_token=token
            )
        )
        for run in found:
            seen = plain(run)
            seen["data"]["metrics"] = plain(run.data.metrics)
            seen["history"] = {
                key: _points(self.client.get_metric_history(run.info.run_id, key))
                for key in run.data.metrics
            }
            self.seen[f"run/{run.info.run_id}"] = seen

    def _registry(self) -> None:
        models = _all(lambda token: self.client.search_registered_models(page_token=token))
        for model in self._note("registered model", models, "name"):
            # Whole versions follow; here they are a subset in an order that nobody promises.
            self.seen[f"registered model/{model.name}"]["latest_versions"] = sorted(
                f"{v.current_stage}: {v.version}" for v in model.latest_versions
            )
        versions = _all(lambda token: self.client.search_model_versions("", page_token=token))
        self._note("model version", versions, "name", "version")
        for version in versions:
            seen = self.seen[f"model version/{version.name}/{version.version}"]
            # Those that name an id and no place must be kept.
            if not version.source.startswith(("runs:/", "models:/")):
                del seen["source"]

    def _prompts(self) -> None:
        for prompt in self._note("prompt", self.client.search_prompts(), "name"):
            versions = self.client.search_prompt_versions(prompt.name)
            self._note("prompt version", versions, "name", "version")

    def _logged_models(self, experiments: list[str]) -> None:
        found = _all(lambda token: self.client.search_logged_models(experiments, page_token=token))
        # Deleted ones are found only by who knows their id: the run that made them does.
        made = {
            output["model_id"]
            for key, seen in self.seen.items()
            if key.startswith("run/")
            for output in (seen["outputs"] or {}).get("model_outputs", [])
        }
        deleted = [self.store.get_logged_model(model, allow_deleted=True) for model in made]
        self._note("logged model", [*deleted, *found], "model_id")

    def _traces(self, experiments: list[str]) -> None:
        infos = _all(lambda token: _traces_page(self.store, experiments, token))
        for info in infos:
            seen = self._trace(info)
            seen["linked"] = self._linked(info.trace_id)
            self.seen[f"trace/{info.trace_id}"] = seen

    def _trace(self, info: TraceInfo) -> dict[str, Any]:
        seen: dict[str, Any] = plain(info.to_dict())
        try:
            trace = mlflow.get_trace(info.trace_id)
        except MlflowException:
            trace = None
        spans = trace.data.to_dict()["spans"] if trace else []
        seen.update(plain({"spans": spans}))
        return seen

    def _linked(self, trace_id: str) -> dict[str, list[str]]:
        kinds = (EntityAssociationType.RUN, EntityAssociationType.PROMPT_VERSION)
        return {
            str(kind): sorted(
                self.store.search_entities_by_source(
                    trace_id, EntityAssociationType.TRACE, kind, max_results=100
                )
            )
            for kind in kinds
        }

    def _datasets(self) -> None:
        for dataset in self.store.search_datasets():
            seen = plain(self.store.get_dataset(dataset.dataset_id).to_dict())
            records = self.store._load_dataset_records(dataset.dataset_id, max_results=1000)[0]
            seen.update(plain({"records": [entry.to_dict() for entry in records]}))
            seen["experiments"] = sorted(self.store.get_dataset_experiment_ids(dataset.dataset_id))
            self.seen[f"evaluation dataset/{dataset.dataset_id}"] = seen

    def _scorers(self, experiment: str) -> None:
        for scorer in self.store.list_scorers(experiment):
            versions = self.store.list_scorer_versions(experiment, scorer.scorer_name)
            self._note("scorer", versions, "scorer_id", "scorer_version")
            configs = self.store.get_online_scoring_configs([scorer.scorer_id])
            self._note("online scoring", configs, "online_scoring_config_id")

    def _review(self, experiment: str) -> None:
        # Listing adds MLflow's own schema to an experiment that has none of that kind.
        schemas = [s for s in self.store.list_label_schemas(experiment) if not s.is_default]
        self._note("label schema", schemas, "schema_id")
        for queue in self._note("review queue", self.store.list_review_queues(experiment),
                                "queue_id"):  # fmt: skip
            items = self.store.list_review_queue_items(queue.queue_id)
            self.seen[f"review queue/{queue.queue_id}"]["items"] = plain(list(items))

    def _gateway(self) -> None:
        for endpoint in self._note("endpoint", self.store.list_gateway_endpoints(),
                                   "endpoint_id"):  # fmt: skip
            seen = self.seen[f"endpoint/{endpoint.endpoint_id}"]
            ask = endpoint.endpoint_id
            seen["bindings"] = plain(self.store.list_endpoint_bindings(ask))
            seen["guardrails"] = plain(self.store.list_endpoint_guardrail_configs(ask))
        self._note("budget", self.store.list_budget_policies(), "budget_policy_id")
        self._note("guardrail", self.store.list_gateway_guardrails(), "guardrail_id")
        models = self.store.list_gateway_model_definitions()
        self._note("model definition", models, "model_definition_id")

    def _mcp_servers(self) -> None:
        for server in self._note("mcp server", self.store.search_mcp_servers(), "name"):
            versions = self.store.search_mcp_server_versions(server.name)
            self._note("mcp server version", versions, "name", "version")
            endpoints = self.store.search_mcp_access_endpoints(server.name)
            self._note("mcp access endpoint", endpoints, "id")

    def _skills(self) -> None:
        if not hasattr(self.store, "search_skills"):
            return
        for skill in self._note("skill", self.store.search_skills(), "organization", "name"):
            versions = self.store.search_skill_versions(skill.name, skill.organization)
            self._note("skill version", versions, "organization", "name", "version")


def _points(history: Iterable[Any]) -> list[str]:
    """A metric's history, whatever order the database gives it in."""
    return sorted(f"{m.step} {m.timestamp} {m.value!r} {m.model_id}" for m in history)


def _traces_page(store: Any, experiments: list[str], token: str | None) -> Any:
    infos, following = store.search_traces(experiments, max_results=500, page_token=token)
    return PagedList(infos, following)


def _all(page: Callable[[str | None], Any]) -> list[Any]:
    """All pages of a search."""
    found: list[Any] = []
    token: str | None = None
    while True:
        listed = page(token)
        found.extend(listed)
        token = listed.token
        if not token:
            return found
