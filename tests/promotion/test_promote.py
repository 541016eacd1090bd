"""A version from dev to prod, judged by MLflow's own client."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

import mlporter
from mlporter.stores.rest.client import Client
from tests.support.databases import row_counts
from tests.support.mlflow_session import mlflow_at, sqlite_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.plain_registry import PlainRegistry

CANDIDATE = "models:/plain-model@candidate"
ASKED: dict[str, Any] = {
    "name": "prod-model",
    "alias": ["champion"],
    "stage": "Production",
    "archive_existing": True,
}


def predictions(address: str, uri: str) -> list[float]:
    with mlflow_at(address):
        model = mlflow.pyfunc.load_model(uri)
        return [float(value) for value in model.predict(pd.DataFrame({"x": [1.0, 2.0]}))]


def files_of(address: str, uri: str, into: Path) -> dict[str, bytes]:
    """A model's files, as MLflow downloads them."""
    with mlflow_at(address):
        folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(into)))
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def pointers(address: str, name: str = "prod-model") -> tuple[dict[str, int], dict[str, str]]:
    """Aliases and stages, as MLflow shows them."""
    with mlflow_at(address):
        client = MlflowClient(address, address)
        model = client.get_registered_model(name)
        versions = client.search_model_versions(f"name = '{name}'")
        aliases = {alias: int(version) for alias, version in model.aliases.items()}
        return aliases, {str(v.version): v.current_stage for v in versions}


