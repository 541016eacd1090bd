"""The rich registry, merged into databases that are in use."""

from __future__ import annotations

import pytest

import mlporter
from mlporter.errors import ConflictError, ExitCode
from tests.plan.references import dangling
from tests.support.databases import dump, execute, rows
from tests.support.mlflow_session import sqlite_url


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def target(request):
    """An empty database of MLflow's."""
    if request.param == "sqlite":
        return sqlite_url(request.getfixturevalue("mlflow_sqlite"))
    names = {"postgresql": "mlflow_postgres_url", "mysql": "mlflow_mysql_url"}
    return request.getfixturevalue(names[request.param])


def counts(result):
    return {t.table: (t.copied, t.already_there, t.skipped) for t in result.tables}


def test_the_second_time_nothing_changes(rich_sqlite, target, tmp_path):
    root = str(tmp_path / "root")
    first = mlporter.copy(rich_sqlite.tracking_uri, target, artifact_root=root)
    before = dump(target)
    again = mlporter.copy(rich_sqlite.tracking_uri, target, artifact_root=root)
    assert dump(target) == before
    assert again.rows == 0
    assert not again.fresh
    assert again.files.files == 0
    for table, (carried, there, skipped) in counts(again).items():
        was = counts(first)[table]
        assert (carried, there, skipped) == (0, was[0], was[2]), table


def test_everything_beside_what_is_there(rich_sqlite, target, tmp_path):
    """Every experiment and model under another name: everything that has an id gets a new one."""
    root = str(tmp_path / "root")
    mlporter.copy(rich_sqlite.tracking_uri, target, artifact_root=root)
    before = dump(target)
    names = [name for (name,) in rows(target, "SELECT name FROM experiments")]
    names += [name for (name,) in rows(target, "SELECT name FROM registered_models")]
    renames = [f"{name}={name} restored" for name in dict.fromkeys(names) if "=" not in name]
    wishes = {"artifact_root": root, "on_conflict": "rename", "rename": renames}
    result = mlporter.copy(rich_sqlite.tracking_uri, target, **wishes)
    assert not result.conflicts
    after = dump(target)
    for table, lines in before.items():
        assert set(lines) <= set(after[table]), f"{table} was changed"
    assert set(dangling(target)) == set(dangling(rich_sqlite.tracking_uri))
    for table in ("runs", "metrics", "logged_models", "trace_info", "spans", "model_versions"):
        assert len(after[table]) == 2 * len(before[table]), table
    again = mlporter.copy(rich_sqlite.tracking_uri, target, **wishes)
    assert again.rows == 0
    assert dump(target) == after


def test_a_conflict_is_refused_and_every_byte_stays(rich_sqlite, target, tmp_path):
    root = str(tmp_path / "root")
    mlporter.copy(rich_sqlite.tracking_uri, target, artifact_root=root)
    execute(target, "UPDATE params SET value = 'other'", "UPDATE spans SET name = 'other'")
    before = dump(target)
    with pytest.raises(ConflictError) as caught:
        mlporter.copy(rich_sqlite.tracking_uri, target, artifact_root=root)
    assert caught.value.exit_code == ExitCode.REFUSED
    kinds = {reason.split()[0] for reason in caught.value.reasons}
    assert kinds == {"run", "trace"}
    assert dump(target) == before
    skipped = mlporter.copy(
        rich_sqlite.tracking_uri, target, artifact_root=root, on_conflict="skip"
    )
    assert skipped.exit_code == ExitCode.INCOMPLETE
    assert skipped.rows == 0
    assert dump(target) == before
