"""Large tables of PostgreSQL, read by several connections: the same rows, of one state."""

from contextlib import closing

import psycopg2
import pytest

import mlporter
from mlporter.errors import ExitCode, UnreachableError, UsageError
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.connection import sections
from mlporter.stores.database.engines import postgresql_sections
from mlporter.stores.database.engines.snapshots import snapshot_of
from mlporter.stores.opening import open_source
from mlporter.workers.choice import usual_jobs
from tests.support.databases import another_role, execute, rows, tree
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import fill_metrics

FROM_OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
OTHER_ENGINES = ["sqlite:///{}/mlflow.db", "mysql://u@localhost/mlflow", "http://127.0.0.1:1"]


@pytest.fixture(autouse=True)
def every_table_is_large(monkeypatch):
    """So that few rows show what else takes 200,000 and more; each owner is a section."""
    monkeypatch.setattr(postgresql_sections, "LARGE", 1)
    monkeypatch.setattr(sections, "_BYTES", 1)


@pytest.fixture
def filled(mlflow_postgres_url):
    """The address of a database with 30 points of each of six runs."""
    fill_metrics(mlflow_postgres_url, runs=6, keys=3, steps=10)
    return mlflow_postgres_url


def read(url, jobs, table="metrics"):
    """The rows of a table, what is lost of them, and notes."""
    with closing(open_source(url, jobs=jobs)) as source:
        found = [row for batch in source.read(table) for row in batch.to_pylist()]
        assert source.count(table) == len(found)
        return found, [*source.losses()], source.notes


def connected(url):
    """How many are connected to a database besides whoever asks."""
    return rows(url, f"SELECT count(*) {FROM_OTHERS}")[0][0]


def test_bundles_are_the_same_whatever_the_number_of_connections(rich_postgres, tmp_path):
    trees = []
    for jobs in (1, 2, 3):
        mlporter.export(rich_postgres.tracking_uri, str(tmp_path / str(jobs)), jobs=jobs)
        trees.append(tree(tmp_path / str(jobs)))
    one, two, three = trees
    assert set(one) == set(two) == set(three)
    # The manifest holds times and an id of its own, and the sums the manifest's.
    unlike = {name for name in one if not one[name] == two[name] == three[name]}
    assert unlike == {"manifest.yaml", "SHA256SUMS"}
    sums = [(tmp_path / str(jobs) / "SHA256SUMS").read_text().splitlines() for jobs in (1, 2, 3)]
    parts = [{line for line in lines if "manifest.yaml" not in line} for lines in sums]
    assert parts[0] == parts[1] == parts[2]


def test_all_connections_read_one_state(filled):
    before = rows(filled, "SELECT run_uuid, key, step, value FROM metrics ORDER BY 1, 2, 3")
    with closing(open_source(filled, jobs=3)) as source:
        execute(filled, "UPDATE metrics SET value = value + 1")  # other connections come later
        batches = source.read("metrics")
        first = next(batches)
        assert connected(filled) >= 4  # one holds the snapshot
        execute(
            filled,
            "DELETE FROM metrics WHERE step = 3",
            "INSERT INTO metrics SELECT 'new', value, timestamp, run_uuid, step, is_nan"
            " FROM metrics",
        )
        found = [row for batch in (first, *batches) for row in batch.to_pylist()]
    named = [tuple(row[name] for name in ("run_uuid", "key", "step", "value")) for row in found]
    assert named == before


def test_nothing_is_left_open(filled):
    source = open_source(filled, jobs=3)
    next(source.read("metrics"))
    source.close()
    # A server takes a moment to let a connection go; one that was kept never goes.
    while connected(filled):
        pass


def test_any_name_of_an_owner(filled):
    """Run ids that MLflow never makes, where backslashes are not just that unless it is said."""
    names = ("a'b", "a\\b", "a\\\\b", "Z", "é", "🦆", '"', " ", "", "%s")
    quoted = [name.replace("'", "''") for name in names]
    execute(
        filled,
        "SET standard_conforming_strings = on",
        *(f"INSERT INTO runs (run_uuid, experiment_id) VALUES ('{name}', 0)" for name in quoted),
        "INSERT INTO metrics SELECT DISTINCT 'k', 1.5, 1, r.run_uuid, s, false"
        " FROM runs r CROSS JOIN generate_series(1, 3) s",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET standard_conforming_strings = off',"
        " current_database()); END $$",
    )
    found = read(filled, jobs=3)[0]
    assert found == read(filled, jobs=1)[0]
    assert {row["run_uuid"] for row in found} > set(names)