@pytest.mark.usefixtures("quick_loads")
def test_a_promoted_model_is_the_source_s_and_predicts_the_same(
    dev: PlainRegistry, prod: str, root: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    done = mlporter.promote(
        CANDIDATE, dev.tracking_uri, prod, **ASKED, **root(prod), load_check=True
    )
    assert (done.exit_code, [one.status for one in done.versions]) == (0, ["promoted"])
    assert done.versions[0].load_check.startswith("loads")
    assert pointers(prod) == ({"champion": 1}, {"1": "Production"})
    for uri in ("models:/prod-model/1", "models:/prod-model@champion"):
        assert predictions(prod, uri) == predictions(dev.tracking_uri, "models:/plain-model/3")
    (tmp_path / "mine").mkdir()
    (tmp_path / "theirs").mkdir()
    mine = files_of(dev.tracking_uri, "models:/plain-model/3", tmp_path / "mine")
    theirs = files_of(prod, "models:/prod-model/1", tmp_path / "theirs")
    if prod.startswith("http"):  # which has run and logged model ids of its own, in MLmodel only
        assert mine.keys() == theirs.keys()
        mine, theirs = ({**one, "MLmodel": b""} for one in (mine, theirs))
    for one in (mine, theirs):
        one.pop("registered_model_meta")  # which MLflow adds when it downloads
    assert theirs == mine
    with mlflow_at(prod):
        client = MlflowClient(prod, prod)
        version = client.get_model_version("prod-model", "1")
        assert version.tags["validated"] == "yes"
        run = client.get_run(version.run_id)
        assert run.data.metrics["rmse"] == 0.15
        points = client.get_metric_history(version.run_id, "rmse")
        assert [(point.step, point.value) for point in points] == [(1, 0.5), (2, 0.15)]
        assert [f.path for f in client.list_artifacts(version.run_id, "notes")] == ["notes/a.txt"]
        # And nothing else: no other run, version or experiment.
        everything = client.search_experiments()
        assert {e.name for e in everything} == {"Default", "plain"}
        assert len(client.search_runs([e.experiment_id for e in everything])) == 1
        assert len(client.search_model_versions()) == 1
        at = client.get_model_version("prod-model", "1").last_updated_timestamp
    # What was promoted before writes nothing.
    again = mlporter.promote(CANDIDATE, dev.tracking_uri, prod, **ASKED, **root(prod))
    assert (again.exit_code, again.receipts) == (0, ())
    assert [one.status for one in again.versions] == ["already promoted"]
    with mlflow_at(prod):
        assert client.get_model_version("prod-model", "1").last_updated_timestamp == at


def test_the_next_one_takes_over_and_an_undo_gives_back(
    dev: PlainRegistry, prod: str, root: Callable[[str], dict[str, str]], tmp_path: Path, cli
) -> None:
    asked = {**ASKED, "require": ["metrics.rmse < 0.2"]}
    mlporter.promote("models:/plain-model/1", dev.tracking_uri, prod, **asked, **root(prod))
    before = tmp_path / "before"
    mlporter.export(prod, before, artifacts="none")
    asked["receipt"] = tmp_path / "receipt.yaml"
    mlporter.promote(CANDIDATE, dev.tracking_uri, prod, **asked, **root(prod))
    assert pointers(prod) == ({"champion": 2}, {"1": "Archived", "2": "Production"})
    undone = mlporter.undo_promotion(tmp_path / "receipt.yaml")
    assert undone.exit_code == 0
    assert pointers(prod) == ({"champion": 1}, {"1": "Production", "2": "None"})
    differences = mlporter.diff(before, prod, artifacts="none").differences
    new = [one for one in differences if str(one.key.get("version")) == "2"]
    of_new = {"model_versions", "model_version_tags"}
    assert {one.table for one in new} == of_new
    # The logged model of the new version comes with it, as does what its run gained.
    rest = [one for one in differences if one not in new and one.sigil == "*"]
    assert not rest, rest
    again = mlporter.undo_promotion(tmp_path / "receipt.yaml")
    assert [one.status for one in again.versions] == ["already undone"]
    # History is told from the receipts.
    found = mlporter.history("models:/prod-model", prod)
    assert [(one.version, one.of, one.gates) for one in found.versions] == [
        (1, "plain-model/1", "1/1"),
        (2, "plain-model/3", "1/1"),
    ]
    assert [bool(one.undone) for one in found.versions] == [False, True]
    receipt = yaml.safe_load((tmp_path / "receipt.yaml").read_text())
    assert found.versions[1].digest == receipt["files"]["digest"]
    if prod.startswith("postgresql"):
        return  # What follows is the same in both databases.
    shown = cli("history", "models:/prod-model", "--at", prod, "--json")
    assert json.loads(shown.out)["promotions"][0]["of"] == "plain-model/1"
    # Undone is not promoted: it can be done again, and makes no third version.
    mlporter.promote(CANDIDATE, dev.tracking_uri, prod, **asked, **root(prod))
    assert pointers(prod) == ({"champion": 2}, {"1": "Archived", "2": "Production"})
    # And what somebody changed since is not undone.
    with mlflow_at(prod):
        MlflowClient(prod, prod).transition_model_version_stage("prod-model", "1", "Staging")
    changed = pointers(prod)
    with pytest.raises(mlporter.RefusedError) as refused:
        mlporter.undo_promotion(tmp_path / "receipt.yaml")
    assert len(refused.value.reasons) == 1
    assert "1" in refused.value.reasons[0]
    assert pointers(prod) == changed


def test_all_closed_gates_are_shown_and_nothing_is_written(dev, tmp_path) -> None:
    target = sqlite_url(tmp_path / "prod.db")
    gates = {
        "require_tag": ["validated=no"],
        "require": ["metrics.rmse < 0.1", "metrics.nope > 1"],
        "flavor": ["onnx"],
        "max_size": "1kB",
        "require_finished": True,
    }
    for dry_run in (True, False):
        with pytest.raises(mlporter.RefusedError) as refused:
            mlporter.promote(
                CANDIDATE,
                dev.tracking_uri,
                target,
                **ASKED,
                **gates,
                artifact_root=tmp_path / "root",
                dry_run=dry_run,
            )
        text = "\n".join(refused.value.reasons)
        assert len(refused.value.reasons) == 5
        for said in ("'yes'", "0.15", "no metric nope", "python_function", "bytes"):
            assert said in text
    assert not (tmp_path / "prod.db").exists()
    assert not (tmp_path / "root").exists()


def test_better_than_the_present_holder(dev, tmp_path) -> None:
    target = sqlite_url(tmp_path / "prod.db")
    asked = {**ASKED, "better_than": ["champion:metrics.rmse:min"]}
    files = {"artifact_root": tmp_path / "root"}
    first = mlporter.promote("models:/plain-model/1", dev.tracking_uri, target, **asked, **files)
    assert first.exit_code == 0  # nobody to be better than
    with pytest.raises(mlporter.RefusedError):  # the same run, and so the same metric
        mlporter.promote(CANDIDATE, dev.tracking_uri, target, **asked, **files)
    assert pointers(target)[0] == {"champion": 1}


def test_the_receipt_says_what_sha256sum_says(dev, tmp_path) -> None:
    target = sqlite_url(tmp_path / "prod.db")
    done = mlporter.promote(
        CANDIDATE, dev.tracking_uri, target, **ASKED, artifact_root=tmp_path / "root"
    )
    receipt = yaml.safe_load(Path(done.receipts[0]).read_text())
    (tmp_path / "there").mkdir()
    there = files_of(target, "models:/prod-model/1", tmp_path / "there")
    there.pop("registered_model_meta")  # which MLflow adds when it downloads
    sums = {path: hashlib.sha256(content).hexdigest() for path, content in there.items()}
    assert receipt["files"]["sha256"] == sums
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items()))
    assert receipt["files"]["digest"] == hashlib.sha256(lines.encode()).hexdigest()
    assert receipt["source"]["version"] == 3
    assert receipt["moved"]["aliases"] == [{"alias": "champion", "from": None, "to": 1}]
    # The same lies among the artifacts of the target's run.
    with mlflow_at(target):
        version = MlflowClient(target, target).get_model_version("prod-model", "1")
        assert done.versions[0].stored.startswith(f"runs:/{version.run_id}/promotions/")
        stored = mlflow.artifacts.load_text(done.versions[0].stored)
    assert stored == Path(done.receipts[0]).read_text()


