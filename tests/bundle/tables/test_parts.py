from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlporter.bundle.documents.manifest_entries import table_entry
from mlporter.bundle.folder.layout import PART_BYTES, part_limit
from mlporter.bundle.tables import parts as parts_module
from mlporter.bundle.tables.parts import PartWriter
from mlporter.bundle.tables.read_parts import PartsInFolder
from mlporter.bundle.tables.small_parts import SmallParts
from mlporter.catalogue.types import Column, Table
from mlporter.errors import MlporterError, UnsupportedError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = {
    pa.bool_(): st.booleans(),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=True),
    pa.string(): TEXT,
    pa.binary(): st.binary(max_size=8),
    pa.date32(): st.dates(),
}
KEY = Column("owner", pa.string(), nullable=False), Column("number", pa.int32(), nullable=False)
TYPES = st.lists(st.sampled_from(list(VALUES)), max_size=5)


@st.composite
def tables(draw):
    """A table, and its rows sorted as the format says."""
    kinds = draw(TYPES)
    table = Table(
        "some_table",
        key=("owner", "number"),
        columns=(*KEY, *(Column(f"c{i}", kind) for i, kind in enumerate(kinds))),
    )
    keys = draw(st.sets(st.tuples(TEXT, VALUES[pa.int32()]), max_size=40))
    rows = [
        {
            "owner": owner,
            "number": number,
            **{f"c{i}": draw(st.none() | VALUES[kind]) for i, kind in enumerate(kinds)},
        }
        for owner, number in sorted(keys, key=lambda key: (key[0].encode(), key[1]))
    ]
    return table, pa.Table.from_pylist(rows, table.schema)


def write(root, table, batches):
    return PartWriter(root, table).write(batches)


def read_back(root, table, parts):
    batches = list(SmallParts(PartsInFolder(root)).read(table, table_entry(table, parts).parts))
    return pa.Table.from_batches(batches, table.schema)


def split(whole, cuts):
    """The same rows in batches that end at these places, empty ones included."""
    edges = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    for start, end in itertools.pairwise(edges):
        piece = whole.slice(start, end - start).combine_chunks()
        yield from piece.to_batches() or [pa.RecordBatch.from_pylist([], whole.schema)]


def exact(whole):
    """Rows with floats by their bits: NaN is NaN, and -0.0 is not 0.0."""
    return [
        {k: v.hex() if isinstance(v, float) else v for k, v in row.items()}
        for row in whole.to_pylist()
    ]


@given(tables())
@settings(max_examples=60)
def test_rows_come_back_as_they_were(made):
    table, whole = made
    with tempfile.TemporaryDirectory() as folder:
        parts = write(Path(folder), table, whole.to_batches())
        assert exact(read_back(Path(folder), table, parts)) == exact(whole)
        assert bool(parts) == bool(len(whole))


@given(tables(), st.lists(st.integers(0, 100), max_size=6))
@settings(max_examples=60)
def test_bytes_depend_on_the_rows_only(made, cuts):
    table, whole = made
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        assert write(Path(one), table, whole.to_batches()) == write(
            Path(other), table, split(whole, cuts)
        )