@pytest.fixture
def limited(filled):
    """The same for a role that may have six connections."""
    with another_role(filled, "CONNECTION LIMIT 6") as (role, address):
        execute(filled, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        yield address


@pytest.mark.parametrize(("jobs", "is_enough"), [(2, True), (3, False), (9, False)])
def test_a_server_that_takes_fewer_connections(limited, filled, jobs, is_enough):
    """One holds the snapshot, `jobs` read, and three are for other tables."""
    found, _, notes = read(limited, jobs)
    assert found == read(filled, jobs=1)[0]
    said = f"large tables are read by one connection, not by {jobs}: "
    assert [note.startswith(said) and "too many connections" in note for note in notes] == (
        [] if is_enough else [True]
    )


def test_every_verb_hands_the_number_on(limited, tmp_path, caplog):
    """Each asks for more than there are, and does its work all the same."""
    bundle, target = str(tmp_path / "bundle"), sqlite_url(tmp_path / "new.db")
    without = {"artifacts": "none", "jobs": 9}
    steps = (
        lambda: mlporter.export(limited, bundle, **without),
        lambda: mlporter.copy(limited, target, **without),  # as `sync`
        lambda: mlporter.backup(limited, str(tmp_path / "repository"), **without),
        lambda: mlporter.verify(bundle, against=limited, jobs=9),  # as `diff`
    )
    for step in steps:
        caplog.clear()
        assert step().exit_code == 0
        assert caplog.text.count("tables are read by one connection, not by 9") == 1


def test_a_connection_that_breaks_in_the_middle(filled, tmp_path):
    def cut(step, done, total, unit="rows"):
        if step == "reading metrics":
            with closing(psycopg2.connect(filled.replace("+psycopg2", ""))) as other:
                other.autocommit = True
                with other.cursor() as cursor:
                    cursor.execute(f"SELECT pg_terminate_backend(pid) {FROM_OTHERS}")

    with pytest.raises(UnreachableError) as caught:
        mlporter.export(filled, str(tmp_path / "bundle"), jobs=3, on_progress=cut)
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert not (tmp_path / "bundle" / "manifest.yaml").exists()


def test_a_table_without_an_index_by_owner_is_read_by_one_connection(filled):
    before = read(filled, jobs=3)[0]
    execute(
        filled,
        "DROP INDEX index_metrics_run_uuid",
        "DROP INDEX index_metrics_run_uuid_key_step",
    )
    with closing(open_source(filled, jobs=3)) as source:
        found = [row for batch in source.read("metrics") for row in batch.to_pylist()]
        assert connected(filled) == 2
    assert found == before


def test_values_that_do_not_fit_are_named_all_the_same(filled):
    execute(
        filled,
        "ALTER TABLE metrics DROP CONSTRAINT metric_pk",
        "ALTER TABLE metrics ALTER step DROP NOT NULL",
        "UPDATE metrics SET step = NULL WHERE step = 4",
    )
    found, lost, _ = read(filled, jobs=3)
    assert (len(found), len(lost)) == (6 * 27, 6 * 3)
    assert (found, lost) == read(filled, jobs=1)[:2]


def test_owners_without_a_name_are_no_reason_to_fail(filled):
    execute(
        filled,
        "ALTER TABLE metrics DROP CONSTRAINT metric_pk",
        "ALTER TABLE metrics ALTER run_uuid DROP NOT NULL",
        "UPDATE metrics SET run_uuid = NULL WHERE step = 4",
    )
    found, lost, _ = read(filled, jobs=3)
    assert (found, lost) == read(filled, jobs=1)[:2]
    assert len(found) == 6 * 27


def test_a_connection_plans_as_before_afterwards(mlflow_postgres_url):
    shown = "SELECT " + ", ".join(
        f"current_setting('{name}')" for name in postgresql_sections._SETTINGS
    )
    with closing(snapshot_of(parse_address(mlflow_postgres_url))) as snapshot:
        connection = snapshot.connect()
        before = connection.rows(shown)
        with postgresql_sections._set_for_sections(connection):
            assert connection.rows(shown) == [tuple(postgresql_sections._SETTINGS.values())]
        assert connection.rows(shown) == before
        connection.close()


@pytest.mark.parametrize(("processors", "jobs"), [(1, 1), (2, 1), (4, 2), (8, 4), (64, 4)])
def test_the_usual_number_goes_by_the_processors(processors, jobs):
    assert usual_jobs(processors) == jobs


@pytest.mark.parametrize("address", OTHER_ENGINES)
def test_other_places_are_not_read_by_several_connections(address, tmp_path):
    with pytest.raises(UsageError, match="--jobs is about PostgreSQL"):
        mlporter.export(address.format(tmp_path), str(tmp_path / "bundle"), jobs=2)
    with pytest.raises(UsageError, match="--jobs is about PostgreSQL"):
        mlporter.copy(address.format(tmp_path), sqlite_url(tmp_path / "new.db"), jobs=2)
    with pytest.raises(UsageError, match="--jobs is about PostgreSQL"):
        mlporter.diff(address.format(tmp_path), sqlite_url(tmp_path / "new.db"), jobs=2)


@pytest.mark.parametrize("jobs", [0, 65])
def test_numbers_that_are_none(jobs, tmp_path):
    with pytest.raises(UsageError, match="jobs is from 1 to 64"):
        mlporter.export("postgresql://h/d", str(tmp_path / "bundle"), jobs=jobs)
