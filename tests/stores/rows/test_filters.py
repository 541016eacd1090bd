"""Rows with certain values of a column: on every kind of place as if all were looked at."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

import mlporter
from mlporter.catalogue import BY_NAME
from mlporter.stores.database.connection.sql_filters import where_clauses
from mlporter.stores.opening import open_source
from mlporter.stores.protocols import Among
from mlporter.stores.rows.filters import is_among, with_nul
from tests.support.databases import execute
from tests.support.mlflow_session import sqlite_url

#: Quotes, backslashes, other alphabets, what differs in case or a space only, and nothing.
NAMES = [
    "",
    " ",
    "a",
    "A",
    "a ",
    "it's",
    "\\",
    "\\'",
    "%",
    "ä",
    "é",
    "e\u0301",
    "🦆",
    "ß",
    "ss",
    "--",
]
RUNS = [f"{number:032x}" for number in range(1203)]


def fill(url):
    statements = [
        f"INSERT INTO registered_models (workspace, name) VALUES ('default', '{quoted(name)}')"
        for name in NAMES
    ]
    runs = ", ".join(f"('{run}', 0, 'active')" for run in RUNS)
    statements.append(f"INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage) VALUES {runs}")
    params = ", ".join(f"('{run}', '{key}', 'v')" for run in RUNS for key in ("k", "l'"[:1]))
    statements.append(f"INSERT INTO params (run_uuid, key, value) VALUES {params}")
    execute(url, *statements)


def quoted(text):
    return text.replace("'", "''")


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "bundle"])
def source(request, mlflow_sqlite_template, tmp_path_factory):
    """Nothing here changes it."""
    folder = tmp_path_factory.mktemp("source")
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_mlflow_database()
    else:
        url = sqlite_url(Path(shutil.copy(mlflow_sqlite_template, folder / "mlflow.db")))
    fill(url)
    if request.param == "bundle":
        mlporter.export(url, str(folder / "bundle"), artifacts="none")
        (folder / "mlflow.db").unlink()
        url = str(folder / "bundle")
    with closing(open_source(url)) as opened:
        yield opened


def read(source, table, columns=None, among=None):
    return [row for batch in source.read(table, columns, among) for row in batch.to_pylist()]


def expected(source, table, among):
    return [row for row in read(source, table) if row[among.column] in among.values]


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("registered_models", "name", ("a",)),
        ("registered_models", "name", tuple(sorted(NAMES[:9]))),
        ("registered_models", "name", tuple(sorted(NAMES))),
        ("registered_models", "workspace", ("default", "other")),
        ("registered_models", "name", ()),
        ("registered_models", "name", ("nothing",)),
        ("runs", "run_uuid", tuple(RUNS[1::2])),
        ("runs", "run_uuid", tuple(RUNS)),
        ("runs", "experiment_id", (0, 7)),
        ("params", "run_uuid", tuple(RUNS[:700])),
        ("params", "key", ("k",)),
        ("params", "run_uuid", ("\0", RUNS[3], "it's")),
    ],
)
def test_the_rows_are_those_and_in_order(source, table, column, values):
    among = Among(column, values)
    found = read(source, table, None, among)
    assert found == expected(source, table, among)
    assert bool(found) == bool(set(values) - {"nothing"})


def test_the_column_need_not_be_asked_for(source):
    among = Among("run_uuid", tuple(RUNS[5:9]))
    assert read(source, "params", ("key",), among) == [{"key": "k"}, {"key": "l"}] * 4
    assert read(source, "params", ("value", "run_uuid"), among)[0] == {
        "value": "v", "run_uuid": RUNS[5],
    }  # fmt: skip


def test_a_column_that_is_not_there_is_an_error(source):
    with pytest.raises(KeyError):
        read(source, "params", None, Among("colour", ("red",)))


def test_null_is_among_nothing():
    assert is_among(pa.array(["a", None, "b"]), {"a"}).to_pylist() == [True, False, False]
    assert is_among(pa.array([], pa.string()), {"a"}).to_pylist() == []
    assert is_among(pa.array([1, 2]), {2}).to_pylist() == [False, True]


def test_a_statement_never_grows_without_bound():
    chunks = where_clauses(BY_NAME["runs"], Among("run_uuid", tuple(RUNS)))
    assert len(chunks) == 3
    assert where_clauses(BY_NAME["params"], Among("key", tuple(RUNS * 9))) == [""]
    assert where_clauses(BY_NAME["params"], Among("key", ("x" * 300_000, "y"))) == [""]
    assert where_clauses(BY_NAME["runs"], Among("run_uuid", ())) == []


def test_values_that_engines_may_read_otherwise_are_not_sent():
    for value in ("ä", "\\", "a\0b"):
        assert where_clauses(BY_NAME["runs"], Among("run_uuid", (value,))) == [""]
    quote = where_clauses(BY_NAME["runs"], Among("run_uuid", ("it's; --",)))
    assert quote == ["""WHERE "run_uuid" = 'it''s; --'"""]


@pytest.mark.parametrize("start", range(4))
def test_texts_with_a_nul_character_are_found_in_any_part_of_an_array(start):
    texts = pa.array(["a\0", None, "", "b", "\0"])
    assert with_nul(texts.slice(start)) == [n - start for n in (0, 4) if n >= start]
    assert with_nul(texts.slice(start, 4 - start)) == ([] if start else [0])
    assert with_nul(texts.slice(start, 0)) == with_nul(pa.nulls(2, pa.string())) == []
