"""What newer MLflow keeps beside runs and models: prompts, evaluation, review, gateway, MCP, …

Few of these have a public client call, so most go through MLflow's own store.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import DatasetRecordSource, DatasetRecordSourceType
from mlflow.entities.gateway_budget_policy import (
    BudgetAction,
    BudgetDuration,
    BudgetDurationUnit,
    BudgetTargetScope,
    BudgetUnit,
)
from mlflow.entities.gateway_endpoint import (
    GatewayEndpointModelConfig,
    GatewayEndpointTag,
    GatewayModelLinkageType,
)
from mlflow.entities.gateway_guardrail import GuardrailAction, GuardrailStage
from mlflow.entities.issue import IssueSeverity, IssueStatus
from mlflow.entities.mcp_server import MCPStatus, MCPTool
from mlflow.entities.mcp_server_version import ConnectOptionSettings
from mlflow.entities.webhook import WebhookStatus
from mlflow.genai.judges import make_judge
from mlflow.genai.label_schemas import InputCategorical, InputPassFail, InputText
from mlflow.store.jobs.sqlalchemy_store import SqlAlchemyJobStore
from mlflow.store.tracking.dbmodels import models as tables
from mlflow.tracking._tracking_service.utils import _get_store

from .mlflow_session import environment
from .rich_runs import AWKWARD_TEXT, LONG_AGO, add_rows
from .rich_skills import HAS_SKILLS

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from .rich_traces import RichTraces

PROMPT_NAME = "rich_prompt"
CHAT_PROMPT_NAME = "chat-prompt"
PROMPT_TEXT = "Answer {{question}} about 🏠.\n\n" + AWKWARD_TEXT
SCORER_NAME = "helpful-judge"
WEBHOOK_SECRET = "webhook-s3cret"  # made up; must never show up anywhere
GATEWAY_SECRET = "sk-gateway-s3cret-0123456789"  # likewise


@dataclass(frozen=True)
class RichRest:
    """Ids and names of everything that is neither run, model nor trace."""

    prompt_name: str
    """Two text versions left of three (2 deleted), aliases, tags."""
    prompt_aliases: dict[str, int]
    chat_prompt_name: str
    """One version, chat messages and a response format."""
    dataset_id: str
    """Evaluation dataset with records, in two experiments."""
    dataset_record_count: int
    empty_dataset_id: str
    """Same name as the other: names need not be unique."""
    scorer_name: str
    """Versions 1, 2 and 3; the third uses the gateway endpoint."""
    webhook_ids: tuple[str, str]
    """With secret; without, disabled."""
    label_schema_ids: tuple[str, str, str]
    review_queue_ids: tuple[str, str]
    """Custom, with two items and two schemas; personal queue of a user."""
    issue_ids: tuple[str, str]
    gateway_secret_id: str
    gateway_endpoint_ids: tuple[str, str]
    mcp_server_name: str
    """Two versions, alias, tags, access endpoint."""
    job_id: str
    """Transient, as are the rows of the lock, lease, rollup and rollup queue tables."""


def build_rest(
    client: MlflowClient, database_uri: str, experiment: str, other: str, traces: RichTraces
) -> RichRest:
    """Make all of it in ``experiment``; a dataset is shared with ``other``."""
    mlflow.set_experiment(experiment_id=experiment)
    prompt_aliases = _prompts(client, traces)
    secret, endpoints = _gateway(experiment)
    _scorers(experiment)
    _gateway_policies(experiment, endpoints[0])
    dataset, count, empty = _evaluation_datasets(experiment, other, traces)
    schemas, queues = _review(experiment, traces)
    issues = _issues(experiment, traces)
    job = _transient_rows(database_uri, experiment)
    return RichRest(
        prompt_name=PROMPT_NAME,
        prompt_aliases=prompt_aliases,
        chat_prompt_name=CHAT_PROMPT_NAME,
        dataset_id=dataset,
        dataset_record_count=count,
        empty_dataset_id=empty,
        scorer_name=SCORER_NAME,
        webhook_ids=_webhooks(client),
        label_schema_ids=schemas,
        review_queue_ids=queues,
        issue_ids=issues,
        gateway_secret_id=secret,
        gateway_endpoint_ids=endpoints,
        mcp_server_name=_mcp_server(),
        job_id=job,
    )


def _prompts(client: MlflowClient, traces: RichTraces) -> dict[str, int]:
    """A prompt is a registered model with tags; its text is a tag of the version."""
    tags = {"empty": "", "awkward": AWKWARD_TEXT}
    for number in (1, 2, 3):
        prompt = client.register_prompt(
            PROMPT_NAME, f"{PROMPT_TEXT} v{number}", commit_message=f"№ {number}", tags=tags
        )
    client.delete_prompt_version(PROMPT_NAME, "2")
    client.set_prompt_tag(PROMPT_NAME, "owner", "zoë")
    aliases = {"production": 1, "staging": 3}
    for alias, version in aliases.items():
        client.set_prompt_alias(PROMPT_NAME, alias, version)
    chat = client.register_prompt(
        CHAT_PROMPT_NAME,
        [{"role": "system", "content": "Be {{tone}}"}, {"role": "user", "content": "{{q}} 🦆"}],
        response_format={"type": "object", "properties": {"a": {"type": "string"}}},
        model_config={"temperature": 0.0, "max_tokens": 5},
    )
    client.link_prompt_versions_to_trace([prompt, chat], traces.nested_id)
    client.link_prompt_version_to_run(traces.run_id, prompt)
    _wait_for_threads("link_prompt_to_experiment_thread")
    return aliases


def _wait_for_threads(prefix: str) -> None:
    """Registering a prompt notes the experiment in a thread that MLflow offers no way to await."""
    for thread in threading.enumerate():
        if thread.name.startswith(prefix):
            thread.join(timeout=30)


def _gateway(experiment: str) -> tuple[str, tuple[str, str]]:
    """An encrypted key, two models that use it, two endpoints; the second falls back."""
    store = _get_store()
    secret = store.create_gateway_secret(
        "openai key 🔑", {"api_key": GATEWAY_SECRET}, provider="openai", created_by="zoë"
    ).secret_id
    models = [
        store.create_gateway_model_definition(name, secret, "openai", "gpt-x").model_definition_id
        for name in ("main model", "spare model")
    ]
    primary = GatewayEndpointModelConfig(models[0], GatewayModelLinkageType.PRIMARY)
    spare = GatewayEndpointModelConfig(models[1], GatewayModelLinkageType.FALLBACK, 0.5, 1)
    first = store.create_gateway_endpoint("judge", [primary], usage_tracking=False).endpoint_id
    second = store.create_gateway_endpoint(
        "chat", [primary, spare], experiment_id=experiment, created_by="zoë"
    ).endpoint_id
    store.set_gateway_endpoint_tag(second, GatewayEndpointTag("team ü", AWKWARD_TEXT))
    store.set_gateway_endpoint_tag(second, GatewayEndpointTag("empty", ""))
    return secret, (first, second)


def _scorers(experiment: str) -> None:
    """Three versions of a judge; the last asks a gateway endpoint, which binds the two."""
    for number, model in enumerate(("openai:/gpt-x", "openai:/gpt-y", "gateway:/judge"), start=1):
        judge = make_judge(
            name=SCORER_NAME, instructions=f"{number}: is {{{{ outputs }}}} 🦆?", model=model
        )
        judge.register(experiment_id=experiment)
    _get_store().upsert_online_scoring_config(
        experiment, SCORER_NAME, 0.25, "attributes.name = 'root'"
    )


def _gateway_policies(experiment: str, endpoint: str) -> None:
    """Limits on spending, and a guardrail that runs the scorer before an endpoint."""
    store = _get_store()
    week = BudgetDuration(BudgetDurationUnit.WEEKS, 2)
    for scope, target in ((BudgetTargetScope.GLOBAL, None), (BudgetTargetScope.ENDPOINT, endpoint)):
        store.create_budget_policy(
            BudgetUnit.USD, 12.5, week, scope, BudgetAction.ALERT, target_value=target
        )
    scorer = store.get_scorer(experiment, SCORER_NAME)
    guardrail = store.create_gateway_guardrail(
        "no ducks", scorer.scorer_id, 3, GuardrailStage.BEFORE, GuardrailAction.VALIDATION
    )
    store.add_guardrail_to_endpoint(endpoint, guardrail.guardrail_id, execution_order=1)


def _evaluation_datasets(experiment: str, other: str, traces: RichTraces) -> tuple[str, int, str]:
    """Records by hand, from a trace, with unicode and nothing in them; and a second same name."""
    store = _get_store()
    tags = {"mlflow.user": "zoë", "empty": ""}
    dataset = store.create_dataset("golden ü", tags=tags, experiment_ids=[experiment, other])
    from_trace = DatasetRecordSource(
        source_type=DatasetRecordSourceType.TRACE, source_data={"trace_id": traces.nested_id}
    )
    records: list[dict[str, Any]] = [
        {"inputs": {"q": AWKWARD_TEXT}, "expectations": {"a": "🦆"}, "tags": {"t": "ü"}},
        {"inputs": {"q": "from a trace"}, "outputs": {"a": [1]}, "source": from_trace},
        {"inputs": {"q": 1.5, "deep": {"x": [None, True]}}},
        {"inputs": {}},
    ]
    store.upsert_dataset_records(dataset.dataset_id, records)
    return dataset.dataset_id, len(records), store.create_dataset("golden ü").dataset_id


def _review(experiment: str, traces: RichTraces) -> tuple[tuple[str, str, str], tuple[str, str]]:
    """Questions for reviewers, and queues of traces that wait for answers."""
    store = _get_store()
    questions = (
        ("correct? ü", "feedback", InputPassFail("yes", "no"), True),
        ("topic", "feedback", InputCategorical(["a", "🦆"], multi_select=True), False),
        ("right answer", "expectation", InputText(max_length=100), False),
    )
    first, second, third = (
        store.create_label_schema(
            experiment, name=name, type=kind, input=field, instruction="?", enable_comment=comment
        ).schema_id
        for name, kind, field, comment in questions
    )
    queue = store.create_review_queue(
        experiment,
        name="Weekly Ü",
        queue_type="custom",
        created_by="zoë",
        users=["ann", "bob"],
        schema_ids=[first, third],
    ).queue_id
    items = [traces.nested_id, traces.error_id]
    store.add_items_to_review_queue(queue, item_ids=items)
    store.set_review_queue_item_status(
        queue, item_id=items[0], status="complete", completed_by="ann"
    )
    personal = store.get_or_create_user_queue(experiment, user="ann").queue_id
    return (first, second, third), (queue, personal)


def _issues(experiment: str, traces: RichTraces) -> tuple[str, str]:
    """One found by a run and referred to by a trace's assessment, one plain and resolved."""
    store = _get_store()
    found = store.create_issue(
        experiment,
        "ducks 🦆",
        AWKWARD_TEXT,
        severity=IssueSeverity.HIGH,
        root_causes=["pond"],
        source_run_id=traces.run_id,
        categories=["tone", "ü"],
        created_by="zoë",
        **(
            {"metadata": {"pönd": AWKWARD_TEXT}, "last_seen_timestamp": LONG_AGO}
            if HAS_SKILLS  # MLflow 3.18
            else {}
        ),
    ).issue_id
    plain = store.create_issue(experiment, "plain", "", status=IssueStatus.RESOLVED).issue_id
    mlflow.log_issue(trace_id=traces.error_id, issue_id=found, rationale="see the pond")
    return found, plain


