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


def settings(connection):
    names = ("maintenance_work_mem", "max_parallel_maintenance_workers")
    return [connection.scalar(f"SELECT current_setting('{name}')") for name in names]


def test_an_index_in_the_order_of_the_rows_is_made_by_one_process(connection, monkeypatch):
    """The primary key of metrics begins with another column: it is made as the server likes."""
    made, execute = {}, connection.execute

    def watched(sql):
        if "CREATE INDEX" in sql or "PRIMARY KEY" in sql:
            made[sql.split()[2]] = settings(connection)
        execute(sql)

    before = settings(connection)
    monkeypatch.setattr(connection, "execute", watched)
    connection.execute("BEGIN")
    with bulk_load(connection, "metrics", 20_000, "run_uuid"):
        pass
    connection.execute("ROLLBACK")
    little = ["8MB", "0"]
    assert made == {
        "index_metrics_run_uuid": little,
        "index_metrics_run_uuid_key_step": little,
        "metrics": before,
    }
    assert settings(connection) == before
