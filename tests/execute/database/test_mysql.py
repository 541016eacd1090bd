"""A registry goes into MariaDB and out of it whole, or is refused before anything is written."""

from __future__ import annotations

import json
import sys

import pytest

import mlporter
from mlporter.errors import ExitCode, MlporterError, RefusedError, RevisionError
from tests.support.databases import execute, row_counts, rows
from tests.support.mariadb import name_of
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.observed import differences, observe


def without_signed_zeros(seen):
    """Neither SQLite nor MariaDB keeps the sign of zero."""
    return json.loads(json.dumps(seen).replace('"-0.0"', '"0.0"'))


# --- Whole ----------------------------------------------------------------------------------------


def test_the_rich_registry_goes_to_mariadb_and_back_and_mlflow_sees_the_same(
    rich_bundle, rich_observed, mlflow_mysql_url, mlflow_sqlite, tmp_path
):
    there, back = mlflow_mysql_url, sqlite_url(mlflow_sqlite)
    result = mlporter.import_(str(rich_bundle), there, artifact_root=str(tmp_path / "there"))
    assert result.exit_code == 0
    assert mlporter.diff(str(rich_bundle), there).identical
    mlporter.export(there, str(tmp_path / "bundle"))
    result = mlporter.import_(str(tmp_path / "bundle"), back, artifact_root=str(tmp_path / "back"))
    assert result.exit_code == 0
    # Row by row: so MLflow sees there what it sees of the bundle in SQLite (verbs/test_round_trip).
    assert mlporter.diff(str(rich_bundle), back).identical
    assert differences(rich_observed, without_signed_zeros(observe(there))) == []


def test_postgresql_to_a_new_mariadb_database_and_a_second_time(
    rich_bundle, mlflow_postgres_url, empty_mysql_url, tmp_path
):
    mlporter.import_(str(rich_bundle), mlflow_postgres_url, artifact_root=str(tmp_path / "first"))
    root = str(tmp_path / "second")
    mlporter.copy(mlflow_postgres_url, empty_mysql_url, artifact_root=root)
    assert mlporter.diff(mlflow_postgres_url, empty_mysql_url).identical
    before = row_counts(empty_mysql_url)
    again = mlporter.copy(mlflow_postgres_url, empty_mysql_url, artifact_root=root)
    assert sum(table.copied for table in again.tables) == 0
    assert row_counts(empty_mysql_url) == before


def test_what_mlflow_itself_wrote_into_mariadb_arrives(usual_mysql_url, tmp_path):
    from tests.support.plain_registry import build_plain_registry  # noqa: PLC0415 -- seconds

    build_plain_registry(usual_mysql_url, tmp_path / "artifacts")
    target = f"sqlite:///{tmp_path}/new.db"
    seen = observe(usual_mysql_url)
    result = mlporter.copy(usual_mysql_url, target, artifact_root=str(tmp_path / "files"))
    assert result.exit_code == 0
    assert mlporter.diff(usual_mysql_url, target).identical
    assert differences(seen, observe(target)) == []


def test_the_next_experiment_gets_a_free_id_and_zero_stays_zero(
    plain_sqlite, usual_mysql_url, tmp_path
):
    mlporter.copy(plain_sqlite.tracking_uri, usual_mysql_url, artifacts="none")
    from mlflow import MlflowClient  # noqa: PLC0415 -- seconds

    names = "SELECT experiment_id, name FROM experiments ORDER BY 1"
    there = rows(usual_mysql_url, names)
    assert there == rows(plain_sqlite.tracking_uri, names)
    assert there[0] == (0, "Default")
    with mlflow_at(usual_mysql_url):
        assert int(MlflowClient().create_experiment("after")) == there[-1][0] + 1


def test_a_snapshot_is_of_one_moment(plain_sqlite, mlflow_mysql_url, tmp_path):
    mlporter.copy(plain_sqlite.tracking_uri, mlflow_mysql_url, artifacts="none")

    def intrude(step, done, total, unit="rows"):
        if step.endswith("experiments"):
            execute(
                mlflow_mysql_url,
                "DELETE FROM params",
                "INSERT INTO registered_models (workspace, name) VALUES ('default', 'late')"
                " ON DUPLICATE KEY UPDATE name = name",
            )

    bundle = str(tmp_path / "bundle")
    mlporter.export(mlflow_mysql_url, bundle, artifacts="none", on_progress=intrude)
    assert rows(mlflow_mysql_url, "SELECT count(*) FROM params") == [(0,)]
    assert mlporter.diff(plain_sqlite.tracking_uri, bundle, artifacts="none").identical


# --- Nothing at all -------------------------------------------------------------------------------


