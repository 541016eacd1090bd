"""A promotion that is planned, looked at, and carried out: exactly that, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from mlflow import MlflowClient

import mlporter
from mlporter.promotion import finishing
from tests.promotion.test_promote import ASKED, CANDIDATE, pointers
from tests.support.databases import execute, row_counts
from tests.support.mlflow_session import mlflow_at, sqlite_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.plain_registry import PlainRegistry

PLAN = "plan.json"
GATES: dict[str, Any] = {"require": ["metrics.rmse < 0.2"], "require_tag": ["validated=yes"]}


def lines_of(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()[1:]]


def fields_of(action: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {one["field"]: (one["old"], one["new"]) for one in action["changes"]}


@pytest.fixture
def asked(dev: PlainRegistry, root: Callable[[str], dict[str, str]], tmp_path: Path):
    """What is asked of a promotion into a new SQLite database, planned to a file."""
    prod = sqlite_url(tmp_path / "prod.db")
    return {"source": dev.tracking_uri, "target": prod, **ASKED, **GATES, **root(prod)}


@pytest.mark.parametrize("prod", ["sqlite", "server"], indirect=True)
def test_what_was_planned_is_done_and_the_receipt_says_so(dev, prod, root, tmp_path):
    mlporter.promote("models:/plain-model/1", dev.tracking_uri, prod, **ASKED, **root(prod))
    where = {**ASKED, **GATES, **root(prod), "receipt": tmp_path / "receipt.yaml"}
    planned = mlporter.promote(CANDIDATE, dev.tracking_uri, prod, **where, plan_out=PLAN)
    assert (planned.dry_run, planned.receipts) == (True, ())
    assert planned.next_command == f"mlporter apply {PLAN}"
    assert pointers(prod) == ({"champion": 1}, {"1": "Production"})
    # What a reader of the plan can see: gates, the version, what moves.
    lines = lines_of(PLAN)
    checks = [fields_of(one) for one in lines if one["action"] == "check"]
    assert {"metric rmse": ("< 0.2", "0.15")} in checks
    assert {"tag validated": ("'yes'", "'yes'")} in checks
    (made,) = [
        one for one in lines if one["unit"] == "model_versions" and one["action"] == "create"
    ]
    assert made["id"] == "default/prod-model/2"
    assert fields_of(made)["metrics.rmse"] == (None, 0.15)
    assert fields_of(made)["source"] == (None, "models:/plain-model/3")
    moved = {one["id"]: fields_of(one) for one in lines if one["action"] == "move"}
    assert moved["default/prod-model/champion"]["version"] == (1, 2)
    assert moved["default/prod-model/1"] == {"current_stage": ("Production", "Archived")}
    is_server = prod.startswith("http")
    if not is_server:
        assert mlporter.apply(PLAN, dry_run=True).next_command == f"mlporter apply {PLAN}"
    done = mlporter.apply(PLAN)
    assert ([one.status for one in done.versions], done.exit_code) == (["promoted"], 0)
    assert pointers(prod) == ({"champion": 2}, {"1": "Archived", "2": "Production"})
    receipt = yaml.safe_load((tmp_path / "receipt.yaml").read_text(encoding="utf-8"))
    head = json.loads(Path(PLAN).read_text(encoding="utf-8").splitlines()[0])
    assert receipt["plan"] == head["digest"]
    # Of a server, test_promote undoes one.
    assert is_server or mlporter.undo_promotion(tmp_path / "receipt.yaml").exit_code == 0


def test_without_a_plan_a_receipt_names_none(asked):
    (receipt,) = mlporter.promote(CANDIDATE, **asked).receipts
    assert "plan" not in yaml.safe_load(Path(receipt).read_text(encoding="utf-8"))


@pytest.mark.parametrize("change", ["metric", "tag", "description", "file", "alias of the source"])
def test_it_is_refused_if_the_source_changed_since(dev, asked, change):
    mlporter.promote(CANDIDATE, **asked, plan_out=PLAN)
    client = dev.client()
    with mlflow_at(dev.tracking_uri):
        if change == "metric":  # better still, and not what was looked at
            client.log_metric(dev.model_run_id, "rmse", 0.1, step=3)
        elif change == "tag":
            client.set_model_version_tag("plain-model", "3", "team", "fraud")
        elif change == "description":
            client.update_model_version("plain-model", "3", "another")
        elif change == "file":
            for code in Path(dev.artifact_root).rglob("served_model.py"):
                code.write_bytes(code.read_bytes() + b"# more\n")
        else:
            client.set_registered_model_alias("plain-model", "candidate", "1")
    with pytest.raises(mlporter.RefusedError) as refused:
        mlporter.apply(PLAN)
    assert refused.value.exit_code == 4
    assert not Path("prod.db").exists()


def test_gates_are_judged_anew(dev, asked):
    mlporter.promote(CANDIDATE, **asked, plan_out=PLAN)
    with mlflow_at(dev.tracking_uri):
        dev.client().log_metric(dev.model_run_id, "rmse", 0.9, step=3)
    with pytest.raises(mlporter.RefusedError, match="gate is closed") as refused:
        mlporter.apply(PLAN)
    assert "0.9" in refused.value.reasons[0]
    assert not Path("prod.db").exists()


def test_a_closed_gate_leaves_no_plan(dev, asked):
    with pytest.raises(mlporter.RefusedError, match="gate is closed"):
        mlporter.promote(CANDIDATE, **{**asked, "require": ["metrics.rmse < 0.1"]}, plan_out=PLAN)
    assert not Path(PLAN).exists()


def test_it_is_refused_if_the_target_s_alias_moved_since(dev, asked):
    for version in ("1", "2"):
        mlporter.promote(f"models:/plain-model/{version}", **{**asked, "require_tag": ()})
    mlporter.promote(CANDIDATE, **asked, plan_out=PLAN)
    prod = asked["target"]
    with mlflow_at(prod):
        MlflowClient(prod, prod).set_registered_model_alias("prod-model", "champion", "1")
    before = row_counts(prod)
    with pytest.raises(mlporter.RefusedError) as refused:
        mlporter.apply(PLAN)
    assert "now: move" in str(refused.value.reasons)
    assert row_counts(prod) == before


def test_nothing_moves_if_somebody_moves_it_while_the_plan_is_carried_out(dev, asked, monkeypatch):
    mlporter.promote("models:/plain-model/1", **{**asked, "require_tag": ()})
    mlporter.promote("models:/plain-model/2", **{**asked, "alias": (), "stage": None,
                     "archive_existing": False, "require_tag": ()})  # fmt: skip
    mlporter.promote(CANDIDATE, **asked, plan_out=PLAN)
    prod, run = asked["target"], finishing.Finishing.run

    def somebody_is_quicker(*arguments):
        with mlflow_at(prod):
            MlflowClient(prod, prod).set_registered_model_alias("prod-model", "champion", "2")
        return run(*arguments)

    monkeypatch.setattr(finishing.Finishing, "run", somebody_is_quicker)
    with pytest.raises(mlporter.RefusedError, match="in the meantime"):
        mlporter.apply(PLAN)
    assert pointers(prod)[0] == {"champion": 2}


def test_several_versions_have_numbers_of_their_own_in_a_plan(dev, root, tmp_path):
    prod = sqlite_url(tmp_path / "prod.db")
    models = ["models:/plain-model/1", "models:/plain-model/2"]
    mlporter.promote(models, dev.tracking_uri, prod, **root(prod), plan_out=PLAN)
    made = [one["id"] for one in lines_of(PLAN) if one["unit"] == "model_versions"]
    assert made == ["default/plain-model/1", "default/plain-model/2"]
    done = mlporter.apply(PLAN)
    assert [one.target for one in done.versions] == [
        "models:/plain-model/1",
        "models:/plain-model/2",
    ]


def test_what_was_promoted_before_is_kept_in_a_plan(dev, asked):
    mlporter.promote(CANDIDATE, **asked)
    mlporter.promote(CANDIDATE, **asked, plan_out=PLAN)
    assert {one["action"] for one in lines_of(PLAN)} == {"check", "keep"}
    assert [one.status for one in mlporter.apply(PLAN).versions] == ["already promoted"]


def test_a_conflict_is_in_the_plan_and_refuses_it(dev, asked):
    prod = asked["target"]
    mlporter.promote(CANDIDATE, **{**asked, "name": "another"})
    execute(prod, f"UPDATE runs SET name = 'edited' WHERE run_uuid = '{dev.model_run_id}'")
    planned = mlporter.promote(CANDIDATE, **asked, plan_out=PLAN)
    assert (planned.exit_code, planned.next_command) == (4, "")
    assert mlporter.read_plan(PLAN).is_refused
    with pytest.raises(mlporter.ConflictError):
        mlporter.apply(PLAN)


def test_within_one_registry(dev):
    places = (dev.tracking_uri, dev.tracking_uri)
    mlporter.promote(CANDIDATE, *places, name="other", alias=["live"], plan_out=PLAN)
    assert mlporter.apply(PLAN).exit_code == 0
    assert pointers(dev.tracking_uri, "other") == ({"live": 1}, {"1": "None"})


def test_a_plan_holds_no_password_and_one_made_with_it_is_not_carried_out(dev, server):
    prod = server.address.replace("//", "//me:s3cr3t-word@")
    mlporter.promote(CANDIDATE, dev.tracking_uri, prod, plan_out=PLAN)
    assert "s3cr3t" not in Path(PLAN).read_text(encoding="utf-8")
    with pytest.raises(mlporter.UsageError, match="password"):
        mlporter.apply(PLAN)
