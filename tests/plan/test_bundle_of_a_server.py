"""A bundle that was made over HTTP, imported into the database behind that server."""

from __future__ import annotations

import shutil

import pytest

import mlporter
from mlporter.errors import ConflictError
from tests.support.databases import dump, execute
from tests.support.rich_registry import copy_database
from tests.support.served import served_rich


@pytest.fixture(scope="module")
def served(rich_sqlite_template, tmp_path_factory):
    """A server in front of the rich registry, whose database is this module's."""
    folder = tmp_path_factory.mktemp("served")
    rich = copy_database(rich_sqlite_template, folder / "rich")
    with served_rich(rich, folder / "files") as server:
        yield server


@pytest.fixture(scope="module")
def bundle(served, tmp_path_factory):
    """What an export over HTTP makes of it."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    mlporter.export(served.address, folder, artifacts="none")
    return folder


def test_everything_is_there_already(served, bundle):
    before = dump(served.database)
    result = mlporter.import_(bundle, served.database, artifacts="none")
    assert {table.table: table.copied for table in result.tables if table.copied} == {}
    assert result.conflicts == ()
    assert dump(served.database) == before


def test_so_it_is_straight_from_the_server(served):
    result = mlporter.copy(served.address, served.database, artifacts="none", dry_run=True)
    assert {table.table: table.copied for table in result.tables if table.copied} == {}
    assert result.conflicts == ()


def test_what_a_server_shows_still_counts(served, bundle, tmp_path):
    path = tmp_path / "changed.db"
    shutil.copy(served.database.removeprefix("sqlite:///"), path)
    changed = f"sqlite:///{path}"
    execute(
        changed, "UPDATE params SET value = 'another' WHERE rowid = (SELECT min(rowid) FROM params)"
    )
    with pytest.raises(ConflictError, match="another"):
        mlporter.import_(bundle, changed, artifacts="none")
