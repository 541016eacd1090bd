"""Looking into tables: conditions, order, limits and wide runs."""

from __future__ import annotations

import math
import random
from html.parser import HTMLParser

import pyarrow as pa
import pytest

import mlporter
from mlporter.selection.rows.conditions import meeting, parse_conditions
from mlporter.selection.rows.sorting import sorted_rows

TABLE = pa.table(
    {
        "status": ["FAILED", "it's", None, ""],
        "step": pa.array([1, 2**53 + 1, None, -3], pa.int64()),
        "value": [0.5, math.nan, None, 1e3],
        "is_nan": [False, True, None, False],
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("status = 'FAILED'", [0]),
        ("status != 'FAILED'", [1, 3]),
        ("status = 'it''s'", [1]),
        ('status = ""', [3]),
        ("status LIKE 'f%'", []),
        ("status ilike 'f%' and step=1", [0]),
        ("status IS NULL", [2]),
        ("status is  not null AND is_nan = false", [0, 3]),
        (f"step = {2**53 + 1}", [1]),
        (f"step >= {2**53}", [1]),
        ("value > 5.e2", [3]),
        ("step < 1", [3]),
    ],
)
def test_a_condition_finds_its_rows(text, rows):
    (batch,) = TABLE.to_batches()
    found = meeting(batch, parse_conditions(text, TABLE.schema))
    assert found["step"].to_pylist() == [TABLE["step"][row].as_py() for row in rows]


@pytest.mark.parametrize(
    "text",
    ["", "status", "status = FAILED", "status = 'x", "status = 'x' OR step = 1", "step = '1'",
     "status = 1", "step = true", "step LIKE '1%'", "is_nan > false", "stats = 'x'",
     "status = 'x' AND", "step = 1.2.3", "status = 'x' step = 1"],
)  # fmt: skip
def test_a_condition_that_makes_no_sense_is_refused(text):
    with pytest.raises(mlporter.UsageError) as caught:
        parse_conditions(text, TABLE.schema)
    assert caught.value.hint


@pytest.mark.parametrize("limit", [None, 0, 7, 60_000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_sorting_is_the_same_in_memory_and_with_a_file(limit, sign):
    chance = random.Random(4)
    numbers = [chance.choice([None, n % 997]) for n in range(50_000)]
    chance.shuffle(numbers)
    table = pa.table({"a": pa.array(numbers, pa.int64()), "row": range(50_000)})
    rows = sorted_rows(iter(table.to_batches(1000)), table.schema, f"{sign}a", limit)
    there = [row for row in range(50_000) if numbers[row] is not None]
    there.sort(key=lambda row: -numbers[row] if sign else numbers[row])
    expected = there + [row for row in range(50_000) if numbers[row] is None]
    found = [row for batch in rows for row in batch.column(1).to_pylist()]
    assert found == expected[:limit]


@pytest.fixture(params=["sqlite", "bundle"])
def registry(request, rich_sqlite_template):
    place = rich_sqlite_template.tracking_uri
    if request.param == "bundle":
        place = request.getfixturevalue("rich_bundle")
    with mlporter.open(place) as opened:
        yield opened


def test_wide_runs_are_what_the_tables_say(registry):
    wide = registry.runs()
    narrow = registry.to_pandas("runs")
    assert list(wide["run_uuid"]) == list(narrow["run_uuid"])
    assert str(wide["end_time"].dtype) == "Int64"
    by_run = wide.set_index("run_uuid")
    for table in ("params", "tags"):
        rows = registry.to_pandas(table)
        assert by_run[[n for n in wide if n.startswith(f"{table}.")]].count().sum() == len(rows)
        for row in rows.itertuples():
            assert by_run.loc[row.run_uuid, f"{table}.{row.key}"] == row.value
    points = registry.to_pandas("metrics").sort_values(["step", "timestamp", "value"])
    for row in points.drop_duplicates(["run_uuid", "key"], keep="last").itertuples():
        value = by_run.loc[row.run_uuid, f"metrics.{row.key}"]
        assert math.isnan(value) if row.is_nan else value == row.value


def test_runs_are_found_sorted_and_cut_off(registry):
    every = registry.runs()
    key = max((n for n in every if n.startswith("metrics.")), key=lambda n: every[n].count())
    values = every.set_index("run_uuid")[key].dropna().sort_values(ascending=False, kind="stable")
    middle = float(values.median())
    columns = ("run_uuid", key)
    found = registry.runs(columns, where=f'metrics."{key[8:]}" >= {middle}', sort=f"-{key}")
    assert list(found) == list(columns)
    assert list(found["run_uuid"]) == list(values[values >= middle].index)
    best = registry.runs(sort=f"-{key}", limit=1)
    assert list(best["run_uuid"]) == [values.index[0]]
    # Nothing but what this run has.
    shown = best.drop(columns=[n for n in best if "." not in n])
    assert shown.isna().sum().sum() <= int(every[key].isna().any())
    finished = registry.to_pandas("runs", where="status = 'FINISHED'", sort="-start_time", limit=3)
    assert finished["start_time"].is_monotonic_decreasing
    assert set(finished["status"]) == {"FINISHED"}
    assert registry.runs(limit=0).empty


def test_what_is_not_there_is_refused_and_nearest_named(registry):
    for words in ({"columns": ("statuz",)}, {"sort": "-statuz"}):
        with pytest.raises(mlporter.UsageError, match="no column statuz") as caught:
            registry.to_pandas("runs", **words)
        assert "status" in caught.value.hint
    with pytest.raises(mlporter.UsageError, match=r"no column metrics\.none"):
        registry.runs(("metrics.none",))
    with pytest.raises(mlporter.UsageError):
        registry.to_pandas("runs", where="nothing.x = 1")
    with pytest.raises(mlporter.UsageError, match="wide"):
        registry.read("tags", wide=True)


def test_polars_gets_the_same(registry):
    pytest.importorskip("polars")
    frame = registry.to_polars("params", ("key", "value"), limit=2)
    assert frame.rows() == list(
        registry.to_pandas("params", ("key", "value")).head(2).itertuples(index=False, name=None)
    )


def test_a_notebook_shows_the_tables_that_have_rows(registry):
    words = []
    parser = HTMLParser()
    parser.handle_data = words.append
    parser.feed(registry._repr_html_())
    assert words[words.index("runs") + 1] == str(registry.count("runs"))