def _webhooks(client: MlflowClient) -> tuple[str, str]:
    """Created last: a server would deliver later changes to them."""
    url = "https://localhost:9/hook?x=1"
    # A public host name would have to resolve, which it does not without a network.
    with environment({"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}):
        first = client.create_webhook(
            "with-secret",
            url,
            ["model_version.created", "registered_model.created"],
            description=AWKWARD_TEXT,
            secret=WEBHOOK_SECRET,
        )
        second = client.create_webhook(
            "without-secret", url, ["prompt.created"], status=WebhookStatus.DISABLED
        )
    return first.webhook_id, second.webhook_id


def _mcp_server() -> str:
    """A server of the Model Context Protocol, with two versions."""
    store = _get_store()
    name = "io.github.example/ducks"
    store.create_mcp_server(name, description="ducks 🦆", created_by="zoë")
    tool = MCPTool(name="quack", description="ü", input_schema={"type": "object"})
    for version, status in (("1.0.0", MCPStatus.ACTIVE), ("1.1.0-rc.1", MCPStatus.DRAFT)):
        store.create_mcp_server_version(
            {"name": name, "version": version, "description": AWKWARD_TEXT},
            source="https://example.com/ducks",
            status=status,
            tools=[tool],
            connect_options={"remote": ConnectOptionSettings(hidden=True)},
        )
    store.set_mcp_server_alias(name, "stable", "1.0.0")
    store.set_mcp_server_tag(name, "team", "ünit")
    store.set_mcp_server_version_tag(name, "1.0.0", "empty", "")
    store.create_mcp_access_endpoint(name, "https://localhost:9/mcp", server_alias="stable")
    return name


def _transient_rows(database_uri: str, experiment: str) -> str:
    """Jobs, locks, leases and rollups: what a running server keeps for itself."""
    job = SqlAlchemyJobStore(database_uri).create_job(
        "score", '{"x": "ü"}', timeout=5.0, creator="zoë"
    )
    day = {"experiment_id": int(experiment), "rollup_day": date(2001, 9, 9)}
    grouped = {**day, "metric_name": "m", "grouping_set": "none", "sample_count": 1}
    add_rows(
        database_uri,
        tables.SqlJobLock(lock_key="lock", job_id=job.job_id),
        tables.SqlSchedulerLease(lease_key="lease", ttl_seconds=5),
        tables.SqlTraceMetricDailyRollup(**grouped),
        tables.SqlSpanCostDailyRollup(**grouped),
        tables.SqlAssessmentDailyRollup(**grouped),
        # A name of ours: MLflow queues its own families when traces are written.
        tables.SqlTraceRollupRebuild(**day, rollup_family="TEST"),
    )
    return str(job.job_id)