def test_an_import_that_is_interrupted_leaves_nothing(rich_bundle, mlflow_mysql_url, tmp_path):
    before = row_counts(mlflow_mysql_url)

    def stop(step, done, total, unit="rows"):
        if step == "reading back metrics":
            raise KeyboardInterrupt

    root = tmp_path / "root"
    with pytest.raises(KeyboardInterrupt):
        mlporter.import_(
            str(rich_bundle), mlflow_mysql_url, artifact_root=str(root), on_progress=stop
        )
    assert row_counts(mlflow_mysql_url) == before
    assert not root.exists()


def test_two_imports_at_a_time_never_mix(rich_bundle, mlflow_mysql_url, tmp_path):
    refused = []

    def second(step, done, total, unit="rows"):
        if step == "writing runs" and not refused:
            with pytest.raises(RefusedError, match="another import into this database") as caught:
                mlporter.import_(
                    str(rich_bundle), mlflow_mysql_url, artifact_root=str(tmp_path / "second")
                )
            refused.append(caught.value.exit_code)

    first = str(tmp_path / "first")
    mlporter.import_(str(rich_bundle), mlflow_mysql_url, artifact_root=first, on_progress=second)
    assert refused == [ExitCode.REFUSED]
    assert mlporter.diff(str(rich_bundle), mlflow_mysql_url).identical


def test_an_older_target_is_refused_with_the_command_that_upgrades_it(
    mlflow_mysql_url, plain_sqlite
):
    execute(mlflow_mysql_url, "UPDATE alembic_version SET version_num = '75868b020152'")
    with pytest.raises(RevisionError) as caught:
        mlporter.copy(plain_sqlite.tracking_uri, mlflow_mysql_url, artifacts="none")
    assert "mlflow db upgrade 'mysql+pymysql://root@localhost/" in caught.value.hint


def test_an_empty_database_of_another_character_set_is_refused(mariadb, plain_sqlite):
    url = mariadb.new_database("latin1_swedish_ci")
    with pytest.raises(RefusedError, match="character set is latin1") as caught:
        mlporter.copy(plain_sqlite.tracking_uri, url, artifacts="none")
    assert f"ALTER DATABASE `{name_of(url)}` CHARACTER SET utf8mb4" in caught.value.hint
    assert row_counts(url) == {}
    mariadb.drop(url)


# --- What does not fit ----------------------------------------------------------------------------


def reasons(source, target):
    """Why a copy is refused; nothing is written."""
    before = row_counts(target)
    with pytest.raises(RefusedError) as caught:
        mlporter.copy(source, target, artifacts="none")
    assert caught.value.exit_code == ExitCode.REFUSED
    assert row_counts(target) == before
    return caught.value.reasons


MODEL = "INSERT INTO registered_models (workspace, name) VALUES ('default', '{}')"


@pytest.mark.parametrize(
    ("one", "other"),
    [("churn", "Churn"), ("cafe", "café"), ("é", "e\u0301"), ("a", "a "), ("🦆", "🚀"), ("s", "ß")],
)
def test_names_that_are_one_name_there_are_refused(mlflow_sqlite, usual_mysql_url, one, other):
    """Decomposed accents are not among them in this collation: the server is asked."""
    url = sqlite_url(mlflow_sqlite)
    execute(url, MODEL.format(one), MODEL.format(other))
    if other == "e\u0301":
        result = mlporter.copy(url, usual_mysql_url, artifacts="none")
        assert result.exit_code == 0
        return
    (reason,) = reasons(url, usual_mysql_url)
    first, second = sorted((one, other), key=str.encode)
    assert f"registered_models 'default/{first}' and 'default/{second}' are the same key" in reason
    assert "utf8mb4_general_ci" in reason


def test_all_clashes_are_named_together_and_only_they(mlflow_sqlite, usual_mysql_url):
    url = sqlite_url(mlflow_sqlite)
    run = "INSERT INTO runs (run_uuid, experiment_id) VALUES ('{}', 0)"
    param = "INSERT INTO params (run_uuid, key, value) VALUES ('{}', '{}', 'x')"
    execute(
        url,
        run.format("r1"),
        run.format("r2"),
        run.format("R3"),
        # In one run a clash, in two runs none.
        *(param.format("r1", key) for key in ("Alpha", "alpha", "beta")),
        param.format("r2", "ALPHA"),
        param.format("R3", "beta"),
        "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan)"
        " VALUES ('r1', 'Loss', 1, 1, 1, 0), ('r1', 'loss', 1, 1, 1, 0)",
        "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan)"
        " VALUES ('r1', 'loss', 2, 1, 1, 0)",
        "INSERT INTO experiments (experiment_id, name, workspace) VALUES (5, 'same', 'default'),"
        " (6, 'Same', 'default')",
    )
    found = reasons(url, usual_mysql_url)
    assert [reason.partition(" are the same key")[0] for reason in found] == [
        "experiments 'default/same' and 'default/Same'",
        "params 'r1/Alpha' and 'r1/alpha'",
        "metrics 'r1/Loss/1/1/1.0/False' and 'r1/loss/1/1/1.0/False'",
    ]


