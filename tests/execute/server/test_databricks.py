"""Databricks, as far as public sources tell its rules: see `tests.support.databricks`."""

from __future__ import annotations

import mlflow
import pytest

import mlporter
from tests.support.databricks import HOME, TOKEN, USER, databricks
from tests.support.mlflow_session import mlflow_at
from tests.support.plain_registry import PLAIN_FACTORS
from tests.support.rich_models import EXAMPLE_INPUT

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def lab(server, tmp_path, monkeypatch):
    """The stand-in, and a profile ``lab`` for it."""
    with databricks(server.address) as stand_in:
        stand_in.profile(tmp_path / "databrickscfg")
        monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "databrickscfg"))
        yield stand_in


def changes(stand_in):
    """Requests that change something."""
    reads = ("/search", "credentials-for-read", "credentials-for-download")
    return [one for one in stand_in.came if not one.startswith("GET ") and not one.endswith(reads)]


def test_a_registry_arrives_and_comes_back(plain_sqlite, lab, cli, server, tmp_path):
    name, before = plain_sqlite.model_name, plain_sqlite.client()
    words = ("copy", plain_sqlite.tracking_uri, "databricks://lab", "--rename-prefix", f"{HOME}/")
    first = cli(*words)
    assert first.code == 0, first.err
    assert "Databricks names whoever makes a run as its user" in " ".join(first.err.split())
    for run_id in plain_sqlite.run_ids:
        old, new = before.get_run(run_id), server.copy_of(run_id)
        assert new.data.params == old.data.params
        assert new.data.metrics == old.data.metrics
        assert (new.info.start_time, new.info.end_time) == (old.info.start_time, old.info.end_time)
        assert new.info.user_id == new.data.tags["mlflow.user"] == USER
    names = {e.name for e in server.client().search_experiments()}
    assert names == {"Default", f"{HOME}/Default", f"{HOME}/{plain_sqlite.experiment_name}"}
    with mlflow_at(server.address):
        for number, factor in PLAIN_FACTORS.items():
            found = mlflow.pyfunc.load_model(f"models:/{name}/{number}").predict(EXAMPLE_INPUT)
            assert list(found) == [factor * x for x in EXAMPLE_INPUT]

    lab.came.clear()
    again = cli(*words, "--json")
    assert again.code == 0
    assert changes(lab) == []

    # Read through Databricks it is what its server has, files included.
    assert cli("export", "databricks://lab", tmp_path / "backup").code == 0
    report = mlporter.diff(str(tmp_path / "backup"), server.address)
    different = {table for table, counts in report.tables.items() if counts.different}
    # Nothing but where files are, which each of the two says in its own words.
    assert different <= {"experiments", "runs", "logged_models", "model_versions"}
    assert {d.sigil for d in report.differences} <= {"*"}


def test_names_must_be_paths_and_the_hint_says_how(plain_sqlite, lab, cli, server):
    done = cli("copy", plain_sqlite.tracking_uri, "databricks://lab")
    assert done.code == 4
    assert f"experiment '{plain_sqlite.experiment_name}'" in done.err
    assert "--rename-prefix" in done.err
    assert changes(lab) == []


def test_folders_are_made(plain_sqlite, lab, cli, server):
    words = ("--rename-prefix", "/Shared/from/elsewhere/", "--artifacts", "none")
    assert cli("copy", plain_sqlite.tracking_uri, "databricks://lab", *words).code == 0
    assert "/Shared/from/elsewhere" in lab.folders
    assert server.client().get_experiment_by_name("/Shared/from/elsewhere/plain") is not None


def test_what_it_does_not_take_is_listed_by_name(plain_sqlite, lab, cli, server):
    """Deleted logged models, tags of its own, and spans, which go elsewhere there."""
    client, run = plain_sqlite.client(), plain_sqlite.run_ids[0]
    client.set_tag(run, "mlflow.log-model.history", "[]")
    gone = client.create_logged_model(plain_sqlite.experiment_id, "gone").model_id
    client.delete_logged_model(gone)
    with mlflow_at(plain_sqlite.tracking_uri):
        mlflow.set_experiment(experiment_id=plain_sqlite.experiment_id)
        with mlflow.start_span("root") as span:
            span.set_inputs({"q": 1})
    words = ("--rename-prefix", "/Shared/", "--artifacts", "none", "--json")
    for _ in range(2):
        done = cli("copy", plain_sqlite.tracking_uri, "databricks://lab", *words)
        assert done.code == 3
        left = {
            (item["kind"], item["id"], item["path"])
            for item in done.json["left_out"]["first"]
            if not item["expected"]
        }
        assert ("logged_model", gone, "") in left
        assert ("run", run, "tags/mlflow.log-model.history") in left
        assert ("trace", span.trace_id, "spans") in left
    tags = server.copy_of(run).data.tags
    assert "mlflow.log-model.history" not in tags
    assert tags["team"] == "a"
    assert server.rows("SELECT count(*) FROM logged_models") == [(3,)]


def test_host_and_token_from_the_environment(plain_sqlite, lab, cli, monkeypatch):
    monkeypatch.setenv("DATABRICKS_HOST", lab.address)
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    seen = cli("inspect", "databricks")
    assert seen.code == 0, seen.err
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-of-somebody")
    denied = cli("inspect", "databricks")
    assert denied.code == 6
    assert "Invalid access token" in denied.err
    assert "dapi-of-somebody" not in denied.err


def test_a_profile_that_is_not_there(lab, cli):
    done = cli("inspect", "databricks://nobody")
    assert done.code == 6
    assert "nobody" in done.err
    assert "profile" in done.err
