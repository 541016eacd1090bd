"""Experiments and runs, with everything about them that is awkward to move.

Every function adds one kind of thing to the registry MLflow is pointed at, so the file also reads
as a list of what a run can look like.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import mlflow
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    RunTag,
    ViewType,
)
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from packaging.version import Version
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from .mlflow_session import file_uri, join_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow import MlflowClient

#: 2001-09-09, so that "when" is never "now" where the test could not tell the difference.
LONG_AGO = 1_000_000_000_000

EXPERIMENT_NAME = "rich: prices / Zürich 🏠"
SECOND_EXPERIMENT_NAME = "rich (file URI)"
DELETED_EXPERIMENT_NAME = "rich, thrown away"

#: Emoji outside the basic plane, a combining accent, right-to-left, quotes, a tab and a newline, a
#: control character. NUL is left out: PostgreSQL refuses it.
AWKWARD_TEXT = "🦆 e\u0301 שלום مرحبا \"'`\\ %s %(x)s {x}\ttab\r\nline\x01 \u2028 end "

_TAKES_NEWLINES = Version(mlflow.__version__) < Version("3.18")

AWKWARD_PARAMS: Mapping[str, str] = {
    "plain": "0.1",
    "empty": "",
    "spaces only": "   ",
    "awkward": AWKWARD_TEXT,
    "Case": "upper",
    "case": "lower",
    "trailing space ": "key ends in a space",
    # MLflow's pattern ended in ``$``, which also matches before a last newline.
    **({"trailing newline\n": "key ends in a newline"} if _TAKES_NEWLINES else {}),
    "nested/key.with-all: of_it": "null",
    "ключ-鍵-مفتاح": "ключ",
    "k" * 250: "a key as long as keys can be",
    "json": '{"a": [1, null, NaN]}',
    "None": "None",
}
LONG_PARAM = "long"
LONG_PARAM_VALUE = "🦆" * 10 + "x" * 7990

AWKWARD_TAGS: Mapping[str, str] = {
    "mlflow.note.content": "# A *description*\n\n| with | table |\n",
    "mlflow.user": "zoë",
    "mlflow.source.name": "train ünit.py",
    "mlflow.source.type": "LOCAL",
    "mlflow.source.git.commit": "0123456789abcdef0123456789abcdef01234567",
    "empty": "",
    "awkward": AWKWARD_TEXT,
    "long": "t" * 8000,
    "Case": "upper",
    "case": "lower",
    "etikett/ünïcode": "ja",
}

#: What is logged, as (value, timestamp, step): out of order, negative and repeated steps, two
#: values for one step at one time, and zero beside NaN (which MLflow stores as zero and a flag).
METRIC_HISTORY: tuple[tuple[float, int, int], ...] = (
    (0.5, LONG_AGO + 50, 5),
    (0.9, LONG_AGO + 10, -3),
    (0.8, LONG_AGO + 90, 0),
    (0.4, LONG_AGO + 50, 5),
    (0.4, LONG_AGO + 51, 5),
    (0.7, LONG_AGO + 20, 2),
    (0.0, LONG_AGO + 60, 3),
    (math.nan, LONG_AGO + 60, 3),
    (0.6, 0, 4),
)
SPECIAL_METRICS: Mapping[str, float] = {
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "minus zero": -0.0,
    "denormal": 5e-324,
    "largest": 1.7976931348623157e308,
    "sum": 0.1 + 0.2,
    "third": 1 / 3,
    "big int": 2.0**53 + 2,
    "eval/f1.score: test": 1.0,
    "métrique": -1.5,
}

#: Artifact path and content. Windows cannot hold ``?``, but neither can it run PostgreSQL sockets.
ARTIFACTS: Mapping[str, bytes] = {
    "plain.txt": b"plain",
    "empty": b"",
    "nested/deep/er/file.bin": bytes(range(256)),
    "same content.bin": bytes(range(256)),
    "with space.txt": b"space",
    "question?.txt": b"?",
    "hash#tag.txt": b"#",
    "per%20cent.txt": b"%",
    "plus+and&.txt": b"+",
    "ünï/cödé 🦆.txt": "🦆".encode(),
    "e\u0301 combining.txt": b"decomposed",
    ".hidden": b"dot",
    "crlf.csv": b"a,b\r\n1,2\r\n",
}


@dataclass(frozen=True)
class RichRuns:
    """Ids of the interesting experiments and runs. All run ids are 32 hex digits."""

    experiment_id: str
    """Active, artifact location is a plain path (or the URI given)."""
    second_experiment_id: str
    """Active, artifact location is a ``file://`` URI."""
    deleted_experiment_id: str
    empty_experiment_id: str
    """No runs, no tags."""
    parent_id: str
    child_ids: tuple[str, str]
    grandchild_id: str
    """Child of ``child_ids[0]``."""
    orphan_id: str
    """Its ``mlflow.parentRunId`` names a run that does not exist."""
    awkward_id: str
    """`AWKWARD_PARAMS` + `LONG_PARAM`, `AWKWARD_TAGS`, emoji in the name."""
    metrics_id: str
    """`SPECIAL_METRICS` at step 0 and `METRIC_HISTORY` under ``history``."""
    artifacts_id: str
    """`ARTIFACTS`."""
    bare_id: str
    """No params, metrics, tags of ours, or artifacts; never ended."""
    dataset_run_ids: tuple[str, str]
    """Both use dataset ``shared``; the first uses ``lonely`` too."""
    deleted_id: str
    """Deleted run in the active experiment, with metrics and an artifact."""
    run_in_deleted_id: str
    """Run of the deleted experiment."""
    restored_id: str
    """Active run inside the deleted experiment."""
    status_ids: dict[str, str]
    """One run for each of RUNNING, SCHEDULED, FAILED, KILLED, FINISHED."""


