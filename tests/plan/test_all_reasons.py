"""Everything that stands against an import is found before the first write, and named together."""

from __future__ import annotations

import pytest

import mlporter
from mlporter.cli.app import run
from mlporter.errors import ConflictError, ExitCode, RefusedError
from tests.support.databases import dump, execute, tree
from tests.support.mlflow_session import sqlite_url

# MLflow's column for the artifact URI of a run (dbmodels/models.py, SqlRun.artifact_uri).
LONGEST_URI = 200


@pytest.fixture
def source(plain_sqlite):
    """A registry with a NUL in a tag, and a run one of whose files cannot be read."""
    root = plain_sqlite.database_path.parent
    (folder,) = [p for p in root.rglob("artifacts") if plain_sqlite.run_ids[0] in str(p)]
    (folder / "loop").symlink_to(folder / "loop")
    execute(
        plain_sqlite.tracking_uri,
        f"INSERT INTO tags (run_uuid, key, value) VALUES ('{plain_sqlite.run_ids[-1]}', 'nul',"
        " 'a' || char(0) || 'b')",
    )
    return plain_sqlite


def test_conflicts_misfits_and_unreadable_files(source, mlflow_postgres_url, tmp_path):
    target = mlflow_postgres_url
    mlporter.copy(
        source.tracking_uri,
        target,
        artifact_root=str(tmp_path / "root"),
        selection=mlporter.Selection(runs=(source.run_ids[0],)),
    )
    execute(target, "UPDATE params SET value = 'other'")
    before, files = dump(target), tree(tmp_path / "root")
    wishes = {
        "artifact_root": str(tmp_path / "root" / ("x" * LONGEST_URI)),
        "strict_artifacts": True,
    }
    plan = mlporter.copy(source.tracking_uri, target, dry_run=True, **wishes)
    assert plan.exit_code == ExitCode.REFUSED
    assert [conflict.id for conflict in plan.conflicts] == [source.run_ids[0]]
    assert any("artifact_uri" in reason and "200" in reason for reason in plan.misfits)
    assert any("NUL" in reason for reason in plan.misfits)
    with pytest.raises(ConflictError) as caught:
        mlporter.copy(source.tracking_uri, target, **wishes)
    said = caught.value.reasons
    assert said == (*map(str, plan.conflicts), *plan.misfits, *plan.unreadable)
    assert dump(target) == before
    assert tree(tmp_path / "root") == files


def test_files_of_what_is_there_already_do_not_matter(source, mlflow_sqlite, tmp_path):
    target, root = sqlite_url(mlflow_sqlite), str(tmp_path / "root")
    with pytest.raises(RefusedError, match="1 artifact is missing or unreadable"):
        mlporter.copy(source.tracking_uri, target, artifact_root=root, strict_artifacts=True)
    mlporter.copy(source.tracking_uri, target, artifact_root=root)
    again = mlporter.copy(source.tracking_uri, target, artifact_root=root, strict_artifacts=True)
    assert again.rows == 0
    assert {item.reason for item in again.left_out.first if not item.expected} == {"nul"}


def test_a_plan_names_files_that_cannot_be_read(source, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    target = f"sqlite:///{tmp_path}/new.db"
    options = ("--artifact-root", str(tmp_path / "root"), "--strict-artifacts", "--dry-run")
    assert run(["copy", source.tracking_uri, target, *options]) == ExitCode.REFUSED
    out = capsys.readouterr().out
    assert f"{source.run_ids[0]}/loop: unreadable" in out
    assert "Would be refused (exit 4): artifacts that cannot be read." in out
