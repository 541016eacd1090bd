"""The catalogue held against the installed MLflow: what it declares, and what it really creates.

At the release that the catalogue describes they must be equal, so that a table or column that
MLflow adds makes these tests fail. Of an older MLflow, everything must be found in the catalogue.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import mlflow.store.db_migrations
import pyarrow as pa
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from mlflow.store.db.base_sql_model import Base
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from packaging.version import Version

from mlporter.catalogue import (
    AUTH_TABLES,
    BOOKKEEPING_TABLES,
    BY_NAME,
    HEAD_REVISION,
    RETIRED_COLUMNS,
    REVISIONS,
    is_older,
)
from tests.support import new_mlflow
from tests.support.here import TABLES as EXPECTED
from tests.support.new_mlflow import FOREIGN_KEYS_IN_MODELS_ONLY, IN_MODELS

for package in ("tracking", "model_registry", "workspace"):
    with contextlib.suppress(ModuleNotFoundError):  # older releases have no workspaces
        importlib.import_module(f"mlflow.store.{package}.dbmodels.models")

INSTALLED = Version(mlflow.__version__)
NEWEST = INSTALLED.release < (3, 19)
"""Whether the catalogue has all that the installed MLflow has."""
AT_HEAD = INSTALLED.release >= (3, 17) and NEWEST
at_head = pytest.mark.skipif(
    not AT_HEAD, reason=f"the catalogue cannot be held against all of MLflow {INSTALLED}"
)
known = pytest.mark.skipif(
    not NEWEST, reason=f"MLflow {INSTALLED} is newer than the catalogue: a test of its own says so"
)

#: SQLite counts up INTEGER keys only; they have 64 bits there like all its integers.
IN_SQLITE = {
    (f"sql_{family}_daily_rollups", "id"): {"type": pa.int32()}
    for family in ("trace_metric", "span_cost", "assessment")
}


@dataclass(frozen=True)
class Declared:
    """What is compared of a column."""

    type: pa.DataType
    nullable: bool
    cap: int | None
    generated: bool


def arrow_type(kind):
    """The Arrow type of a column of a SQLAlchemy type."""
    kind = getattr(kind, "impl_instance", kind) if isinstance(kind, sa.TypeDecorator) else kind
    for sql, arrow in (
        (sa.Boolean, pa.bool_()),
        (sa.BigInteger, pa.int64()),
        (sa.Integer, pa.int32()),
        (sa.Float, pa.float64()),
        (sa.Date, pa.date32()),
        (sa.LargeBinary, pa.binary()),
        (sa.String, pa.string()),
        (sa.JSON, pa.string()),
    ):
        if isinstance(kind, sql):
            return arrow
    raise TypeError(f"no Arrow type for {kind!r}")


def declared(column):
    """A column of MLflow's models or of a reflected table."""
    kind = column.type.impl if isinstance(column.type, sa.TypeDecorator) else column.type
    return Declared(
        arrow_type(kind),
        bool(column.nullable),
        getattr(kind, "length", None) if isinstance(kind, sa.String) else None,
        column.computed is not None,
    )


def catalogued(entry, differences):
    """A table's columns as the catalogue has them, but for known `differences`."""
    return {
        column.name: replace(
            Declared(column.declared or column.type, column.nullable, column.cap, column.generated),
            **differences.get((entry.name, column.name), {}),
        )
        for column in entry.columns
    }


def foreign_keys(table):
    return {
        (
            table.name,
            tuple(element.parent.name for element in key.elements),
            key.referred_table.name,
            tuple(element.column.name for element in key.elements),
        )
        for key in table.foreign_key_constraints
    }


def unique_sets(table):
    constraints = (c for c in table.constraints if isinstance(c, sa.UniqueConstraint))
    indexes = (index for index in table.indexes if index.unique)
    return {frozenset(column.name for column in u.columns) for u in (*constraints, *indexes)}


def assert_equal_to_catalogue(tables, differences):
    """Assert that SQLAlchemy's `tables` are the catalogue's, but for known `differences`."""
    assert set(tables) - BOOKKEEPING_TABLES == {entry.name for entry in EXPECTED}
    for entry in EXPECTED:
        theirs = tables[entry.name]
        found = {column.name: declared(column) for column in theirs.columns}
        assert catalogued(entry, differences) == found, entry.name
        assert set(entry.key) == {column.name for column in theirs.primary_key}, entry.name
        assert set(map(frozenset, entry.unique)) == unique_sets(theirs), entry.name


def enforced():
    return {
        (entry.name, reference.columns, reference.table, reference.targets)
        for entry in EXPECTED
        for reference in entry.references
        if reference.enforced
    }


def reflect(url):
    """The tables of a database, as SQLAlchemy's."""
    engine = sa.create_engine(url)
    try:
        metadata = sa.MetaData()
        metadata.reflect(engine)
        return metadata.tables
    finally:
        engine.dispose()


def assert_database_equal_to_catalogue(url, differences):
    tables = reflect(url)

    assert_equal_to_catalogue(tables, differences)
    assert set().union(*map(foreign_keys, tables.values())) == enforced()


def test_the_catalogue_knows_the_installed_mlflow():
    """Users may have a newer MLflow than this release knows: only CI fails for it."""
    if NEWEST:
        return
    lines = new_mlflow.differences(new_mlflow.describe())
    said = "\n".join([f"MLflow {INSTALLED} is newer than the catalogue:", *lines])
    if os.environ.get("MLPORTER_CI"):
        pytest.fail(f"{said}\nsee docs/architecture.md: A new MLflow release")
    pytest.skip(said)


