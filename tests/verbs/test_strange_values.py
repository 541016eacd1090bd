"""Values that their columns' types do not have: each is named, and the rest goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

import mlporter
from mlporter.errors import ExitCode
from mlporter.stores.database.engines import sqlite
from tests.support.databases import execute, rows
from tests.support.mlflow_session import sqlite_url

RUN = "run_uuid, name, experiment_id, status, lifecycle_stage, artifact_uri, start_time, end_time"
METRIC = "run_uuid, key, value, timestamp, step, is_nan"
UNCHECKED = "PRAGMA ignore_check_constraints = ON"
STRANGE = (
    # What is stored, the table, the id that names it, the column, what is carried.
    ("UPDATE runs SET start_time = 'yesterday' WHERE run_uuid = 'r1'", "runs", "r1", "start_time"),
    ("UPDATE runs SET end_time = 1.5 WHERE run_uuid = 'r1'", "runs", "r1", "end_time"),
    ("UPDATE runs SET end_time = 1e30 WHERE run_uuid = 'r2'", "runs", "r2", "end_time"),
    ("UPDATE runs SET end_time = x'00ff' WHERE run_uuid = 'r3'", "runs", "r3", "end_time"),
    ("UPDATE runs SET name = x'6e616d65' WHERE run_uuid = 'r1'", "runs", "r1", "name"),
    ("UPDATE runs SET name = CAST(x'fffe41' AS TEXT) WHERE run_uuid = 'r2'", "runs", "r2", "name"),
    (f"INSERT INTO metrics ({METRIC}) VALUES ('r1', 'm', 'high', 1, 0, 0)",
     "metrics", "r1/m/0/1/high/0", "value"),
    (f"INSERT INTO metrics ({METRIC}) VALUES ('r1', 'm', 0.5, 'noon', 0, 0)",
     "metrics", "r1/m/0/noon/0.5/0", "timestamp"),
    (f"INSERT INTO metrics ({METRIC}) VALUES ('r1', 'm', 0.5, 1, 0, 'yes')",
     "metrics", "r1/m/0/1/0.5/yes", "is_nan"),
    (f"INSERT INTO metrics ({METRIC}) VALUES ('r1', 'm', 0.5, 2, 0, 7)",
     "metrics", "r1/m/0/2/0.5/7", "is_nan"),
    ("INSERT INTO params (run_uuid, key, value) VALUES ('r1', 'p', CAST(x'6cff' AS TEXT))",
     "params", "r1/p", "value"),
    ("INSERT INTO params (run_uuid, key, value) VALUES ('r1', CAST(x'6cff' AS TEXT), 'v')",
     "params", "r1/l\\xff", "key"),
)  # fmt: skip


@pytest.fixture
def registry(mlflow_sqlite):
    """Three runs, each with a parameter and a metric, and nothing strange."""
    url = sqlite_url(mlflow_sqlite)
    for name in ("r1", "r2", "r3"):
        execute(
            url,
            f"INSERT INTO runs ({RUN}) VALUES ('{name}', '{name}', 0, 'FINISHED', 'active', '',"
            " 1, 2)",
            f"INSERT INTO params (run_uuid, key, value) VALUES ('{name}', 'good', 'v')",
            f"INSERT INTO metrics ({METRIC}) VALUES ('{name}', 'good', 0.25, 1, 0, 0)",
        )
    return url


def named(result):
    return {
        (item.kind, item.id, item.path): item.detail
        for item in result.left_out.first
        if not item.expected and item.id != "latest_metrics"  # these are made anew
    }


def test_each_is_named_with_table_key_and_column(registry, tmp_path):
    execute(registry, UNCHECKED, *(statement for statement, *_ in STRANGE))
    new = f"sqlite:///{tmp_path}/new.db"
    exported = mlporter.export(registry, tmp_path / "bundle")
    planned = mlporter.copy(registry, new, artifacts="none", dry_run=True)
    copied = mlporter.copy(registry, new, artifacts="none")
    again = mlporter.copy(registry, new, artifacts="none")
    for result in (exported, planned, copied, again):
        assert result.exit_code == ExitCode.INCOMPLETE
        assert set(named(result)) == {tuple(where) for _, *where in STRANGE}
    assert planned.rows == copied.rows
    assert again.rows == 0
    assert mlporter.verify(tmp_path / "bundle").exit_code == 0
    with mlporter.open(tmp_path / "bundle") as bundle:
        left = bundle.read("left_out").read_all().to_pylist()
    assert {(row["kind"], row["id"], row["path"]) for row in left} >= set(named(exported))


def test_what_is_carried_in_their_place(registry, tmp_path):
    execute(registry, UNCHECKED, *(statement for statement, *_ in STRANGE))
    details = named(mlporter.export(registry, tmp_path / "bundle"))
    assert len(details) == len(STRANGE)
    with mlporter.open(tmp_path / "bundle") as bundle:
        runs = {row["run_uuid"]: row for row in bundle.read("runs").read_all().to_pylist()}
        params = {
            (row["run_uuid"], row["key"]): row["value"]
            for row in bundle.read("params").read_all().to_pylist()
        }
        metrics = [
            (row["run_uuid"], row["timestamp"], row["is_nan"])
            for row in bundle.read("metrics").read_all().to_pylist()
            if row["key"] == "m"
        ]
    assert [runs[name]["start_time"] for name in ("r1", "r2", "r3")] == [None, 1, 1]
    assert [runs[name]["end_time"] for name in ("r1", "r2", "r3")] == [None, None, None]
    assert [runs[name]["name"] for name in ("r1", "r2", "r3")] == ["name", "\\xff\\xfeA", "r3"]
    assert params["r1", "p"] == "l\\xff"
    assert not any("\xff" in key or "\\" in key for _, key in params)
    assert metrics == [("r1", 2, True)]
    assert "copied as '\\xff\\xfeA'" in details["runs", "r2", "name"]
    assert "NULL" in details["runs", "r1", "start_time"]
    assert "left out" in details["metrics", "r1/m/0/1/high/0", "value"]


def test_far_down_in_a_long_table(registry, tmp_path, monkeypatch):
    """The driver has told the type of a column by then, and stops in the middle."""
    monkeypatch.setattr(sqlite, "_MOST_ROWS", 500)
    with closing(sqlite3.connect(registry.removeprefix("sqlite:///"))) as base:
        base.executemany(
            f"INSERT INTO metrics ({METRIC}) VALUES ('r2', 'long', ?, ?, 0, 0)",
            ((n / 7, n) for n in range(3_000)),
        )
        base.execute("UPDATE metrics SET value = 'odd' WHERE key = 'long' AND timestamp = 2990")
        base.commit()
    result = mlporter.export(registry, tmp_path / "bundle")
    assert list(named(result)) == [("metrics", "r2/long/0/2990/odd/0", "value")]
    with mlporter.open(tmp_path / "bundle") as bundle:
        assert bundle.count("metrics") == 3_002
        batch = bundle.read("metrics").read_all()
    values = {row["timestamp"]: row["value"] for row in batch.to_pylist() if row["key"] == "long"}
    assert values == {n: n / 7 for n in range(3_000) if n != 2990}


def test_words_that_read_like_numbers_are_none(registry, tmp_path):
    execute(
        registry,
        "UPDATE runs SET start_time = '0x10' WHERE run_uuid = 'r1'",
        f"INSERT INTO metrics ({METRIC}) VALUES ('r1', 'm', 'nan', 1, 0, 0)",
        f"INSERT INTO metrics ({METRIC}) VALUES ('r1', 'third', 0.3333333333333333, 1, 0, 0)",
    )
    result = mlporter.export(registry, tmp_path / "bundle")
    assert len(named(result)) == 2
    with mlporter.open(tmp_path / "bundle") as bundle:
        metrics = bundle.read("metrics").read_all().to_pylist()
    assert [row["value"] for row in metrics if row["run_uuid"] == "r1"] == [
        0.25,
        0.3333333333333333,
    ]


def test_only_those_of_what_is_selected(registry, tmp_path):
    execute(
        registry,
        "UPDATE runs SET start_time = 'yesterday' WHERE run_uuid = 'r1'",
        "UPDATE params SET value = CAST(x'ff' AS TEXT) WHERE run_uuid = 'r1'",
        "UPDATE params SET value = CAST(x'fe' AS TEXT) WHERE run_uuid = 'r2'",
        f"INSERT INTO metrics ({METRIC}) VALUES ('r2', 'm', 'high', 1, 0, 0)",
    )
    result = mlporter.export(registry, tmp_path / "bundle", selection={"runs": ["r2"]})
    assert set(named(result)) == {
        ("params", "r2/good", "value"),
        ("metrics", "r2/m/0/1/high/0", "value"),
    }
    copied = mlporter.copy(
        registry, f"sqlite:///{tmp_path}/new.db", artifacts="none", selection={"runs": ["r2"]}
    )
    assert named(copied) == named(result)


def test_looking_at_such_a_registry_does_not_fail(registry, cli, tmp_path):
    execute(registry, UNCHECKED, *(statement for statement, *_ in STRANGE))
    mlporter.export(registry, tmp_path / "bundle")
    assert cli("inspect", registry).code == 0
    for table in ("runs", "params", "metrics"):
        assert cli("show", registry, table, "--json").code == 0
        assert cli("show", registry, table).code == 0
    report = mlporter.diff(registry, tmp_path / "bundle")
    assert {found.sigil for found in report.differences} == {"!"}
    assert report.exit_code == ExitCode.DIFFERENT


def test_a_secret_that_does_not_fit_is_not_quoted(mlflow_sqlite, tmp_path):
    url = sqlite_url(mlflow_sqlite)
    execute(
        url,
        "INSERT INTO webhooks (webhook_id, name, url, status, secret, creation_timestamp,"
        " last_updated_timestamp, workspace) VALUES ('w', 'n', 'http://h', 'ACTIVE',"
        " CAST(x'68756e74657232ff' AS TEXT), 1, 1, 'default')",
    )
    result = mlporter.export(url, tmp_path / "bundle", include_secrets=True)
    details = named(result)
    assert ("webhooks", "w", "secret") in details
    assert "hunter" not in str(result.as_dict())


def test_points_are_read_once_by_a_copy_that_finds_none_that_do_not_fit(registry, tmp_path):
    """Of a registry most rows are points: whose they are, and that all are, is counted."""
    execute(registry, f"INSERT INTO metrics ({METRIC}) VALUES ('r1', 'good', 0.5, 2, 1, 0)")
    looked = {}

    def note(step, done, *_):
        looked[step] = max(done, looked.get(step, 0))

    mlporter.copy(registry, f"sqlite:///{tmp_path}/new.db", artifacts="none", on_progress=note)
    assert looked["looking through metrics"] == 3  # runs
    assert looked["writing metrics"] == 4


# --- NUL ------------------------------------------------------------------------------------------


def test_a_nul_character_is_carried_and_named(registry, tmp_path):
    execute(
        registry,
        "UPDATE params SET value = CAST(x'610062' AS TEXT) WHERE run_uuid = 'r2'",
        "UPDATE metrics SET key = CAST(x'6d00' AS TEXT) WHERE run_uuid = 'r3'",
    )
    bundle = tmp_path / "bundle"
    exported = mlporter.export(registry, bundle)
    assert exported.exit_code == ExitCode.INCOMPLETE
    assert set(named(exported)) == {
        ("value", "params/r2/good", "value"),
        ("value", "metrics/r3/m\0/0/1/0.25/False", "key"),
    }
    copied = mlporter.copy(registry, f"sqlite:///{tmp_path}/copy.db", artifacts="none")
    assert named(copied) == named(exported)
    new = f"sqlite:///{tmp_path}/new.db"
    assert mlporter.import_(bundle, new, artifacts="none").exit_code == 0
    assert rows(new, "SELECT hex(value) FROM params WHERE run_uuid = 'r2'") == [("610062",)]
    assert mlporter.diff(registry, new).identical
    assert mlporter.verify(bundle, against=registry).exit_code == 0


# --- Engines that mind ----------------------------------------------------------------------------


def test_a_flag_of_mysql_that_is_neither_true_nor_false(mlflow_mysql_url, tmp_path):
    metric = METRIC.replace("key", "`key`")
    execute(
        mlflow_mysql_url,
        f"INSERT INTO runs ({RUN}) VALUES ('r1', 'r1', 0, 'FINISHED', 'active', '', 1, 2)",
        "SET SESSION check_constraint_checks = 0",
        f"INSERT INTO metrics ({metric}) VALUES ('r1', 'm', 0.5, 1, 0, 1)",
        f"INSERT INTO metrics ({metric}) VALUES ('r1', 'm', 0.5, 2, 0, 7)",
    )
    result = mlporter.export(mlflow_mysql_url, tmp_path / "bundle")
    assert list(named(result)) == [("metrics", "r1/m/0/2/0.5/7", "is_nan")]
    with mlporter.open(tmp_path / "bundle") as bundle:
        flags = [row["is_nan"] for row in bundle.read("metrics").read_all().to_pylist()]
    assert flags == [True, True]


def test_bytes_where_mysql_should_have_a_text(mlflow_mysql_url, tmp_path):
    execute(
        mlflow_mysql_url,
        f"INSERT INTO runs ({RUN}) VALUES ('r1', 'r1', 0, 'FINISHED', 'active', '', 1, 2)",
        "ALTER TABLE params MODIFY value VARBINARY(8000) NOT NULL",
        "INSERT INTO params (run_uuid, `key`, value) VALUES ('r1', 'p', x'6cff')",
        "INSERT INTO params (run_uuid, `key`, value) VALUES ('r1', 'q', 'good')",
    )
    result = mlporter.export(mlflow_mysql_url, tmp_path / "bundle")
    assert list(named(result)) == [("params", "r1/p", "value")]
    with mlporter.open(tmp_path / "bundle") as bundle:
        values = [row["value"] for row in bundle.read("params").read_all().to_pylist()]
    assert values == ["l\\xff", "good"]


def test_they_go_into_postgresql(registry, mlflow_postgres_url, tmp_path):
    execute(registry, UNCHECKED, *(statement for statement, *_ in STRANGE))
    mlporter.export(registry, tmp_path / "bundle")
    copied = mlporter.copy(registry, mlflow_postgres_url, artifacts="none")
    assert copied.exit_code == ExitCode.INCOMPLETE
    assert len(named(copied)) == len(STRANGE)
    imported = mlporter.import_(tmp_path / "bundle", mlflow_postgres_url, artifacts="none")
    assert (imported.exit_code, imported.rows) == (0, 0)
    assert rows(mlflow_postgres_url, "SELECT count(*) FROM runs") == [(3,)]