@pytest.mark.parametrize("prod", ["sqlite", "server"], indirect=True)
def test_a_promotion_that_was_stopped_goes_on(dev, prod, root, monkeypatch) -> None:
    from mlporter.promotion import finishing  # noqa: PLC0415

    def stopped(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finishing, "prove_files", stopped)
        with pytest.raises(KeyboardInterrupt):
            mlporter.promote(CANDIDATE, dev.tracking_uri, prod, **ASKED, **root(prod))
    assert pointers(prod) == ({}, {"1": "None"})  # there, and nobody is led to it
    assert mlporter.history("models:/prod-model", prod).unfinished == (1,)
    done = mlporter.promote(CANDIDATE, dev.tracking_uri, prod, **ASKED, **root(prod))
    assert [one.target for one in done.versions] == ["models:/prod-model/1"]
    assert pointers(prod) == ({"champion": 1}, {"1": "Production"})


def test_files_that_are_not_the_source_s_lead_nobody_to_them(dev, tmp_path, monkeypatch) -> None:
    """A target that stores something else: what a proxy or a disk might do."""
    from mlporter.execute.database.target_files import TargetFiles  # noqa: PLC0415

    target, really = sqlite_url(tmp_path / "prod.db"), TargetFiles.settle

    def settle(self: TargetFiles) -> None:
        really(self)
        for path in (tmp_path / "root").rglob("MLmodel"):
            path.write_text(path.read_text() + "# changed\n")

    monkeypatch.setattr(TargetFiles, "settle", settle)
    with pytest.raises(mlporter.ReadBackError) as refused:
        mlporter.promote(
            CANDIDATE, dev.tracking_uri, target, **ASKED, artifact_root=tmp_path / "root"
        )
    assert "MLmodel" in refused.value.reasons[0]
    assert pointers(target) == ({}, {"1": "None"})


def test_a_model_that_does_not_load_in_the_target(dev, tmp_path, quick_loads) -> None:
    for path in Path(dev.artifact_root).rglob("python_model.pkl"):
        path.write_bytes(b"no pickle")
    for path in Path(dev.artifact_root).rglob("*.py"):
        path.write_text("raise ValueError('does not load')")
    target = sqlite_url(tmp_path / "prod.db")
    with pytest.raises(mlporter.RefusedError) as refused:
        mlporter.promote(
            CANDIDATE,
            dev.tracking_uri,
            target,
            **ASKED,
            artifact_root=tmp_path / "root",
            load_check=True,
        )
    assert refused.value.reasons
    assert pointers(target) == ({}, {"1": "None"})


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("models:/plain-modle/1", "plain-model"),
        ("models:/plain-model/9", "3"),
        ("models:/plain-model@champoin", "@champion"),
        ("models:/plain-model/Staging", "Production"),
    ],
)
def test_what_is_not_there_is_refused_with_what_there_is(dev, tmp_path, model, hint) -> None:
    with pytest.raises(mlporter.RefusedError) as refused:
        mlporter.promote(
            model, dev.tracking_uri, sqlite_url(tmp_path / "prod.db"), artifact_root=tmp_path
        )
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize(
    "options",
    [
        {"alias": ["latest"]},
        {"alias": ["v2"]},
        {"alias": ["a/b"]},
        {"stage": "production?"},
        {"archive_existing": True},
        {"require": ["metrics.rmse"]},
        {"require": ["metrics.rmse < much"]},
        {"better_than": ["metrics.rmse"]},
        {"max_size": "big"},
        {"tag": ["novalue"]},
    ],
)
def test_wrong_usage(dev, tmp_path, options) -> None:
    with pytest.raises(mlporter.UsageError):
        mlporter.promote(
            CANDIDATE,
            dev.tracking_uri,
            sqlite_url(tmp_path / "prod.db"),
            artifact_root=tmp_path,
            **options,
        )
    assert not (tmp_path / "prod.db").exists()