def test_a_name_that_is_one_with_what_is_there_is_refused(mlflow_sqlite, usual_mysql_url):
    url = sqlite_url(mlflow_sqlite)
    execute(usual_mysql_url, MODEL.format("churn"))
    execute(url, MODEL.format("Churn"))
    (reason,) = reasons(url, usual_mysql_url)
    assert "'default/churn' (there already) and 'default/Churn' are the same key" in reason


def test_a_database_with_a_binary_collation_takes_them(mlflow_sqlite, mlflow_mysql_url):
    url = sqlite_url(mlflow_sqlite)
    names = ("churn", "Churn", "é", "e\u0301", "a", "a ", "🦆", "🚀")
    execute(url, *(MODEL.format(name) for name in names))
    assert mlporter.copy(url, mlflow_mysql_url, artifacts="none").exit_code == 0
    assert mlporter.diff(url, mlflow_mysql_url).identical


def _mcp_versions(url, collation):
    """What the upgrade to MLflow 3.18 does with the columns that name a version of a MCP server."""
    change = f"VARCHAR(128) CHARACTER SET utf8mb4 COLLATE {collation}"
    key, name = "(workspace, name, version)", "mcp_server_version_tags_version_fkey"
    tags = "ALTER TABLE mcp_server_version_tags"
    execute(
        url,
        f"{tags} DROP FOREIGN KEY {name}",
        *(
            f"ALTER TABLE mcp_{table} MODIFY {column} {change} {null}"
            for table, column, null in (
                ("server_versions", "version", "NOT NULL"),
                ("server_version_tags", "version", "NOT NULL"),
                ("server_aliases", "version", "NOT NULL"),
                ("access_endpoints", "server_version", "NULL"),
            )
        ),
        f"{tags} ADD CONSTRAINT {name} FOREIGN KEY {key} REFERENCES mcp_server_versions {key}",
    )


def test_mcp_versions_are_told_apart_by_case_where_the_target_does_it(
    mlflow_sqlite, usual_mysql_url, tmp_path
):
    url = sqlite_url(mlflow_sqlite)
    versions = ("1.0.0-RC", "1.0.0-rc")
    named = "workspace, name, version"
    execute(
        url,
        "INSERT INTO mcp_servers (workspace, name, created_at, last_updated_at)"
        " VALUES ('default', 'io/tool', 1, 1)",
        *(
            f"INSERT INTO mcp_server_versions ({named}, version_major, version_minor,"
            " version_patch, version_prerelease_sort_key, server_json, status, created_at,"
            f" last_updated_at) VALUES ('default', 'io/tool', '{version}', 1, 0, 0, '', '{{}}',"
            " 'active', 1, 1)"
            for version in versions
        ),
        *(
            f"INSERT INTO mcp_server_version_tags ({named}, key, value)"
            f" VALUES ('default', 'io/tool', '{version}', 'which', '{version}')"
            for version in versions
        ),
        "INSERT INTO mcp_server_aliases (workspace, name, alias, version)"
        f" VALUES ('default', 'io/tool', 'stable', '{versions[1]}')",
    )
    _mcp_versions(usual_mysql_url, "utf8mb4_general_ci")
    found = reasons(url, usual_mysql_url)
    assert any("mcp_server_versions" in why and "are the same key" in why for why in found), found
    _mcp_versions(usual_mysql_url, "utf8mb4_bin")
    assert mlporter.copy(url, usual_mysql_url, artifacts="none").exit_code == 0
    assert mlporter.diff(url, usual_mysql_url).identical
    assert mlporter.copy(url, usual_mysql_url, artifacts="none").rows == 0
    mlporter.export(usual_mysql_url, str(tmp_path / "back"))
    assert mlporter.diff(url, str(tmp_path / "back")).identical


