"""A plan file of an export, and what all plan files have in common. (Of `sync`: test_sync.)"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import mlporter
from tests.support.databases import tree
from tests.support.mlflow_session import mlflow_at

PLAN = "plan.json"


def actions_of(file: str) -> list[dict]:
    return [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()[1:]]


def bundle_id() -> str:
    return yaml.safe_load(Path("backup/manifest.yaml").read_text(encoding="utf-8"))["bundle_id"]


def test_an_export_is_planned_and_then_carried_out(plain_sqlite, tmp_path):
    source = plain_sqlite.tracking_uri
    before = tree(tmp_path)
    planned = mlporter.export(source, "backup", plan_out=PLAN)
    assert {*tree(tmp_path)} - {*before} == {PLAN}
    assert (planned.dry_run, planned.next_command) == (True, f"mlporter apply {PLAN}")
    made = {(one["unit"], one["id"]) for one in actions_of(PLAN)}
    assert {("runs", run) for run in plain_sqlite.run_ids} <= made
    assert ("model_versions", f"default/{plain_sqlite.model_name}/3") in made
    assert {one["action"] for one in actions_of(PLAN)} == {"create"}
    assert mlporter.apply(PLAN, dry_run=True).next_command == f"mlporter apply {PLAN}"
    assert not Path("backup").exists()
    done = mlporter.apply(PLAN)
    assert (done.verb, done.dry_run, done.tables) == ("export", False, planned.tables)
    assert mlporter.verify("backup", against=source).exit_code == 0


def test_an_export_that_would_be_another_is_refused(plain_sqlite):
    source = plain_sqlite.tracking_uri
    mlporter.export(source, "backup", plan_out=PLAN, selection={"model": plain_sqlite.model_name})
    with mlflow_at(source):
        client = plain_sqlite.client()
        made = client.create_model_version(
            plain_sqlite.model_name, f"runs:/{plain_sqlite.run_ids[0]}/x", plain_sqlite.run_ids[0]
        )
    with pytest.raises(mlporter.RefusedError, match="changed since the plan was made") as refused:
        mlporter.apply(PLAN)
    version = f"default/{plain_sqlite.model_name}/{made.version}"
    assert any(f"now: create model_versions '{version}'" in one for one in refused.value.reasons)
    assert not Path("backup").exists()


def test_a_plan_names_the_bundle_that_is_replaced(plain_sqlite):
    source = plain_sqlite.tracking_uri
    mlporter.export(source, "backup", artifacts="none")
    first = bundle_id()
    mlporter.export(source, "backup", artifacts="none", restart=True, plan_out=PLAN)
    (replaced,) = [one for one in actions_of(PLAN) if one["action"] == "delete"]
    assert (replaced["unit"], replaced["id"]) == ("bundle", first)
    # Somebody else replaces it: what would be replaced now is another one.
    mlporter.export(source, "backup", artifacts="none", restart=True)
    second = bundle_id()
    with pytest.raises(mlporter.RefusedError, match="changed since"):
        mlporter.apply(PLAN)
    assert bundle_id() == second


def test_what_is_asked_for_is_asked_for_again(rich_sqlite, tmp_path):
    """Selections, lists, flags and numbers come back from the file as they were."""
    asked = {
        "selection": {"models": ["*"], "since": "2020-01-01", "parents": False},
        "artifacts": "none",
        "workers": 2,
        "allow_root": [tmp_path],
        "include_secrets": True,
    }
    mlporter.export(rich_sqlite.tracking_uri, tmp_path / "one", **asked)
    mlporter.export(rich_sqlite.tracking_uri, tmp_path / "two", plan_out=PLAN, **asked)
    mlporter.apply(PLAN)
    manifests = [mlporter.inspect(tmp_path / name) for name in ("one", "two")]
    assert manifests[0].tables == manifests[1].tables
    assert mlporter.diff(tmp_path / "one", tmp_path / "two").identical


@pytest.mark.parametrize("damage", ["cut", "edited", "added"])
def test_what_is_carried_out_is_what_was_looked_at(plain_sqlite, damage):
    mlporter.export(plain_sqlite.tracking_uri, "backup", plan_out=PLAN)
    head, *lines = Path(PLAN).read_text(encoding="utf-8").splitlines()
    if damage == "cut":
        lines.pop()
    elif damage == "edited":
        lines[0] = lines[0].replace("create", "keep")
    else:
        lines.append(lines[0])
    Path(PLAN).write_text("\n".join([head, *lines, ""]), encoding="utf-8")
    for look in (mlporter.read_plan, mlporter.apply):
        with pytest.raises(mlporter.UsageError, match="cut or edited"):
            look(PLAN)
    assert not Path("backup").exists()


def test_a_plan_of_a_verb_of_another_release_is_refused(plain_sqlite):
    mlporter.export(plain_sqlite.tracking_uri, "backup", plan_out=PLAN)
    text = Path(PLAN).read_text(encoding="utf-8")
    Path(PLAN).write_text(text.replace('"export"', '"levitate"', 1), encoding="utf-8")
    with pytest.raises(mlporter.RefusedError, match="levitate"):
        mlporter.apply(PLAN)


def test_read_plan_counts_and_tells_what_was_found(plain_sqlite):
    planned = mlporter.export(plain_sqlite.tracking_uri, "backup", plan_out=PLAN)
    plan = mlporter.read_plan(PLAN)
    assert plan.verb == "export"
    assert plan.counts["runs", "create"] == len(actions_of(PLAN)) - sum(
        count for (unit, _), count in plan.counts.items() if unit != "runs"
    )
    (found,) = plan.found
    assert (found["files"], found["bytes"]) == (planned.files.files, planned.files.bytes)
    assert (plan.is_refused, len(plan.first)) == (False, len(actions_of(PLAN)))


def test_a_backup_is_planned_and_then_carried_out(plain_sqlite, tmp_path):
    source = plain_sqlite.tracking_uri
    before = tree(tmp_path)
    planned = mlporter.backup(source, "backups", tags=["nightly"], plan_out=PLAN)
    assert {*tree(tmp_path)} - {*before} == {PLAN}
    assert planned.snapshot is None
    assert planned.result.next_command == f"mlporter apply {PLAN}"
    assert ("runs", plain_sqlite.run_ids[0]) in {
        (one["unit"], one["id"]) for one in actions_of(PLAN)
    }
    done = mlporter.apply(PLAN)
    assert done.snapshot.tags == ("nightly",)
    assert mlporter.diff(source, "backups/@latest").identical
    with mlflow_at(source):
        plain_sqlite.client().create_experiment("another")
    with pytest.raises(mlporter.RefusedError, match="changed since the plan was made"):
        mlporter.apply(PLAN)
    assert len(mlporter.snapshots("backups").snapshots) == 1


def test_what_is_forgotten_is_planned_and_then_carried_out(plain_sqlite):
    source = plain_sqlite.tracking_uri
    for _ in range(3):
        mlporter.backup(source, "backups", artifacts="none")
    first, second, third = [one.name for one in mlporter.snapshots("backups").snapshots]
    planned = mlporter.forget("backups", keep_last=1, prune_unused=True, grace=0, plan_out=PLAN)
    assert (planned.dry_run, planned.next_command) == (True, f"mlporter apply {PLAN}")
    deleted = [(one["action"], one["unit"], one["id"]) for one in actions_of(PLAN)]
    assert deleted == [("delete", "snapshots", first), ("delete", "snapshots", second)]
    assert len(mlporter.snapshots("backups").snapshots) == 3
    # By now the rules would take another one, too.
    mlporter.backup(source, "backups", artifacts="none")
    with pytest.raises(mlporter.RefusedError, match="changed since the plan was made") as refused:
        mlporter.apply(PLAN)
    assert any(third in reason for reason in refused.value.reasons)
    assert len(mlporter.snapshots("backups").snapshots) == 4
    mlporter.forget("backups", first, plan_out=PLAN)
    assert mlporter.apply(PLAN).forgotten == (first,)
    assert first not in [one.name for one in mlporter.snapshots("backups").snapshots]
    assert mlporter.verify("backups").exit_code == 0