# --- at the catalogue's release -------------------------------------------------------------------


@at_head
def test_the_catalogue_is_what_mlflow_declares():
    assert_equal_to_catalogue(Base.metadata.tables, IN_MODELS)


@at_head
def test_foreign_keys_are_what_mlflow_declares():
    theirs = set().union(*map(foreign_keys, Base.metadata.tables.values()))

    assert theirs - FOREIGN_KEYS_IN_MODELS_ONLY == enforced()


@at_head
def test_other_columns_keep_mlflows_order():
    for entry in EXPECTED:
        names = [column.name for column in Base.metadata.tables[entry.name].columns]
        rest = [name for name in names if name not in entry.key]
        assert [column.name for column in entry.columns] == [*entry.key, *rest]


@at_head
def test_json_columns_are_marked():
    for entry in EXPECTED:
        for column in Base.metadata.tables[entry.name].columns:
            if isinstance(column.type, sa.JSON):
                assert entry.by_name[column.name].json, (entry.name, column.name)


@at_head
def test_the_catalogue_is_what_mlflow_creates_in_sqlite(mlflow_sqlite):
    assert_database_equal_to_catalogue(f"sqlite:///{mlflow_sqlite}", IN_SQLITE)


@at_head
def test_the_catalogue_is_what_mlflow_creates_in_postgresql(mlflow_postgres_url):
    assert_database_equal_to_catalogue(mlflow_postgres_url, {})


# --- at any release -------------------------------------------------------------------------------


@known
def test_an_older_mlflow_has_nothing_that_the_catalogue_has_not():
    for name, theirs in Base.metadata.tables.items():
        entry = BY_NAME[name]
        for column in theirs.columns:
            if (name, column.name) not in RETIRED_COLUMNS:
                ours = entry.by_name[column.name].type
                assert ours == arrow_type(column.type) or _is_wider(ours, arrow_type(column.type))


def _is_wider(ours, theirs):
    return (ours, theirs) == (pa.int64(), pa.int32())


@known
def test_an_older_database_has_nothing_that_the_catalogue_has_not(mlflow_sqlite):
    engine = sa.create_engine(f"sqlite:///{mlflow_sqlite}")
    try:
        assert unknown_columns(engine) <= set(RETIRED_COLUMNS)
    finally:
        engine.dispose()


def unknown_columns(engine):
    """Columns of an SQLite file that the catalogue lacks. A table that it lacks is a KeyError."""
    with engine.connect() as connection:
        found = connection.execute(
            sa.text(
                "SELECT t.name, c.name FROM sqlite_master t, pragma_table_xinfo(t.name) c"
                " WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'"
            )
        ).all()
    return {
        (table, column)
        for table, column in found
        if table not in BOOKKEEPING_TABLES and column not in BY_NAME[table].by_name
    }


@at_head
def test_no_revision_ever_had_a_column_that_is_neither_known_nor_retired(tmp_path, monkeypatch):
    """MLflow's own migrations, one by one, from the first."""
    # Each of them would have all of the scripts read anew.
    scripts = _migrations()
    monkeypatch.setattr(ScriptDirectory, "from_config", lambda _: scripts)
    url = f"sqlite:///{tmp_path / 'old.db'}"
    engine = sa.create_engine(url)
    try:
        InitialBase.metadata.create_all(engine)
        gone, before = {}, unknown_columns(engine)
        for revision in _revisions():
            with engine.begin() as connection:
                _migrate(url, connection, revision)
            after = unknown_columns(engine)
            gone |= dict.fromkeys(before - after, revision)
            before = after
        assert before == set()
    finally:
        engine.dispose()

    assert gone == RETIRED_COLUMNS


def _migrate(url, connection, revision):
    config = _get_alembic_config(url)
    # Logging is set up by that file, and would stay set up for the tests after this one.
    config.config_file_name = None
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@known
def test_revisions_are_in_the_order_of_mlflows_migrations():
    theirs = _revisions()

    assert [revision for revision, _ in REVISIONS][: len(theirs)] == theirs
    (head,) = _migrations().get_heads()
    assert head == HEAD_REVISION or is_older(head)


def _revisions():
    """Those of the installed MLflow, oldest first."""
    return [script.revision for script in _migrations().walk_revisions()][::-1]


def _migrations():
    config = Config()
    config.set_main_option("script_location", str(Path(mlflow.store.db_migrations.__file__).parent))
    return ScriptDirectory.from_config(config)


# MLflow's own use of the libraries under it.
@pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated")
@pytest.mark.filterwarnings("ignore:No path_separator found")
def test_tables_of_the_authentication_are_known(tmp_path):
    pytest.importorskip("flask_wtf", reason="MLflow's authentication needs mlflow[auth]")
    from mlflow.server.auth.db.utils import migrate  # noqa: PLC0415 -- may be missing

    engine = sa.create_engine(f"sqlite:///{tmp_path / 'auth.db'}")
    migrate(engine, "head")
    try:
        names = set(sa.inspect(engine).get_table_names())
    finally:
        engine.dispose()

    assert names - BOOKKEEPING_TABLES <= AUTH_TABLES
    assert names - BOOKKEEPING_TABLES == AUTH_TABLES or not AT_HEAD
