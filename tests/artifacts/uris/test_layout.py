# ruff: noqa: PLC0415 -- importing MLflow takes seconds, which the other tests can save
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlporter.artifacts.uris import layout
from mlporter.artifacts.uris.uri_text import local_path
from mlporter.errors import UsageError


@pytest.mark.parametrize(
    "root",
    ["/srv/x", "/srv/x/", "./x", "x/y", "../x", "x%20y", "file:///srv/x", "file:x", "file:./x?q=1",
     "s3://b/x", "s3://b", "mlflow-artifacts:/", "gs://b/x?a=b", "dbfs:/x", "C:\\x", "/a b"],
)  # fmt: skip
def test_roots_are_stored_as_mlflow_stores_them(root):
    from mlflow.utils.uri import resolve_uri_if_local

    assert layout.normalise_root(root) == resolve_uri_if_local(root)


@pytest.mark.parametrize("root", ["", " ", "file://nas/x"])
def test_roots_that_cannot_be(root):
    with pytest.raises(UsageError):
        layout.normalise_root(root)


@pytest.mark.parametrize("root", ["/tmp/mlporter/x", "./x", "file:///tmp/x/", "s3://b/x?v=1"])
def test_owners_lie_where_mlflow_puts_them(root, mlflow_sqlite):
    from mlflow.entities import TraceInfo, TraceLocation, TraceState
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{mlflow_sqlite}", root)
    experiment = store.get_experiment(store.create_experiment("new"))
    run = store.create_run(experiment.experiment_id, "me", 0, [], "r").info
    model = store.create_logged_model(experiment.experiment_id, "m")
    trace = store.start_trace(
        TraceInfo(
            trace_id="tr-1",
            trace_location=TraceLocation.from_experiment_id(experiment.experiment_id),
            request_time=0,
            state=TraceState.OK,
        )
    )

    ours = layout.experiment_root(layout.normalise_root(root), experiment.experiment_id)
    assert ours == experiment.artifact_location
    assert layout.run_root(ours, run.run_id) == run.artifact_uri
    assert layout.logged_model_root(ours, model.model_id) == model.artifact_location
    assert layout.trace_root(ours, "tr-1") == trace.tags["mlflow.artifactLocation"]


def test_other_workspaces_have_a_folder_of_their_own():
    assert layout.experiment_root("/r", 3, "team-b") == "/r/workspaces/team-b/3"
    assert layout.experiment_root("/r", 3, "default") == "/r/3"


@pytest.mark.parametrize("evil", ["../../etc", "..", "", "%2e%2e%2f%2e%2e%2fx", "/etc", "a/../b"])
def test_no_id_leads_out_of_the_artifact_root(evil):
    """A bundle may have been made to do harm; MLflow decodes ``%2e`` in local roots."""
    experiment = layout.experiment_root("/r", 1)
    for place in (
        layout.run_root(experiment, evil),
        layout.logged_model_root(experiment, evil),
        layout.trace_root(experiment, evil),
        layout.trace_archive_root(experiment, evil),
    ):
        assert place.startswith("/r/1/")
        assert ".." not in str(local_path(place)).split("/")
    for place in (
        layout.experiment_root("/r", evil, evil),
        layout.version_root("/r", evil, evil, evil),
    ):
        assert place.startswith("/r/")
        assert ".." not in str(local_path(place)).split("/")


def test_a_name_too_long_for_a_file_system_is_cut():
    long, other = "模" * 250, "模" * 249 + "型"
    assert len(layout.quote_name(long)) < 200
    assert layout.quote_name(long) != layout.quote_name(other)


def test_version_with_files_of_its_own():
    assert layout.version_root("s3://b", "churn", 3) == "s3://b/registered_models/churn/3"
    assert layout.version_root("/r", "My Model", 1, "b") == (
        "/r/workspaces/b/registered_models/My=20Model/1"
    )


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_no_two_names_share_a_folder_and_none_climbs(one, other):
    folder = layout.quote_name(one)
    assert (folder == layout.quote_name(other)) == (one == other)
    assert local_path(f"/r/{folder}") == Path("/r") / folder
    assert "/" not in folder
    assert not folder.startswith(".")
    assert 0 < len(folder) < 256
