"""Archived traces: MLflow moves their spans out of the database, into a file that a tag names."""

import time
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking._tracking_service.utils import _get_store

import mlporter
from tests.support.databases import execute
from tests.support.mlflow_session import mlflow_at

archival = pytest.importorskip(
    "mlflow.tracing.otel.otel_archival", reason="this MLflow does not archive traces yet"
)


@pytest.fixture
def archived(mlflow_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database in which a trace was archived by MLflow itself; its id."""
    (tmp_path / "artifacts").mkdir()
    with mlflow_at(f"sqlite:///{mlflow_sqlite}"):
        mlflow.set_experiment(
            experiment_id=mlflow.create_experiment("archive", f"{tmp_path}/artifacts/1")
        )
        with mlflow.start_span("outer") as span:
            span.set_inputs({"question": "where am I?"})
        store = _get_store()
        # MLflow archives what is older than a day; let a year pass.
        later = int(time.time() * 1000) + 365 * 86_400_000
        monkeypatch.setattr(store, "_get_archive_traces_now_millis", lambda: later)
        count = store.archive_traces(
            resolved_trace_archival_location=(tmp_path / "archive").as_uri(),
            broader_retention="1d",
        )
        assert count == 1
    return str(span.trace_id)


def test_the_payload_of_an_archived_trace_moves_with_it(
    archived: str, mlflow_sqlite: Path, tmp_path: Path
) -> None:
    source, target = f"sqlite:///{mlflow_sqlite}", f"sqlite:///{tmp_path}/new.db"
    bundle = str(tmp_path / "bundle")
    # Only MLflow's settings, which are not in the database, say where it archives.
    allow_root = [tmp_path / "archive"]
    assert mlporter.export(source, bundle, allow_root=allow_root).exit_code == 0
    assert mlporter.import_(bundle, target, artifact_root=str(tmp_path / "new")).exit_code == 0
    assert mlporter.diff(source, target, allow_root=allow_root).identical
    (tmp_path / "archive").rename(tmp_path / "away")
    with mlflow_at(target):
        trace = mlflow.get_trace(archived)
        assert trace is not None
        (span,) = trace.data.spans
        assert span.inputs == {"question": "where am I?"}


def test_a_payload_that_is_gone_is_named(
    archived: str, mlflow_sqlite: Path, tmp_path: Path
) -> None:
    for file in (tmp_path / "archive").rglob("*"):
        if file.is_file():
            file.unlink()
    url = f"sqlite:///{mlflow_sqlite}"
    execute(url, f"UPDATE workspaces SET trace_archival_location = '{tmp_path}/archive'")
    result = mlporter.export(url, str(tmp_path / "bundle"))
    assert result.exit_code == 3
    assert [(item.kind, item.id, item.reason) for item in result.left_out.first][:1] == [
        ("trace_archive", archived, "missing")
    ]


def test_the_archive_of_a_workspace_is_an_artifact_root(
    archived: str, mlflow_sqlite: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{mlflow_sqlite}"
    result = mlporter.export(url, str(tmp_path / "outside"))
    assert result.exit_code == 3
    assert [(item.kind, item.id, item.reason) for item in result.left_out.first][:1] == [
        ("trace_archive", archived, "outside")
    ]
    archive = (tmp_path / "archive").as_uri()
    execute(url, f"UPDATE workspaces SET trace_archival_location = '{archive}'")
    assert mlporter.export(url, str(tmp_path / "inside")).exit_code == 0
