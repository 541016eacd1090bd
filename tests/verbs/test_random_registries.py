"""Registries that nobody would think of: what goes in comes out, on every database."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import mlporter
from tests.support.databases import rows
from tests.support.examples import examples
from tests.support.mlflow_session import sqlite_url

#: What both databases hold: no NUL, and no half of a surrogate pair, which is no text.
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
KEY = TEXT.filter(bool)
INT64 = st.integers(-(2**63), 2**63 - 1)
#: SQLite takes the sign of zero away when the value is stored, before we come to see it.
FLOAT = st.floats(allow_nan=False).map(lambda number: number + 0.0)
POINT = st.tuples(KEY, FLOAT, INT64, INT64, st.booleans())

RUN = st.fixed_dictionaries(
    {
        "name": TEXT,
        "user": st.none() | TEXT,
        "start": st.none() | INT64,
        "stage": st.sampled_from(["active", "deleted"]),
        "params": st.dictionaries(KEY, TEXT, max_size=4),
        "tags": st.dictionaries(KEY, st.none() | TEXT, max_size=4),
        "metrics": st.lists(POINT, max_size=6, unique_by=lambda p: (p[0], p[2], p[3], p[1], p[4])),
    }
)
EXPERIMENT = st.tuples(KEY, st.dictionaries(KEY, TEXT, max_size=3), st.lists(RUN, max_size=3))
REGISTRY = st.lists(EXPERIMENT, max_size=3, unique_by=lambda e: e[0])

QUERIES = (
    "SELECT experiment_id, name, lifecycle_stage FROM experiments",
    "SELECT experiment_id, key, value FROM experiment_tags",
    "SELECT run_uuid, name, user_id, start_time, lifecycle_stage, experiment_id FROM runs",
    "SELECT run_uuid, key, value FROM params",
    "SELECT run_uuid, key, value FROM tags",
    "SELECT run_uuid, key, value, timestamp, step, is_nan FROM metrics",
)


def fill(path, registry):
    """Put a registry into a database that MLflow made, as MLflow's tables have it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for number, (name, tags, runs) in enumerate(registry, start=1):
            connection.execute(
                "INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace)"
                " VALUES (?, ?, 'active', 'default')",
                (number, name),
            )
            connection.executemany(
                "INSERT INTO experiment_tags (experiment_id, key, value) VALUES (?, ?, ?)",
                [(number, *tag) for tag in tags.items()],
            )
            for place, run in enumerate(runs):
                fill_run(connection, number, f"{number:016x}{place:016x}", run)


def fill_run(connection, experiment, run_id, run):
    connection.execute(
        "INSERT INTO runs (run_uuid, name, user_id, start_time, lifecycle_stage, experiment_id,"
        " status, source_type) VALUES (?, ?, ?, ?, ?, ?, 'FINISHED', 'LOCAL')",
        (run_id, run["name"], run["user"], run["start"], run["stage"], experiment),
    )
    for table in ("params", "tags"):
        connection.executemany(
            f"INSERT INTO {table} (run_uuid, key, value) VALUES (?, ?, ?)",
            [(run_id, *item) for item in run[table].items()],
        )
    connection.executemany(
        "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [(run_id, *point) for point in run["metrics"]],
    )


def contents(url):
    return [sorted(map(comparable, rows(url, query))) for query in QUERIES]


def comparable(row):
    """Values by type and text: NULL sorts, and 1 is not 1.0; SQLite's truth values are numbers."""
    return [repr(int(value) if isinstance(value, bool) else value) for value in row]


def parts(bundle):
    return {path.relative_to(bundle): path.read_bytes() for path in Path(bundle).rglob("*.parquet")}


def exactly_the_same(source, target, folder):
    """Export, import, export: rows are equal to the last bit, and so are the parts."""
    one, other = f"{folder}/one", f"{folder}/other"
    # Without latest_metrics: nobody wrote them here, and what is not sound is said (exit 3).
    mlporter.export(source, one, artifacts="none")
    mlporter.import_(one, target)
    assert contents(target) == contents(source)
    assert mlporter.diff(one, target, artifacts="none").identical
    mlporter.export(target, other, artifacts="none")
    left_out = Path("tables/left_out/00000.parquet")
    first, second = parts(one), parts(other)
    first.pop(left_out, None)
    second.pop(left_out, None)
    assert first == second


#: An example is three transfers: few of them, and none to make a failing one smaller.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(max_examples=examples(5), phases=PHASES)
@given(registry=REGISTRY)
def test_any_registry_moves_between_sqlite_files(mlflow_sqlite_template, registry):
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "source.db"), Path(folder, "target.db")
        shutil.copy(mlflow_sqlite_template, source)
        shutil.copy(mlflow_sqlite_template, target)
        fill(source, registry)
        exactly_the_same(sqlite_url(source), sqlite_url(target), folder)


@settings(max_examples=examples(3), phases=PHASES)
@given(registry=REGISTRY)
def test_any_registry_moves_to_postgresql(mlflow_sqlite_template, postgres, registry):
    with TemporaryDirectory() as folder:
        source = Path(folder, "source.db")
        shutil.copy(mlflow_sqlite_template, source)
        fill(source, registry)
        target = postgres.new_mlflow_database()
        try:
            exactly_the_same(sqlite_url(source), target, folder)
        finally:
            postgres.drop(target)


@pytest.mark.parametrize("value", ["", " ", "\n", "1", "1.0", "null", "NaN", "\ufeff", "e\u0301"])
def test_text_that_looks_like_something_else_stays_text(mlflow_sqlite_template, tmp_path, value):
    run = {"name": value, "user": value, "start": None, "stage": "active",
           "params": {"k": value}, "tags": {"k": value}, "metrics": []}  # fmt: skip
    source, target = tmp_path / "source.db", tmp_path / "target.db"
    shutil.copy(mlflow_sqlite_template, source)
    shutil.copy(mlflow_sqlite_template, target)
    fill(source, [("e", {"k": value}, [run])])
    exactly_the_same(sqlite_url(source), sqlite_url(target), tmp_path)
