"""Log-ins and permissions: what tools that speak HTTP on their own account forget."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.troubled import CATALOGUE_MODEL, EXPERIMENT
from tests.support import basic_auth
from tests.support.basic_auth import ADMIN, ANN
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url
from tests.support.processes import mlflow_server


@pytest.fixture(scope="module")
def guarded(troubled, tmp_path_factory):
    """The troubled registry behind MLflow's log-in; ann may read its experiment."""
    server, registry = troubled
    folder = tmp_path_factory.mktemp("guarded")
    copy_sqlite(server.database, folder / "mlflow.db")
    settings = basic_auth.settings(folder)
    with mlflow_server(
        sqlite_url(folder / "mlflow.db"), folder / "files", *basic_auth.OPTIONS, **settings
    ) as address:
        basic_auth.make_ann(address, registry.experiment, folder)
        yield address


def as_user(monkeypatch, user, password):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)


def test_222_192_158_without_a_log_in_the_hint_names_the_settings(guarded, cli):
    done = cli("inspect", guarded)
    assert done.code == 6
    assert "401" in done.err
    assert "MLFLOW_TRACKING_USERNAME" in done.err


def test_222_192_158_a_wrong_password_is_never_shown(guarded, cli, monkeypatch):
    as_user(monkeypatch, ADMIN[0], "wr0ng-p4ssword")
    done = cli("inspect", guarded)
    assert done.code == 6
    assert "wr0ng-p4ssword" not in done.err


def test_222_158_models_behind_a_log_in(guarded, cli, monkeypatch, tmp_path):
    """Runs came over and models did not: their requests had no password."""
    as_user(monkeypatch, *ADMIN)
    words = ("--model", CATALOGUE_MODEL, "--artifacts", "none", "--json")
    done = cli("export", guarded, tmp_path / "bundle", *words)
    assert done.code == 0, done.err
    carried = {table["table"]: table["copied"] for table in done.json["tables"]}
    assert carried["model_versions"] == 1


def test_192_the_file_of_credentials(guarded, cli, monkeypatch, tmp_path):
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text(
        f"[mlflow]\nmlflow_tracking_username = {ADMIN[0]}\nmlflow_tracking_password = {ADMIN[1]}\n"
    )
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    done = cli("show", guarded, "experiments", "--json")
    assert done.code == 0, done.err
    assert EXPERIMENT in done.out


def test_69_176_174_what_one_may_not_write_is_refused_by_name(
    guarded, plain_sqlite, cli, monkeypatch
):
    """A 403 of the server: ann may read the experiment, and not write into it."""
    as_user(monkeypatch, *ANN)
    words = ("--run", plain_sqlite.run_ids[0], "--artifacts", "none")
    renamed = ("--rename", f"{plain_sqlite.experiment_name}={EXPERIMENT}")
    done = cli("copy", plain_sqlite.tracking_uri, guarded, *words, *renamed, "--json")
    assert done.code == 3, done.err
    denied = [item for item in done.json["left_out"]["first"] if item["reason"] == "denied"]
    assert ("runs", plain_sqlite.run_ids[0]) in {(item["kind"], item["id"]) for item in denied}
    assert not any(item["reason"] == "not-as-sent" for item in done.json["left_out"]["first"])
