"""What is carried beside the target's own: new ids, and MLflow finds everything under them."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pytest
import yaml
from mlflow import MlflowClient

import mlporter
from mlporter.errors import RefusedError, UsageError
from tests.support.databases import dump, execute, rows
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.plain_registry import PLAIN_FACTORS
from tests.support.rich_models import EXAMPLE_INPUT


@pytest.fixture
def restored(plain_sqlite, mlflow_sqlite, tmp_path):
    """A registry, with a second copy of everything in it under other names."""
    root, target = str(tmp_path / "root"), sqlite_url(mlflow_sqlite)
    mlporter.copy(plain_sqlite.tracking_uri, target, artifact_root=root)
    result = mlporter.copy(
        plain_sqlite.tracking_uri,
        target,
        artifact_root=root,
        on_conflict="rename",
        rename=["plain=restored", f"{plain_sqlite.model_name}=restored-model"],
    )
    return target, result


def test_copies_have_new_ids_and_keep_their_references(restored, plain_sqlite):
    target, result = restored
    client = MlflowClient(target, target)
    (experiment,) = [e for e in client.search_experiments() if e.name == "restored"]
    copied = client.search_runs([experiment.experiment_id])
    originals = client.search_runs([client.get_experiment_by_name("plain").experiment_id])
    assert len(copied) == len(originals) > 0
    assert {run.info.run_id for run in copied}.isdisjoint(run.info.run_id for run in originals)
    ids = {renamed.old: renamed.new for renamed in result.renamed}
    for original in originals:
        copy = client.get_run(ids[original.info.run_id])
        assert copy.data.params == original.data.params
        assert copy.data.metrics == original.data.metrics
        parent = original.data.tags.get("mlflow.parentRunId")
        assert copy.data.tags.get("mlflow.parentRunId") == (ids[parent] if parent else None)
        for key in original.data.metrics:
            assert [
                (m.step, m.value, m.timestamp)
                for m in client.get_metric_history(copy.info.run_id, key)
            ] == [
                (m.step, m.value, m.timestamp)
                for m in client.get_metric_history(original.info.run_id, key)
            ]


def test_the_copy_of_a_model_loads_and_knows_its_new_ids(restored, plain_sqlite):
    target, result = restored
    mlflow.set_tracking_uri(target)
    mlflow.set_registry_uri(target)
    ids = {renamed.old: renamed.new for renamed in result.renamed}
    client = MlflowClient(target, target)
    for version in client.search_model_versions("name = 'restored-model'"):
        uri = f"models:/restored-model/{version.version}"
        original = f"models:/{plain_sqlite.model_name}/{version.version}"
        mine, theirs = mlflow.pyfunc.load_model(uri), mlflow.pyfunc.load_model(original)
        assert mine.metadata.run_id == ids[theirs.metadata.run_id] == version.run_id
        assert mine.metadata.model_id == ids[theirs.metadata.model_id]
        assert mine.metadata.signature == theirs.metadata.signature


def test_files_that_name_ids_follow_and_others_stay(restored, plain_sqlite, tmp_path):
    target, result = restored
    ids = {renamed.old: renamed.new for renamed in result.renamed}
    old = next(key for key in ids if key.startswith("m-"))
    places = dict(rows(target, "SELECT model_id, artifact_location FROM logged_models"))
    for name in ("MLmodel", "python_env.yaml"):
        before = (tmp_path / places[old] / name).read_text()
        after = (tmp_path / places[ids[old]] / name).read_text()
        assert (before == after) == (name != "MLmodel")
    described = yaml.safe_load((tmp_path / places[ids[old]] / "MLmodel").read_text())
    assert described["model_id"] == ids[old]


def test_versions_find_files_that_the_target_has_elsewhere(plain_sqlite, mlflow_sqlite, tmp_path):
    """What is there already is not copied to the artifact root of today: it lies where it lies."""
    source, target = plain_sqlite.tracking_uri, sqlite_url(mlflow_sqlite)
    mlporter.copy(source, target, artifact_root=str(tmp_path / "first"))
    wishes = {
        "artifact_root": str(tmp_path / "second"),
        "rename": [f"{plain_sqlite.model_name}=again"],
        "selection": mlporter.Selection(models=(plain_sqlite.model_name,)),
    }
    result = mlporter.copy(source, target, **wishes)
    assert (result.exit_code, result.files.files) == (0, 0)
    with mlflow_at(target):
        for version, factor in PLAIN_FACTORS.items():
            model = mlflow.pyfunc.load_model(f"models:/again/{version}")
            assert list(model.predict(EXAMPLE_INPUT)) == [factor * x for x in EXAMPLE_INPUT]
    for (place,) in rows(target, "SELECT storage_location FROM model_versions"):
        assert (Path(place) / "MLmodel").is_file()
    assert mlporter.copy(source, target, **wishes).rows == 0


def test_files_follow_ids_that_sort_otherwise(plain_sqlite, mlflow_sqlite, tmp_path):
    """New ids sort as the old ones do if these are random; here they are counted up."""
    source, target = plain_sqlite.tracking_uri, sqlite_url(mlflow_sqlite)
    ids = {old: f"{'0' * 30}{number:02}" for number, old in enumerate(plain_sqlite.run_ids)}
    for table in ("runs", "params", "tags", "metrics", "latest_metrics"):
        for old, new in ids.items():
            execute(source, f"UPDATE {table} SET run_uuid = '{new}' WHERE run_uuid = '{old}'")
    root = str(tmp_path / "root")
    mlporter.copy(source, target, artifact_root=root)
    result = mlporter.copy(
        source,
        target,
        artifact_root=root,
        on_conflict="rename",
        rename=["plain=restored", f"{plain_sqlite.model_name}=restored-model"],
    )
    copies = [r.new for r in result.renamed if r.kind == "runs" and r.old in ids.values()]
    assert copies != sorted(copies)
    client = MlflowClient(target, target)
    for number, copy in enumerate(copies):
        path = mlflow.artifacts.download_artifacts(
            f"runs:/{copy}/report.txt", tracking_uri=target, dst_path=str(tmp_path / copy)
        )
        assert Path(path).read_text(encoding="utf-8") == f"report of run {number}"
        assert client.get_run(copy).info.artifact_uri.startswith(root)


def test_traces_are_copied_with_their_spans(rich_sqlite, mlflow_sqlite, tmp_path):
    root, target = str(tmp_path / "root"), sqlite_url(mlflow_sqlite)
    mlporter.copy(rich_sqlite.tracking_uri, target, artifact_root=root)
    wanted = rows(
        target,
        "SELECT e.name, t.request_id FROM experiments e JOIN trace_info t"
        " ON t.experiment_id = e.experiment_id ORDER BY 2",
    )
    names = sorted({name for name, _ in wanted})
    result = mlporter.copy(
        rich_sqlite.tracking_uri,
        target,
        artifact_root=root,
        on_conflict="rename",
        rename=[f"{name}={name} again" for name in names],
    )
    ids = {renamed.old: renamed.new for renamed in result.renamed}
    client = MlflowClient(target, target)
    seen = 0
    for _, old in wanted:
        (one,) = rows(target, f"SELECT count(*) FROM spans WHERE trace_id = '{old}'")
        if not one[0]:
            continue
        original, copy = client.get_trace(old), client.get_trace(ids[old])
        assert copy.info.trace_id == ids[old]
        assert [span.name for span in copy.data.spans] == [s.name for s in original.data.spans]
        assert {span.trace_id for span in copy.data.spans} == {ids[old]}
        for span in copy.data.spans:
            assert json.loads(span.to_dict()["attributes"]["mlflow.traceRequestId"]) == ids[old]
        seen += 1
    assert seen


@pytest.mark.parametrize("dry_run", [True, False])
def test_renaming_what_is_not_there_is_refused(plain_sqlite, mlflow_sqlite, tmp_path, dry_run):
    """Else a slip would put it into the target's own of that name."""
    wishes = {"artifact_root": str(tmp_path / "root"), "dry_run": dry_run}
    target = sqlite_url(mlflow_sqlite)
    before = dump(target)
    with pytest.raises(RefusedError) as caught:
        mlporter.copy(plain_sqlite.tracking_uri, target, rename=["plian=restored"], **wishes)
    (reason,) = caught.value.reasons
    assert "'plian'" in reason
    assert "did you mean plain" in reason
    with pytest.raises(UsageError, match="'/' or ':'"):
        mlporter.copy(
            plain_sqlite.tracking_uri, target, rename=[f"{plain_sqlite.model_name}=a/b"], **wishes
        )
    assert dump(target) == before