def build_runs(client: MlflowClient, database_uri: str, root: Path | str) -> RichRuns:
    """Make all of it; ``root`` is where artifacts go, ``database_uri`` allows what no API does."""
    _default_experiment(database_uri, root)
    experiment = client.create_experiment(
        EXPERIMENT_NAME,
        artifact_location=join_uri(root, "rich"),
        tags={"mlflow.note.content": "About *prices*", "empty": "", "awkward": AWKWARD_TEXT},
    )
    client.set_experiment_tag(experiment, "long", "e" * 5000)
    second = client.create_experiment(
        SECOND_EXPERIMENT_NAME, artifact_location=file_uri(join_uri(root, "second run's"))
    )
    parent, children, grandchild = _nested_runs(client, experiment)
    deleted_experiment, run_in_deleted, restored = _deleted_experiment(client, root)
    return RichRuns(
        experiment_id=experiment,
        second_experiment_id=second,
        deleted_experiment_id=deleted_experiment,
        empty_experiment_id=client.create_experiment(
            "rich, empty", artifact_location=join_uri(root, "empty")
        ),
        parent_id=parent,
        child_ids=children,
        grandchild_id=grandchild,
        orphan_id=_run(client, second, "orphan", {MLFLOW_PARENT_RUN_ID: "0" * 32}),
        awkward_id=_awkward_text(client, experiment, database_uri),
        metrics_id=_metrics(client, experiment),
        artifacts_id=_artifacts(client, second),
        bare_id=client.create_run(second).info.run_id,
        dataset_run_ids=_datasets(client, experiment),
        deleted_id=_deleted_run(client, experiment),
        run_in_deleted_id=run_in_deleted,
        restored_id=restored,
        status_ids=_statuses(client, second),
    )


def _default_experiment(database_uri: str, root: Path | str) -> None:
    """MLflow made it when it made the database, in whatever folder that process ran."""
    execute(
        database_uri,
        "UPDATE experiments SET artifact_location = :root WHERE experiment_id = 0",
        {"root": join_uri(root, "0")},
    )


def start_run(
    client: MlflowClient, experiment: str, name: str, tags: dict[str, str] | None = None
) -> str:
    """Create a run that began `LONG_AGO`; returns its id."""
    run = client.create_run(experiment, start_time=LONG_AGO, run_name=name, tags=tags)
    return str(run.info.run_id)


def _run(
    client: MlflowClient, experiment: str, name: str, tags: dict[str, str] | None = None
) -> str:
    run_id = start_run(client, experiment, name, tags)
    client.log_metric(run_id, "m", 1.0, timestamp=LONG_AGO, step=0)
    client.set_terminated(run_id, end_time=LONG_AGO + 1)
    return run_id


def _nested_runs(client: MlflowClient, experiment: str) -> tuple[str, tuple[str, str], str]:
    """A parent, two children, and a grandchild, which `mlflow.parentRunId` alone ties together."""
    parent = _run(client, experiment, "parent")
    first = _run(client, experiment, "child 1", {MLFLOW_PARENT_RUN_ID: parent})
    second = _run(client, experiment, "child 2", {MLFLOW_PARENT_RUN_ID: parent})
    grandchild = _run(client, experiment, "grandchild", {MLFLOW_PARENT_RUN_ID: first})
    return parent, (first, second), grandchild


