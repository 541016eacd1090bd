"""Older schemas on PostgreSQL and MariaDB: the same rows as after MLflow's own upgrade."""

from __future__ import annotations

from contextlib import closing

import pytest

from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.source import DatabaseSource
from mlporter.stores.protocols import Among
from tests.support.here import NEWEST
from tests.support.old_schemas import fill, make_schema, upgrade

REVISIONS = ["97727af70f4d", "d3e4f5a6b7c8", "b7e2c1a4d9f3"]
"""Of MLflow 1.30; with traces and no costs of spans; the last before MLflow 3.17."""


def everything(url):
    """Every row of every table, and by table a part that a database can be asked for."""
    with closing(DatabaseSource(parse_address(url))) as source:
        assert source.description.revision == NEWEST
        found = {}
        for table in source.tables:
            rows = [row for batch in source.read(table.name) for row in batch.to_pylist()]
            assert source.count(table.name) == len(rows)
            first = sorted({row[table.key[0]] for row in rows})[:1]
            among = Among(table.key[0], tuple(first))
            part = [
                row for batch in source.read(table.name, None, among) for row in batch.to_pylist()
            ]
            assert part == [row for row in rows if row[table.key[0]] in first]
            found[table.name] = rows
        return found


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("url", ["empty_postgres_url", "empty_mysql_url"])
def test_read_directly_is_read_after_the_upgrade(revision, url, request):
    address = request.getfixturevalue(url)
    make_schema(address, revision)
    fill(address)
    before = everything(address)
    upgrade(address)
    after = everything(address)
    for table, rows in after.items():
        assert repr(before[table]) == repr(rows), table