@pytest.fixture(scope="module", autouse=True)
def small_limits():
    """Row groups and parts so small that a test reaches every cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "GROUP_ROWS", 7)
        patch.setattr(parts_module, "GROUP_BYTES", 200)
        patch.setattr(parts_module, "part_limit", lambda index: 500 << (index // 3))
        yield


RUNS = Table(
    "metrics",
    key=("run", "step"),
    columns=(
        Column("run", pa.string(), nullable=False),
        Column("step", pa.int64(), nullable=False),
        Column("note", pa.string()),
    ),
)


def run_rows(lengths):
    rows = [
        {"run": f"run{number:03}", "step": step, "note": "x" * (step % 11)}
        for number, length in enumerate(lengths)
        for step in range(length)
    ]
    return pa.Table.from_pylist(rows, RUNS.schema)


@given(st.lists(st.integers(0, 30), max_size=20), st.lists(st.integers(0, 600), max_size=9))
@settings(max_examples=40)
def test_cuts_lie_between_runs_however_the_rows_come(lengths, cuts):
    whole = run_rows(lengths)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        parts = write(Path(one), RUNS, whole.to_batches())
        assert parts == write(Path(other), RUNS, split(whole, cuts))
        runs = [set(read_back(Path(one), RUNS, [part])["run"].to_pylist()) for part in parts]
        assert sum(map(len, runs)) == len(set().union(*runs))
        assert read_back(Path(one), RUNS, parts) == whole


def test_a_part_ends_with_the_run_that_filled_it(tmp_path):
    parts = write(tmp_path, RUNS, run_rows([100, 1, 1]).to_batches())
    assert [part.rows for part in parts] == [100, 2]
    assert [part.path for part in parts] == [
        "tables/metrics/00000.parquet",
        "tables/metrics/00001.parquet",
    ]


def test_the_limit_of_parts_doubles_so_that_few_are_needed():
    assert [part_limit(index) for index in (0, 15, 16, 31, 32)] == [
        PART_BYTES,
        PART_BYTES,
        2 * PART_BYTES,
        2 * PART_BYTES,
        4 * PART_BYTES,
    ]
    assert sum(part_limit(index) for index in range(160)) > 4 * 10**12


def test_a_table_without_rows_has_no_part_and_no_folder(tmp_path):
    empty = pa.RecordBatch.from_pylist([], RUNS.schema)
    assert write(tmp_path, RUNS, [empty, empty]) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [[(1, 1), (1, 0)], [(1, 1), (1, 1)], [(2, 0), (1, 5)]])
@pytest.mark.parametrize("apart", [False, True])
def test_rows_out_of_order_are_refused(tmp_path, rows, apart):
    whole = pa.Table.from_pylist(
        [{"run": f"r{run}", "step": step} for run, step in rows], RUNS.schema
    )
    with pytest.raises(MlporterError, match="rows of metrics are not sorted"):
        write(tmp_path, RUNS, split(whole, [1] if apart else []))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_text_is_ordered_by_its_utf8_bytes_not_by_utf16(tmp_path):
    rows = [{"run": run, "step": 0} for run in ("Z", "a", "é", "\uffff", "\U00010000")]
    assert write(tmp_path, RUNS, pa.Table.from_pylist(rows, RUNS.schema).to_batches())[0].rows == 5


def test_another_schema_is_refused(tmp_path):
    wrong = pa.RecordBatch.from_pydict({"run": ["a"], "step": [1], "note": [1.5]})
    with pytest.raises(MlporterError, match="rows of metrics have schema"):
        write(tmp_path, RUNS, [wrong])


def test_an_error_of_the_source_is_passed_on_and_nothing_half_written_stays(tmp_path):
    def broken():
        yield from run_rows([3]).to_batches()
        raise OSError("the source went away")

    with pytest.raises(OSError, match="the source went away"):
        write(tmp_path, RUNS, broken())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("kind", [pa.large_string(), pa.timestamp("ms"), pa.list_(pa.int8())])
def test_types_that_a_bundle_does_not_hold_are_refused(tmp_path, kind):
    table = Table("odd", key=(), columns=(Column("c", kind),))
    with pytest.raises(UnsupportedError, match="column c has type"):
        PartWriter(tmp_path, table)


def test_a_table_of_any_name_stays_below_tables(tmp_path):
    table = Table("../Runs", key=(), columns=(Column("c", pa.int8()),))
    parts = write(tmp_path, table, [pa.RecordBatch.from_pydict({"c": [2, 1]}, table.schema)])
    assert [part.path for part in parts] == ["tables/%2E%2E%2F%52uns/00000.parquet"]
    assert read_back(tmp_path, table, parts)["c"].to_pylist() == [2, 1]


def test_a_name_that_no_folder_can_have_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="too long"):
        PartWriter(tmp_path, Table("Ü" * 100, key=(), columns=()))


def test_a_row_that_no_reader_would_take_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "MAX_GROUP_BYTES", 300)
    rows = [{"run": "a", "step": 0, "note": "x" * 300}]
    with pytest.raises(UnsupportedError, match="longer than the 1 GiB"):
        write(tmp_path, RUNS, pa.Table.from_pylist(rows, RUNS.schema).to_batches())
