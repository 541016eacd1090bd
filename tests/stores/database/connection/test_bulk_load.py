"""How many rows are loaded into an empty table at once."""

import pytest

from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.connection.bulk_load import bulk_load
from mlporter.stores.database.engines import postgresql


@pytest.fixture
def connection(mlflow_postgres_url):
    connection = postgresql.connect(parse_address(mlflow_postgres_url).libpq, "here")
    yield connection
    connection.close()


NAMES = ("maintenance_work_mem", "max_parallel_maintenance_workers")
LITTLE = ["8MB", "0"]


def settings(connection):
    return [connection.scalar(f"SELECT current_setting('{name}')") for name in NAMES]


def of_table(connection):
    return connection.scalar("SELECT reloptions::text FROM pg_class WHERE relname = 'metrics'")


def loaded(connection, rows):
    """What holds as each index is made, and what of the table then, and at the end."""
    made, said, execute = {}, set(), connection.execute

    def watched(sql):
        if "CREATE INDEX" in sql or "PRIMARY KEY" in sql:
            made[sql.split()[2]] = settings(connection)
            said.add(of_table(connection))
        execute(sql)

    connection.execute = watched
    with bulk_load(connection, "metrics", rows, "run_uuid"):
        pass
    connection.execute = execute
    return made, said, of_table(connection)


def in_order(key):
    names = ("index_metrics_run_uuid", "index_metrics_run_uuid_key_step")
    return {**dict.fromkeys(names, LITTLE), "metrics": key}


def test_an_index_in_the_order_of_the_rows_is_made_by_one_process(connection):
    """The primary key of metrics begins with another column: it is made as the server likes."""
    before = settings(connection)
    connection.execute("BEGIN")
    assert loaded(connection, 20_000) == (in_order(before), {None}, None)
    connection.execute("ROLLBACK")
    assert settings(connection) == before


def test_other_indexes_of_many_rows_are_made_by_as_many_as_the_server_takes(connection):
    connection.execute("BEGIN")
    said = {"{parallel_workers=1}"}  # two processes, as 64 MB are enough for
    assert loaded(connection, 300_000) == (in_order(["16MB", "1"]), said, None)
    connection.execute("ROLLBACK")


def test_what_somebody_said_of_the_table_holds(connection):
    connection.execute("BEGIN")
    connection.execute("ALTER TABLE metrics SET (parallel_workers = 3)")
    said = "{parallel_workers=3}"
    assert loaded(connection, 300_000) == (in_order(settings(connection)), {said}, said)
    connection.execute("ROLLBACK")