def test_values_that_mysql_would_refuse_or_change_are_named_together(
    mlflow_sqlite, usual_mysql_url
):
    url = sqlite_url(mlflow_sqlite)
    execute(
        usual_mysql_url,
        "ALTER TABLE experiment_tags MODIFY value TEXT CHARACTER SET utf8mb3",
    )
    version = "INSERT INTO model_versions (workspace, name, version) VALUES ('default', 'm', 1)"
    budget = (
        "INSERT INTO budget_policies (budget_policy_id, budget_unit, budget_amount, duration_unit,"
        " duration_value, target_scope, budget_action, created_at, last_updated_at)"
        " VALUES ('{}', 'USD', {}, 'DAYS', 1, 'GLOBAL', 'ALERT', 1, 1)"
    )
    record = (
        "INSERT INTO evaluation_dataset_records (dataset_record_id, dataset_id, inputs, input_hash,"
        " created_time, last_update_time) VALUES ('{}', 'd', '{}', '{}', 1, 1)"
    )
    execute(
        url,
        "INSERT INTO experiments (experiment_id, name, workspace)"
        f" VALUES (1, '{'n' * 257}', 'default')",
        "INSERT INTO experiment_tags (experiment_id, key, value) VALUES (0, 'duck', '🦆'),"
        " (0, 'flat', 'é')",
        MODEL.format("m"),
        version,
        "INSERT INTO model_version_tags (workspace, name, version, key, value)"
        f" VALUES ('default', 'm', 1, 'prompt', '{'é' * 32768}'),"
        f" ('default', 'm', 1, 'short', '{'é' * 32767}')",
        budget.format("even", 99.99),
        budget.format("odd", 1234567.25),
        budget.format("much", "9e999"),
        "INSERT INTO evaluation_datasets (dataset_id, name) VALUES ('d', 'd')",
        record.format("nan", '{"x": NaN}', "h1"),
        record.format("fine", '{"x": [1, "\u00e9"]}', "h3"),
    )
    found = reasons(url, usual_mysql_url)
    wanted = [
        "experiments '1': name has 257 characters, the target allows 256",
        "experiment_tags '0/duck': value has characters that the target's utf8mb3",
        "evaluation_dataset_records 'nan': inputs is not JSON",
        "model_version_tags 'default/m/1/prompt': value has 65536 bytes, the target's text takes",
        "budget_policies 'much': budget_amount is inf, and MySQL has neither NaN nor infinity",
        "budget_policies 'odd': budget_amount 1234567.25 has more digits than the target's FLOAT",
    ]
    for words in wanted:
        assert [reason for reason in found if reason.startswith(words)], (words, found)
    assert len(found) == len(wanted)


def test_a_row_that_is_longer_than_a_packet_is_refused(mariadb, mlflow_sqlite, mlflow_mysql_url):
    url = sqlite_url(mlflow_sqlite)
    span = (
        "INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano,"
        " content) VALUES ('t', 0, '{}', 'OK', 1, {})"
    )
    execute(
        url,
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)"
        " VALUES ('t', 0, 1, 'OK')",
        span.format("long", "hex(zeroblob(1000000))"),
        # Quotes are doubled on their way.
        span.format("quotes", "replace(hex(zeroblob(300000)), '0', '''')"),
        span.format("fits", "hex(zeroblob(400000))"),
    )
    mariadb.run("SET GLOBAL max_allowed_packet = 1048576")
    try:
        first, second = reasons(url, mlflow_mysql_url)
    finally:
        mariadb.run("SET GLOBAL max_allowed_packet = 16777216")
    assert first.startswith("spans 't/long': the row has 2000")
    assert second.startswith("spans 't/quotes': the row has 1200")
    assert "max_allowed_packet" in first
    assert mlporter.copy(url, mlflow_mysql_url, artifacts="none").exit_code == 0
    assert mlporter.diff(url, mlflow_mysql_url).identical


def test_what_the_server_refuses_while_it_is_written_is_taken_back(
    mlflow_sqlite, usual_mysql_url, monkeypatch
):
    """Here because the texts are too many to be looked at one by one."""
    monkeypatch.setattr("mlporter.stores.database.mysql.keys._MOST_TEXTS", 0)
    url = sqlite_url(mlflow_sqlite)
    execute(url, MODEL.format("churn"), MODEL.format("Churn"), MODEL.format("another"))
    before = row_counts(usual_mysql_url)
    with pytest.raises(MlporterError, match="Duplicate entry"):
        mlporter.copy(url, usual_mysql_url, artifacts="none")
    assert row_counts(usual_mysql_url) == before


def test_pymysql_is_not_loaded_for_other_places(plain_sqlite, tmp_path):
    import subprocess  # noqa: PLC0415

    code = (
        "import sys, mlporter; mlporter.export(sys.argv[1], sys.argv[2], artifacts='none');"
        " sys.exit('pymysql' in sys.modules)"
    )
    arguments = [sys.executable, "-c", code, plain_sqlite.tracking_uri, str(tmp_path / "bundle")]
    assert subprocess.run(arguments, check=False).returncode == 0