def test_a_name_that_has_another_model_s_copies_is_refused(dev, tmp_path) -> None:
    target, files = sqlite_url(tmp_path / "prod.db"), {"artifact_root": tmp_path / "root"}
    mlporter.promote(CANDIDATE, dev.tracking_uri, target, **ASKED, **files)
    with mlflow_at(dev.tracking_uri):
        client = dev.client()
        version = client.get_model_version("plain-model", "1")
        client.create_registered_model("other")
        client.create_model_version("other", version.source, version.run_id)
    with pytest.raises(mlporter.ConflictError):
        mlporter.promote("models:/other/1", dev.tracking_uri, target, **ASKED, **files)


@pytest.mark.parametrize("prod", ["sqlite", "server"], indirect=True)
def test_a_model_of_the_target_s_own_gets_a_version_and_keeps_the_rest(dev, prod, root) -> None:
    """Its description, its tags, its versions."""
    with mlflow_at(prod):
        client = MlflowClient(prod, prod)
        if prod.startswith("sqlite"):
            client.search_experiments()  # makes the database
        client.create_registered_model("prod-model", tags={"own": "yes"}, description="ours")
        run = client.create_run("0")
        client.create_model_version("prod-model", f"runs:/{run.info.run_id}/m", run.info.run_id)
        client.create_model_version("prod-model", f"runs:/{run.info.run_id}/m", run.info.run_id)
        client.delete_model_version("prod-model", "2")
    done = mlporter.promote(CANDIDATE, dev.tracking_uri, prod, **ASKED, **root(prod))
    # A server does not show that 2 was given out: 3 is used up to learn it.
    number = 4 if prod.startswith("http") else 3
    assert [one.target for one in done.versions] == [f"models:/prod-model/{number}"]
    with mlflow_at(prod):
        model = client.get_registered_model("prod-model")
        assert (model.description, model.tags["own"]) == ("ours", "yes")
        assert {alias: int(version) for alias, version in model.aliases.items()} == {
            "champion": number
        }
        versions = client.search_model_versions("name = 'prod-model'")
        assert {int(version.version) for version in versions} == {1, number}


@pytest.mark.parametrize("prod", ["sqlite", "server"], indirect=True)
def test_model_only_leaves_the_run_s_other_files(dev, prod, root) -> None:
    mlporter.promote(CANDIDATE, dev.tracking_uri, prod, model_only=True, **ASKED, **root(prod))
    with mlflow_at(prod):
        client = MlflowClient(prod, prod)
        version = client.get_model_version("prod-model", "1")
        assert [f.path for f in client.list_artifacts(version.run_id)] == ["promotions"]
    assert predictions(prod, "models:/prod-model/1") == [3.0, 6.0]


def test_keep_version_description_tags_and_reference(dev, tmp_path) -> None:
    target = sqlite_url(tmp_path / "prod.db")
    mlporter.promote(
        CANDIDATE,
        dev.tracking_uri,
        target,
        keep_version=True,
        description="for prod",
        tag=["team=b"],
        reference=True,
    )
    with mlflow_at(target):
        version = MlflowClient(target, target).get_model_version("plain-model", "3")
    assert (version.description, version.tags["team"]) == ("for prod", "b")
    assert predictions(target, "models:/plain-model/3") == [3.0, 6.0]
    with mlflow_at(dev.tracking_uri):
        client = dev.client()
        client.create_model_version("plain-model", version.source, version.run_id)
        other = sqlite_url(tmp_path / "other.db")
    mlporter.promote("models:/plain-model/2", dev.tracking_uri, other, keep_version=True,
                     reference=True)  # fmt: skip
    assert pointers(other, "plain-model")[1] == {"2": "None"}