def _awkward_text(client: MlflowClient, experiment: str, database_uri: str) -> str:
    run_id = start_run(client, experiment, "🦆 rún \u202eRTL")
    client.log_batch(
        run_id,
        params=[Param(key, value) for key, value in AWKWARD_PARAMS.items()],
        tags=[RunTag(key, value) for key, value in AWKWARD_TAGS.items()],
    )
    client.log_param(run_id, LONG_PARAM, "to be replaced")
    # The column holds 8,000 characters, and older releases logged as many; since then the client
    # and the store both cut at 6,000.
    execute(
        database_uri,
        "UPDATE params SET value = :value WHERE run_uuid = :run AND key = :key",
        {"value": LONG_PARAM_VALUE, "run": run_id, "key": LONG_PARAM},
    )
    client.set_terminated(run_id, end_time=LONG_AGO + 60_000)
    return run_id


def _metrics(client: MlflowClient, experiment: str) -> str:
    run_id = start_run(client, experiment, "metrics")
    for value, timestamp, step in METRIC_HISTORY:
        client.log_metric(run_id, "history", value, timestamp=timestamp, step=step)
    client.log_batch(
        run_id, metrics=[Metric(key, value, LONG_AGO, 0) for key, value in SPECIAL_METRICS.items()]
    )
    client.set_terminated(run_id, end_time=LONG_AGO + 1)
    return run_id


def _artifacts(client: MlflowClient, experiment: str) -> str:
    run_id = start_run(client, experiment, "artifacts")
    with TemporaryDirectory() as folder:
        for name, content in ARTIFACTS.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        client.log_artifacts(run_id, folder)
    client.set_terminated(run_id, end_time=LONG_AGO + 1)
    return run_id


def _datasets(client: MlflowClient, experiment: str) -> tuple[str, str]:
    """Two runs that share a dataset, in different contexts; one with a dataset of its own."""
    shared = Dataset(
        name="shared",
        digest="d1gest",
        source_type="http",
        source=json.dumps({"url": "https://example.com/données.csv?a=1"}),
        schema=json.dumps({"mlflow_colspec": [{"type": "double", "name": "🦆"}]}),
        profile=json.dumps({"num_rows": 3}),
    )
    lonely = Dataset(name="lonely ü", digest="0", source_type="code", source="{}")
    first, second = (_run(client, experiment, f"dataset {n}") for n in (1, 2))
    client.log_inputs(
        first,
        [
            DatasetInput(shared, [InputTag("mlflow.data.context", "training"), InputTag("e", "")]),
            DatasetInput(lonely, []),
        ],
    )
    client.log_inputs(second, [DatasetInput(shared, [InputTag("mlflow.data.context", "eval 🦆")])])
    return first, second


def _deleted_run(client: MlflowClient, experiment: str) -> str:
    run_id = _run(client, experiment, "deleted")
    client.log_text(run_id, "still here", "kept.txt")
    client.delete_run(run_id)
    return run_id


def _deleted_experiment(client: MlflowClient, root: Path | str) -> tuple[str, str, str]:
    """Deleting an experiment deletes its runs; one of them is then restored inside it."""
    experiment = client.create_experiment(
        DELETED_EXPERIMENT_NAME, artifact_location=join_uri(root, "deleted"), tags={"why": "old"}
    )
    gone, restored = (_run(client, experiment, name) for name in ("gone", "restored"))
    client.log_text(gone, "in a deleted experiment", "kept.txt")
    client.delete_experiment(experiment)
    client.restore_run(restored)
    assert client.search_runs([experiment], run_view_type=ViewType.ACTIVE_ONLY)
    return experiment, gone, restored


def _statuses(client: MlflowClient, experiment: str) -> dict[str, str]:
    runs = {}
    for status in ("RUNNING", "SCHEDULED", "FAILED", "KILLED", "FINISHED"):
        run_id = start_run(client, experiment, status)
        if status in {"FAILED", "KILLED", "FINISHED"}:
            client.set_terminated(run_id, status, end_time=LONG_AGO + 2)
        elif status == "SCHEDULED":
            client.update_run(run_id, status)
        runs[status] = run_id
    return runs


def execute(database_uri: str, statement: str, values: Mapping[str, object]) -> None:
    """Run one SQL statement, for the few things that no MLflow call can store."""
    engine = create_engine(database_uri)
    with engine.begin() as connection:
        connection.execute(text(statement), values)
    engine.dispose()


def add_rows(database_uri: str, *rows: object) -> None:
    """Add rows of MLflow's own mapped classes, for tables that no MLflow call writes."""
    engine = create_engine(database_uri)
    with Session(engine) as session, session.begin():
        session.add_all(rows)
    engine.dispose()
