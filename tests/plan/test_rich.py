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


def test_a_second_time_after_edits_and_beside_what_is_there(rich_sqlite, target, tmp_path):
    source, root = rich_sqlite.tracking_uri, str(tmp_path / "root")
    first = mlporter.copy(source, target, artifact_root=root)
    nothing_changes(source, target, root, counts(first))
    a_conflict_is_refused_and_every_byte_stays(source, target, root)
    everything_goes_beside_what_is_there(source, target, root)


def nothing_changes(source, target, root, was):
    before = dump(target)
    again = mlporter.copy(source, target, artifact_root=root)
    assert dump(target) == before
    assert again.rows == 0
    assert not again.fresh
    assert again.files.files == 0
    for table, found in counts(again).items():
        assert found == (0, was[table][0], was[table][2]), table


def a_conflict_is_refused_and_every_byte_stays(source, target, root):
    execute(target, "UPDATE params SET value = 'other'", "UPDATE spans SET name = 'other'")
    before = dump(target)
    with pytest.raises(ConflictError) as caught:
        mlporter.copy(source, target, artifact_root=root)
    assert caught.value.exit_code == ExitCode.REFUSED
    kinds = {reason.split()[0] for reason in caught.value.reasons}
    assert kinds == {"run", "trace"}
    assert dump(target) == before
    skipped = mlporter.copy(source, target, artifact_root=root, on_conflict="skip")
    assert skipped.exit_code == ExitCode.INCOMPLETE
    assert skipped.rows == 0
    assert dump(target) == before


def everything_goes_beside_what_is_there(source, target, root):
    """Every experiment and model under another name: everything that has an id gets a new one."""
    before = dump(target)
    names = [name for (name,) in rows(target, "SELECT name FROM experiments")]
    names += [name for (name,) in rows(target, "SELECT name FROM registered_models")]
    renames = [f"{name}={name} restored" for name in dict.fromkeys(names) if "=" not in name]
    wishes = {"artifact_root": root, "on_conflict": "rename", "rename": renames}
    result = mlporter.copy(source, target, **wishes)
    assert not result.conflicts
    after = dump(target)
    for table, lines in before.items():
        assert set(lines) <= set(after[table]), f"{table} was changed"
    assert set(dangling(target)) == set(dangling(source))
    for table in ("runs", "metrics", "logged_models", "trace_info", "spans", "model_versions"):
        assert len(after[table]) == 2 * len(before[table]), table
    again = mlporter.copy(source, target, **wishes)
    assert again.rows == 0
    assert dump(target) == after
