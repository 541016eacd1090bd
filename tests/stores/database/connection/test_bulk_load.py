"""How many rows are loaded into an empty table at once."""

import pytest

from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.connection.bulk_load import bulk_load
from mlporter.stores.database.engines import postgresql


def settings(connection):
    names = ("maintenance_work_mem", "max_parallel_maintenance_workers")
    return [connection.scalar(f"SELECT current_setting('{name}')") for name in names]


@pytest.fixture
def connection(mlflow_postgres_url):
    connection = postgresql.connect(parse_address(mlflow_postgres_url).libpq, "here")
    yield connection
    connection.close()


def test_indexes_are_sorted_in_little_memory_for_the_transaction_only(connection):
    before = settings(connection)
    connection.execute("BEGIN")
    with bulk_load(connection, "metrics", 20_000):
        assert settings(connection) == before
    assert settings(connection) == ["8MB", "0"]
    connection.execute("ROLLBACK")
    assert settings(connection) == before


@pytest.mark.parametrize(
    ("own", "rows", "used"), [("64MB", 5_000_000, "11MB"), ("1MB", 20_000, "1MB")]
)
def test_more_rows_get_more_memory_and_never_more_than_the_server_says(connection, own, rows, used):
    connection.execute(f"SET maintenance_work_mem = '{own}'")
    connection.execute("BEGIN")
    with bulk_load(connection, "metrics", rows):
        pass
    assert settings(connection)[0] == used
