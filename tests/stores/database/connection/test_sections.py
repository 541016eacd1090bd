"""A large table as statements whose rows follow one another."""

import pyarrow as pa
import pytest

from mlporter.catalogue import BY_NAME
from mlporter.stores.database.connection.sections import has_owners, rows_each, sections

METRICS = BY_NAME["metrics"]


def counts(*rows):
    """Owners `a`, `b`, … and how many rows each has, in batches of two."""
    owners = [chr(ord("a") + number) for number in range(len(rows))]
    table = pa.table({"run_uuid": owners, "rows": pa.array(rows, pa.int64())})
    return table.to_batches(max_chunksize=2)


@pytest.mark.parametrize(
    ("rows", "each", "found"),
    [
        ((), 10, []),
        ((5,), 10, ["= 'a'"]),
        ((5, 5, 1), 10, ["IN ('a', 'b')", "= 'c'"]),
        ((1, 100, 1, 1), 10, ["= 'a'", "= 'b'", "IN ('c', 'd')"]),
        ((1, 1), 1, ["= 'a'", "= 'b'"]),
    ],
)
def test_sections_are_cut_between_owners(rows, each, found):
    assert [*sections(METRICS, counts(*rows), each)] == [f'WHERE "run_uuid" {one}' for one in found]


def test_a_statement_does_not_name_owners_without_end():
    owners = [f"{number:05}" for number in range(12_000)]
    many = pa.record_batch({"run_uuid": owners, "rows": pa.array([1] * len(owners), pa.int64())})
    found = [*sections(METRICS, [many], 100_000)]
    assert [one.count("'") // 2 for one in found] == [5000, 5000, 2000]


def test_a_section_is_of_some_megabytes_whatever_a_row_takes():
    assert 90_000 < rows_each(9_000_000, 9_000_000 * 130, 4) < 110_000
    assert rows_each(200_000, 200_000 * 100_000, 4) == 125
    assert rows_each(1, 1 << 40, 4) == 1


def test_every_connection_has_several_sections_to_read():
    assert rows_each(200_000, 200_000 * 130, 2) == 25_000
    assert rows_each(200_000, 200_000 * 130, 5) == 10_000


def test_owners_have_several_rows_and_a_name():
    found = {name for name, table in BY_NAME.items() if has_owners(table)}
    assert {"metrics", "params", "tags", "spans", "trace_tags"} <= found
    assert not found & {"runs", "experiments", "experiment_tags"}
