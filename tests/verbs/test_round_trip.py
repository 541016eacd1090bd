"""A registry arrives whole, with MLflow's own client as the judge.

Issues of mlflow-export-import (PEERS.md) that these tests cover: silent loss (#250 #240 #165 #42),
times lost (#72 #238 #59), run ids (#163), version numbers (#183), nested runs and parents (#134
#191 #197), deleted runs and experiments, traces, several logged models in a run, model inputs.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

import mlporter
from mlporter.catalogue import TABLES
from tests.support.databases import rows
from tests.support.mlflow_session import mlflow_at
from tests.support.observed import differences, observe
from tests.support.rich_skills import HAS_SKILLS

KINDS = {
    "budget", "endpoint", "evaluation dataset", "experiment", "guardrail", "issue", "label schema",
    "logged model", "mcp access endpoint", "mcp server", "mcp server version", "model definition",
    "model version", "online scoring", "prompt", "prompt version", "registered model",
    "review queue", "run", "scorer", "trace", "webhook",
    *(("skill", "skill version") if HAS_SKILLS else ()),
}  # fmt: skip

#: What says where files are; a move changes it and nothing else.
PLACES = {table.name: table.places for table in TABLES if table.places}


def without_signed_zeros(seen):
    """SQLite does not keep the sign of zero."""
    return json.loads(json.dumps(seen).replace('"-0.0"', '"0.0"'))


def parts(bundle):
    """Bytes of every part; of tables with places the rows, with the places taken out."""
    found = {}
    for path in sorted(Path(bundle, "tables").rglob("*.parquet")):
        table = path.parent.name
        if table == "left_out":
            continue  # what one source left out was never in the other
        name = f"{table}/{path.name}"
        if table in PLACES:
            rows_of = pq.read_table(path).to_pylist()
            found[name] = [without_places(row, PLACES[table]) for row in rows_of]
        else:
            found[name] = path.read_bytes()
    return found


def without_places(row, places):
    names = {p.column for p in places if p.where is None or row[p.where[0]] == p.where[1]}
    return {name: value for name, value in row.items() if name not in names}


def assert_same_parts(one, other):
    first, second = parts(one), parts(other)
    assert set(first) == set(second)
    assert [name for name in first if first[name] != second[name]] == []


# --- MLflow sees the same -------------------------------------------------------------------------


def test_the_judge_is_not_blind(rich_observed):
    assert {key.partition("/")[0] for key in rich_observed} == KINDS
    assert all(rich_observed.values())
    history = [len(points) for key, seen in rich_observed.items() if key.startswith("run/")
               for points in seen["history"].values()]  # fmt: skip
    assert max(history) == 9


@pytest.mark.parametrize("target_url", ["sqlite", "postgresql"], indirect=True)
def test_mlflow_never_sees_less_after_export_and_import(
    rich_bundle, rich_observed, rich_sqlite_template, target_url, tmp_path
):
    result = mlporter.import_(str(rich_bundle), target_url, artifact_root=str(tmp_path / "files"))
    assert result.exit_code == 0
    # And no byte of a table changes when that is exported again.
    exported = mlporter.export(target_url, str(tmp_path / "again"))
    assert {item.reason for item in exported.left_out.first if not item.expected} == {"missing"}
    assert_same_parts(rich_bundle, tmp_path / "again")
    assert latest_metrics(target_url) == latest_metrics(rich_sqlite_template.tracking_uri)
    assert differences(rich_observed, observe(target_url)) == []
    # The next experiment never gets an id that is taken.
    taken = {row[0] for row in rows(target_url, "SELECT experiment_id FROM experiments")}
    with mlflow_at(target_url):
        made = int(MlflowClient().create_experiment("after the import"))
    assert made == max(taken) + 1


def latest_metrics(url):
    """What MLflow derives."""
    sql = "SELECT run_uuid, key, step, timestamp, value, is_nan FROM latest_metrics"
    return sorted((*row[:-1], bool(row[-1])) for row in rows(url, sql))


def test_mlflow_never_sees_less_after_a_copy_to_postgresql(
    rich_sqlite, rich_observed, empty_postgres_url, tmp_path
):
    result = mlporter.copy(
        rich_sqlite.tracking_uri, empty_postgres_url, artifact_root=str(tmp_path / "files")
    )
    # Secrets stay behind, and a logged model without files is said to be one.
    assert result.exit_code == 3
    assert {item.reason for item in result.left_out.first if not item.expected} == {
        "secret",
        "missing",
    }
    assert differences(rich_observed, observe(empty_postgres_url)) == []


def test_mlflow_never_sees_less_after_postgresql_to_a_new_sqlite_file(
    rich_postgres, mlflow_postgres_url, tmp_path
):
    bundle, target = tmp_path / "bundle", f"sqlite:///{tmp_path}/new.db"
    files = str(tmp_path / "f")
    mlporter.export(rich_postgres.tracking_uri, str(bundle))
    assert mlporter.import_(str(bundle), target, artifact_root=files).exit_code == 0
    assert mlporter.diff(str(bundle), target).identical
    # No byte of a table changes on the way through another PostgreSQL database.
    mlporter.import_(str(bundle), mlflow_postgres_url, artifact_root=files)
    again = tmp_path / "again"
    mlporter.export(mlflow_postgres_url, str(again))
    assert_same_parts(bundle, again)
    assert mlporter.diff(str(bundle), str(again)).identical
    before = without_signed_zeros(observe(rich_postgres.tracking_uri))
    assert differences(before, without_signed_zeros(observe(target))) == []


# --- The same data gives the same bytes -----------------------------------------------------------


def test_an_export_is_the_same_every_time(rich_sqlite_private, tmp_path):
    # Of its own artifacts: MLflow writes beside those that others share, where it loads a model.
    once, again = tmp_path / "once", tmp_path / "again"
    mlporter.export(rich_sqlite_private.tracking_uri, str(once))
    mlporter.export(rich_sqlite_private.tracking_uri, str(again), workers=1)
    assert left_out(again) == left_out(once)
    for name in ("tables", "blobs", "packs", "experiments.yaml", "models.yaml"):
        assert [*tree_of(once / name)] == [*tree_of(again / name)]


def left_out(bundle):
    with mlporter.open(str(bundle)) as registry:
        return [row for batch in registry.read("left_out") for row in batch.to_pylist()]


def tree_of(path):
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return ((file.name, file.read_bytes()) for file in files if file.is_file())


def test_an_empty_registry_can_be_moved_too(mlflow_sqlite, empty_postgres_url, tmp_path):
    bundle = tmp_path / "bundle"
    mlporter.export(f"sqlite:///{mlflow_sqlite}", str(bundle))
    mlporter.import_(str(bundle), empty_postgres_url, artifact_root=str(tmp_path / "files"))
    assert mlporter.diff(str(bundle), empty_postgres_url).identical
    with mlflow_at(empty_postgres_url):
        assert MlflowClient().create_experiment("first") == "1"


# --- Secrets --------------------------------------------------------------------------------------


def test_no_secret_leaves_unasked(rich_bundle, rich_sqlite_template):
    encrypted = [
        bytes(value) if isinstance(value, bytes) else str(value).encode()
        for sql in ("SELECT secret FROM webhooks WHERE secret IS NOT NULL",
                    "SELECT encrypted_value FROM secrets", "SELECT wrapped_dek FROM secrets")
        for (value,) in rows(rich_sqlite_template.tracking_uri, sql)
    ]  # fmt: skip
    assert len(encrypted) == 3
    for path in rich_bundle.rglob("*.parquet"):
        content = json.dumps(pq.read_table(path).to_pylist(), default=repr).encode()
        assert not any(secret in content for secret in encrypted), path
    assert not any((rich_bundle / "tables" / "secrets").rglob("*.parquet"))


def test_secrets_work_in_the_target_if_asked_for(rich_sqlite, mlflow_postgres_url, tmp_path):
    bundle, root = str(tmp_path / "bundle"), str(tmp_path / "files")
    mlporter.export(rich_sqlite.tracking_uri, bundle, include_secrets=True)
    result = mlporter.import_(bundle, mlflow_postgres_url, artifact_root=root, include_secrets=True)
    assert result.exit_code == 0
    secrets = "SELECT secret_id, encrypted_value, wrapped_dek, secret_name FROM secrets"
    there = [tuple(map(as_text, row)) for row in rows(mlflow_postgres_url, secrets)]
    assert there == [tuple(map(as_text, row)) for row in rows(rich_sqlite.tracking_uri, secrets)]
    from mlflow.tracking._tracking_service.utils import _get_store  # noqa: PLC0415 -- seconds

    with mlflow_at(mlflow_postgres_url):
        models = _get_store().list_gateway_model_definitions()
        assert {model.secret_id for model in models} == {there[0][0]}


def as_text(value):
    return bytes(value).hex() if isinstance(value, (bytes, memoryview)) else str(value)
