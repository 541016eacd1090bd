import csv
import io
import json
import math
import sqlite3
from contextlib import closing

import pyarrow as pa
import pytest

import mlporter as api

TABLE = pa.table(
    {
        "run_uuid": ["0" * 32, "1" * 32, "2" * 32],
        "key": ["a,b", "", 'say "hi"\n\x1b[31m'],
        "value": pa.array([0.1, math.nan, -math.inf]),
        "step": pa.array([1, None, -(2**53) - 1], pa.int64()),
        "is_nan": [False, True, None],
        "creation_time": pa.array([1_795_258_433_566] * 3, pa.int64()),
        "blob": pa.array([b"\x00\xff", None, b""], pa.binary()),
        "nothing": pa.nulls(3, pa.string()),
        "text": ["x" * 100, "ü😀", None],
    }
)


@pytest.fixture
def shown(mlporter, fake):
    """Show TABLE, in batches of one row."""

    def show(*options, table=TABLE):
        reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(1))
        fake("show", reader)
        finished = mlporter("show", "backup", "metrics", *options)
        assert (finished.code, finished.err) == (0, "")
        return finished

    return show


def test_a_table_fits_the_terminal(shown, golden):
    golden("show", shown("--limit", 2).out)


def test_a_pipe_gets_all_columns(shown, monkeypatch, golden, mlporter):
    monkeypatch.delenv("COLUMNS")

    out = shown().out

    golden("show-wide-lines", out)
    assert "not shown" not in out


def test_no_rows(shown):
    assert "no rows\n" in shown(table=TABLE.slice(0, 0)).out
    assert shown("--format", "json", table=TABLE.slice(0, 0)).out == "[]\n"
    assert shown("--limit", "0").out.splitlines()[1:][0] == "no rows"


def test_csv_tells_empty_from_null(shown, golden):
    text = shown("--format", "csv").out

    golden("show-csv-lines", text)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[2]["key"] == 'say "hi"\n\x1b[31m'
    assert text.startswith("run_uuid,key,value,step,is_nan,creation_time,blob,nothing,text\n")


def test_json_is_an_array(shown):
    rows = json.loads(shown("--format", "json").out)

    assert rows[1]["key"] == ""
    assert rows[2]["step"] == -(2**53) - 1
    assert [row["value"] for row in rows] == [0.1, "NaN", "-Infinity"]
    assert [row["blob"] for row in rows] == ["00ff", None, ""]
    assert rows[1]["text"] == "ü😀"


@pytest.mark.parametrize("how", ["csv", "json"])
@pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (2, 2), (3, 3), (9, 3)])
def test_limit(shown, how, limit, count):
    text = shown("--format", how, "--limit", limit).out

    rows = json.loads(text) if how == "json" else list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == count


def test_with_json_there_is_one_object(shown):
    data = shown("--json", "--limit", 1).json

    assert data["table"] == "metrics"
    assert data["columns"] == TABLE.column_names
    assert [row["run_uuid"] for row in data["rows"]] == ["0" * 32]


def test_columns_reach_the_function(mlporter, monkeypatch):
    asked = []

    def show(address, table, *, columns, registry, auth, retry_time, source_env, **asked_for):
        assert asked_for == {"where": "a = 1", "sort": "-value", "limit": 101, "wide": False}
        asked.append((columns, registry, auth, source_env))
        return pa.RecordBatchReader.from_batches(TABLE.schema, [])

    monkeypatch.setattr(api, "show", show, raising=False)

    words = ("--columns", "key, value", "--auth", "sqlite:///a.db", "--registry", "sqlite:///r.db")
    words += ("--source-env", "DEV_", "--where", "a = 1", "--sort", "-value")
    assert mlporter("show", "backup", "metrics", *words).code == 0
    assert asked == [(("key", "value"), "sqlite:///r.db", "sqlite:///a.db", "DEV_")]
    assert mlporter("show", "backup", "metrics", "--columns", "key,").code == 2


def test_a_real_registry(mlporter, plain_sqlite):
    out = mlporter(
        "show", plain_sqlite.tracking_uri, "runs", "--format", "csv", "--columns", "run_uuid"
    ).out

    assert set(plain_sqlite.run_ids) <= {line.strip('"') for line in out.splitlines()}
    assert mlporter("show", plain_sqlite.tracking_uri, "no_such_table").code == 2


@pytest.mark.parametrize("how", ["table", "csv", "json"])
def test_passwords_in_the_uris_of_rows_are_hidden(mlporter, plain_sqlite, how):
    uri = "s3://key:s3cret-w@bucket/x"
    with closing(sqlite3.connect(plain_sqlite.database_path)) as database:
        database.execute("UPDATE runs SET artifact_uri = ?", (uri,))
        database.execute(
            "INSERT INTO datasets VALUES ('u', 1, 'd', 'd', 'http', ?, NULL, NULL)",
            ('{"url": "https://me:s3cret-w@host/data.csv"}',),
        )
        database.commit()
    for table, columns in (("runs", "run_uuid,artifact_uri"), ("datasets", "dataset_source")):
        words = ("--format", how, "--columns", columns)
        done = mlporter("show", plain_sqlite.tracking_uri, table, *words)
        assert done.code == 0, done.err
        assert "s3cret-w" not in done.out
        assert ":***@" in done.out
    whole = mlporter("show", plain_sqlite.tracking_uri, "runs", "--json")
    assert "s3cret-w" not in whole.out


def test_times_are_dates_for_people_and_numbers_for_programs(shown):
    table = TABLE.select(["run_uuid", "creation_time"])

    assert "2026-11-21T10:53:53.566Z" in shown(table=table).out
    assert "1795258433566" in shown("--epoch", table=table).out
    assert "1795258433566" in shown("--format", "csv", table=table).out


def test_wide_runs_of_a_real_registry(mlporter, rich_sqlite_template):
    words = ("show", rich_sqlite_template.tracking_uri, "runs", "--wide", "--json")
    rows = mlporter(*words).json["rows"]
    # Which runs come first is chance, as their ids are: so this looks at all of them.
    assert any(name.startswith("params.") for name in rows[0])
    assert len(mlporter(*words, "--limit", 3).json["rows"]) == 3
