"""What PostgreSQL says is what people read."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from mlporter.errors import UnreachableError
from mlporter.stores.opening import open_source


def test_why_a_long_statement_failed_is_said_and_not_the_statement(postgres):
    url = postgres.plain(postgres.new_mlflow_database())
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE ROLE hasty LOGIN")
        # Reading the types of a server takes longer.
        cursor.execute("ALTER ROLE hasty SET statement_timeout = '1ms'")
    with pytest.raises(UnreachableError) as caught:
        open_source(url.replace("postgres:@", "hasty@"))
    assert "timeout" in caught.value.message
    assert "query" not in caught.value.message