def test_within_one_registry_under_another_name(dev, cli) -> None:
    before = row_counts(dev.tracking_uri)
    done = mlporter.promote(CANDIDATE, dev.tracking_uri, dev.tracking_uri, **ASKED)
    assert done.exit_code == 0
    assert pointers(dev.tracking_uri) == ({"champion": 1}, {"1": "Production"})
    assert predictions(dev.tracking_uri, "models:/prod-model@champion") == [3.0, 6.0]
    grown = {
        table: count - before[table]
        for table, count in row_counts(dev.tracking_uri).items()
        if count != before[table]
    }
    assert grown.keys() <= {
        "registered_models",
        "registered_model_aliases",
        "model_versions",
        "model_version_tags",
        "logged_model_tags",
    }
    with pytest.raises(mlporter.UsageError):
        mlporter.promote(CANDIDATE, dev.tracking_uri, dev.tracking_uri)


def test_within_one_server(dev, server, monkeypatch) -> None:
    mlporter.promote(CANDIDATE, dev.tracking_uri, server.address)
    asked, really = [], Client._answer

    def recording(self: Client, method: str, path: str, **options: Any) -> Any:
        asked.append((method, path))
        return really(self, method, path, **options)

    monkeypatch.setattr(Client, "_answer", recording)
    done = mlporter.promote("models:/plain-model/1", server.address, server.address, **ASKED)
    assert done.exit_code == 0
    assert pointers(server.address) == ({"champion": 1}, {"1": "Production"})
    assert predictions(server.address, "models:/prod-model@champion") == [3.0, 6.0]
    assert server.rows("SELECT count(*) FROM runs") == [(1,)]
    # What it can do is asked for once, however often it is opened.
    offers = [path for method, path in asked if method == "OPTIONS"]
    assert len(offers) == len(set(offers)) > 0


def test_from_a_bundle_and_from_a_server(dev, server, tmp_path, quick_loads) -> None:
    one = {"models": ["plain-model"], "versions": ["@candidate"]}
    mlporter.export(dev.tracking_uri, tmp_path / "bundle", selection=one)
    first = sqlite_url(tmp_path / "first.db")
    files = {"artifact_root": tmp_path / "root"}
    mlporter.promote(CANDIDATE, tmp_path / "bundle", first, **ASKED, **files, load_check=True)
    mlporter.promote("models:/prod-model@champion", first, server.address, alias=["best"])
    second = sqlite_url(tmp_path / "second.db")
    files = {"artifact_root": tmp_path / "root2"}
    mlporter.promote("models:/prod-model@best", server.address, second, alias=["x"], **files)
    assert predictions(second, "models:/prod-model@x") == [3.0, 6.0]


def test_from_a_bundle_that_left_things_out_into_a_database_in_use(mlflow_sqlite, tmp_path) -> None:
    """Its secrets and the files of others stop no promotion of a model that has none of them."""
    bundle = Path(__file__).parents[2] / "samples" / "bundle-format-1"
    target = sqlite_url(mlflow_sqlite)
    files = {"artifact_root": tmp_path / "root"}
    mlporter.import_(bundle, target, **files)
    done = mlporter.promote("models:/rich-model/1", bundle, target, name="other", **files)
    assert (done.exit_code, done.versions[0].status) == (0, "promoted")


def test_all_versions_of_a_model(dev, tmp_path) -> None:
    target = sqlite_url(tmp_path / "prod.db")
    done = mlporter.promote(
        "models:/plain-model", dev.tracking_uri, target, artifact_root=tmp_path / "root"
    )
    assert [one.target for one in done.versions] == [f"models:/plain-model/{n}" for n in (1, 2, 3)]
    assert len(done.receipts) == 3
    with pytest.raises(mlporter.UsageError):
        mlporter.promote("models:/plain-model", dev.tracking_uri, target, alias=["a"])


