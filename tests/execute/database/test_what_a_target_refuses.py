"""Values that break a rule of the target's schema: the dry run says so, and nobody else has to."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

import mlporter
from mlporter.errors import RefusedError
from tests.support.databases import dump
from tests.support.mlflow_session import sqlite_url


def loosened(path, table, change, *statements):
    """Change the definition of a table, so that it takes what MLflow's would not, and put it in."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA writable_schema = ON")
        (sql,) = database.execute(
            "SELECT sql FROM sqlite_master WHERE name = ? AND type = 'table'", (table,)
        ).fetchone()
        assert change[0] in sql, sql
        database.execute(
            "UPDATE sqlite_master SET sql = ? WHERE name = ? AND type = 'table'",
            (sql.replace(*change), table),
        )
        database.commit()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            database.execute(statement)
        database.commit()


def names_twice(path):
    loosened(
        path,
        "label_schemas",
        ("UNIQUE (experiment_id, name)", "UNIQUE (experiment_id, name, schema_id)"),
        "INSERT INTO label_schemas SELECT 'another', experiment_id, name, type, instruction, "
        "enable_comment, input_type, input_config, created_by, created_time, last_update_time, "
        "is_default FROM label_schemas LIMIT 1",
    )
    return "label_schemas", "another row has the same experiment_id, name"


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("engine", ["sqlite", "postgres_url", "mysql_url"])
def test_it_is_named_by_the_dry_run_and_refused(rich_sqlite, request, fresh, engine):
    target = request.getfixturevalue(f"mlflow_{engine}")
    target = target if engine != "sqlite" else sqlite_url(target)
    if not fresh:
        mlporter.copy(
            rich_sqlite.tracking_uri, target, artifacts="none", selection={"only": ["models"]}
        )
    table, why = names_twice(rich_sqlite.tracking_uri.removeprefix("sqlite:///"))
    before = dump(target)
    wanted = {"artifacts": "none"}
    plan = mlporter.copy(rich_sqlite.tracking_uri, target, dry_run=True, **wanted)
    assert plan.exit_code == 4
    assert any(reason.startswith(table) and why in reason for reason in plan.misfits), plan.misfits
    with pytest.raises(RefusedError) as refused:
        mlporter.copy(rich_sqlite.tracking_uri, target, **wanted)
    assert refused.value.reasons == plan.misfits
    assert dump(target) == before