def test_a_target_that_changed_between_plan_and_write(dev, tmp_path, monkeypatch) -> None:
    """Somebody moves the alias after it was looked at: it is not taken from them."""
    from mlporter.promotion import finishing  # noqa: PLC0415

    target, files = sqlite_url(tmp_path / "prod.db"), {"artifact_root": tmp_path / "root"}
    mlporter.promote("models:/plain-model/1", dev.tracking_uri, target, **ASKED, **files)
    mlporter.promote("models:/plain-model/2", dev.tracking_uri, target, name="prod-model", **files)
    really = finishing.move_pointers

    def moved(*args: Any, **options: Any) -> None:
        with mlflow_at(target):
            client = MlflowClient(target, target)
            client.set_registered_model_alias("prod-model", "champion", "2")
        really(*args, **options)

    monkeypatch.setattr(finishing, "move_pointers", moved)
    with pytest.raises(mlporter.RefusedError):
        mlporter.promote(CANDIDATE, dev.tracking_uri, target, **ASKED, **files)
    assert pointers(target)[0] == {"champion": 2}


@pytest.mark.parametrize("with_parents", [True, False])
def test_parents_come_if_asked_for(dev, tmp_path, with_parents) -> None:
    with mlflow_at(dev.tracking_uri):
        client = dev.client()
        parent = client.create_run(dev.experiment_id, run_name="parent").info.run_id
        client.set_tag(dev.model_run_id, "mlflow.parentRunId", parent)
    target = sqlite_url(tmp_path / "prod.db")
    mlporter.promote(
        CANDIDATE,
        dev.tracking_uri,
        target,
        artifact_root=tmp_path / "root",
        with_parents=with_parents,
    )
    with mlflow_at(target):
        client = MlflowClient(target, target)
        experiment = client.get_experiment_by_name("plain").experiment_id
        names = {run.info.run_name for run in client.search_runs([experiment])}
    assert names == ({"models", "parent"} if with_parents else {"models"})


def test_of_several_none_is_carried_if_a_gate_of_one_is_closed(dev, tmp_path, cli) -> None:
    target = sqlite_url(tmp_path / "prod.db")
    command = ["promote", CANDIDATE, "models:/plain-model/1", "--from", dev.tracking_uri]
    command += ["--to", target, "--artifact-root", str(tmp_path / "root")]
    closed = cli(*command, "--require-tag", "validated=yes")
    assert closed.code == 4
    assert "plain-model/1" in closed.err
    both = cli(*command, "--require-tag", "validated=no")
    assert both.code == 4
    assert both.err.count("tag validated") == 2
    assert not (tmp_path / "prod.db").exists()
    done = cli(*command, "--json")
    assert done.code == 0
    quiet = cli(*command, "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    promoted = json.loads(done.out)["versions"]
    assert [one["target"] for one in promoted] == ["models:/plain-model/1", "models:/plain-model/2"]
    assert {int(one["source"][-1]) for one in promoted} == {1, 3}


def test_a_dry_run_says_where_alias_and_stage_would_go(dev, tmp_path, cli) -> None:
    target = sqlite_url(tmp_path / "prod.db")
    shown = cli("promote", CANDIDATE, "--from", dev.tracking_uri, "--to", target, "--alias=best",
                "--stage=Production", "--artifact-root", str(tmp_path / "root"), "-n")  # fmt: skip
    assert shown.code == 0
    assert "@best" in shown.out
    assert "Production" in shown.out
    assert not (tmp_path / "prod.db").exists()
    assert not (tmp_path / "root").exists()


def test_a_run_that_was_edited_in_the_target_is_a_conflict(dev, tmp_path) -> None:
    target, files = sqlite_url(tmp_path / "prod.db"), {"artifact_root": tmp_path / "root"}
    mlporter.promote("models:/plain-model/1", dev.tracking_uri, target, **ASKED, **files)
    with mlflow_at(target):
        client = MlflowClient(target, target)
        client.set_tag(dev.model_run_id, "team", "edited in prod")
    with mlflow_at(dev.tracking_uri):
        dev.client().set_tag(dev.model_run_id, "team", "edited in dev")
    with pytest.raises(mlporter.ConflictError):
        mlporter.promote(CANDIDATE, dev.tracking_uri, target, **ASKED, **files)
    assert pointers(target) == ({"champion": 1}, {"1": "Production"})
    with mlflow_at(target):
        assert client.get_run(dev.model_run_id).data.tags["team"] == "edited in prod"
