from __future__ import annotations

import contextlib
import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlporter.bundle.documents.manifest_entries import PartEntry
from mlporter.bundle.folder.layout import part_path
from mlporter.bundle.tables.read_parts import BATCH_ROWS, PartsInFolder, _most_bytes, read_part
from mlporter.bundle.tables.rows import row_sizes
from mlporter.bundle.tables.small_parts import SmallParts
from mlporter.catalogue.types import Column, Table
from mlporter.errors import BundleDamagedError

TABLE = Table(
    "notes",
    key=("id",),
    columns=(Column("id", pa.int64(), nullable=False), Column("text", pa.string())),
)


def put(root, rows, schema=TABLE.schema, claimed=None, **options):
    """A part as a stranger could make it, with an entry that has its true hash."""
    path = root / part_path("notes", 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows, schema)
    pq.write_table(table, path, store_schema=False, compression="zstd", **options)
    return entry(path, table.num_rows if claimed is None else claimed)


def entry(path, rows):
    data = path.read_bytes()
    return PartEntry(
        path=part_path("notes", 0),
        rows=rows,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def read(root, part, columns=None):
    return list(read_part(PartsInFolder(root), TABLE, part, columns))


def test_columns_come_in_the_order_asked_for(tmp_path):
    part = put(tmp_path, [{"id": 1, "text": "a"}, {"id": 2}])
    (batch,) = read(tmp_path, part, ("text", "id"))
    assert batch.schema == pa.schema([TABLE.schema.field("text"), TABLE.schema.field("id")])
    assert batch["text"].to_pylist() == ["a", None]


def test_batches_are_bounded_in_rows_and_bytes(tmp_path):
    many = put(tmp_path, [{"id": i, "text": "x"} for i in range(3 * BATCH_ROWS)])
    assert [b.num_rows for b in read(tmp_path, many)] == [BATCH_ROWS] * 3
    large = put(tmp_path, [{"id": i, "text": "x" * 2**20} for i in range(40)])
    batches = read(tmp_path, large)
    assert sum(b.num_rows for b in batches) == 40
    assert max(b.num_rows for b in batches) < 17


@pytest.mark.parametrize("claimed", [1, 3])
def test_another_number_of_rows_is_refused(tmp_path, claimed):
    part = put(tmp_path, [{"id": 1}, {"id": 2}], claimed=claimed)
    with pytest.raises(BundleDamagedError, match=f"claims 2 rows, not {claimed}"):
        read(tmp_path, part)


@pytest.mark.parametrize(
    "schema",
    [
        pa.schema([pa.field("id", pa.int64()), pa.field("text", pa.string())]),
        pa.schema([pa.field("id", pa.int32(), nullable=False), pa.field("text", pa.string())]),
        pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("txt", pa.string())]),
        pa.schema([pa.field("id", pa.int64(), nullable=False)]),
        pa.schema([pa.field("text", pa.string()), pa.field("id", pa.int64(), nullable=False)]),
        pa.schema([*TABLE.schema, pa.field("more", pa.int8())]),
    ],
)
def test_another_schema_is_refused(tmp_path, schema):
    part = put(tmp_path, [{"id": 1}], schema)
    with pytest.raises(BundleDamagedError, match="does not have the columns"):
        read(tmp_path, part)


def test_a_changed_byte_is_found_before_anything_is_decoded(tmp_path):
    part = put(tmp_path, [{"id": 1}])
    path = tmp_path / part.path
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(BundleDamagedError, match="does not have the SHA-256"):
        next(read_part(PartsInFolder(tmp_path), TABLE, part))


def test_a_truncated_part_is_refused_by_its_size(tmp_path):
    part = put(tmp_path, [{"id": 1}])
    path = tmp_path / part.path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleDamagedError, match=r"has [\d,]+ bytes, not"):
        read(tmp_path, part)


@pytest.mark.parametrize("content", [b"PAR1", b"PAR1" * 3, b"\0" * 100, b"x"])
def test_what_is_no_parquet_is_refused(tmp_path, content):
    path = tmp_path / part_path("notes", 0)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(BundleDamagedError, match="cannot be decoded"):
        read(tmp_path, entry(path, 1))


def test_a_footer_that_claims_gigabytes_is_refused(tmp_path):
    path = tmp_path / part_path("notes", 0)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1" + b"\0" * 64 + (2**31 - 1).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(BundleDamagedError, match="cannot be decoded"):
        read(tmp_path, entry(path, 1))


def test_a_row_group_of_too_many_rows_is_refused(tmp_path):
    rows = pa.table({"id": pa.array(range(140_000)), "text": pa.nulls(140_000, pa.string())})
    part = put(tmp_path, rows.cast(TABLE.schema), row_group_size=140_000)
    with pytest.raises(BundleDamagedError, match="row group 0 is larger than the format allows"):
        read(tmp_path, part)


def test_a_small_file_cannot_fill_the_memory(tmp_path):
    """One text of 512 KiB, named by each of 131,072 rows: 64 GiB in a file of some kilobytes."""
    size = 131_072
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * size, pa.int32()), ["x" * 2**19])
    schema = pa.schema([TABLE.schema.field("id"), pa.field("text", texts.type)])
    bomb = pa.Table.from_arrays([pa.array(range(size)), texts], schema=schema)
    part = put(tmp_path, bomb, row_group_size=size)
    assert part.bytes < 2**20
    before = pa.total_allocated_bytes()
    seen = []

    def read_all():
        seen.extend(
            (batch.num_rows, pa.total_allocated_bytes() - before)
            for batch in read_part(PartsInFolder(tmp_path), TABLE, part)
        )

    with pytest.raises(BundleDamagedError, match="a row group is larger than the format allows"):
        read_all()
    assert 0 < sum(rows for rows, _ in seen) <= 2**30 // 2**19
    assert max(allocated for _, allocated in seen) < 100 * 2**20


def test_texts_that_are_all_different_take_little_more_than_themselves(tmp_path):
    size = 65_536
    texts = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(size)]
    table = pa.table([pa.array(range(size)), pa.array(texts)], schema=TABLE.schema)
    part = put(tmp_path, table, row_group_size=size)
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        rows = sum(b.num_rows for b in read_part(PartsInFolder(tmp_path), TABLE, part))
    finally:
        pa.set_memory_pool(before)
    assert rows == size
    # As a dictionary they took 19 MB.
    assert pool.max_memory() < 2.5 * table.nbytes, pool.max_memory()


@pytest.mark.parametrize("longest", [1, 100, 10_000])
def test_texts_are_the_same_however_long_those_beside_them_are(tmp_path, longest):
    texts = ["a" * longest, "b", None, "", "b"] * 10
    part = put(tmp_path, [{"id": i, "text": text} for i, text in enumerate(texts)])
    found = [text for batch in read(tmp_path, part) for text in batch["text"].to_pylist()]
    assert found == texts


@pytest.mark.parametrize("texts", [["REPLACEME"], ["REPLACEME", "other"]])
def test_text_that_is_not_utf8_is_refused(tmp_path, texts):
    path = tmp_path / part_path("notes", 0)
    path.parent.mkdir(parents=True)
    rows = [{"id": i, "text": text} for i, text in enumerate(texts)]
    table = pa.Table.from_pylist(rows, TABLE.schema)
    pq.write_table(table, path, store_schema=False, compression="none", write_statistics=False)
    path.write_bytes(path.read_bytes().replace(b"REPLACEME", b"REPLACE\xff\xfe"))
    with pytest.raises(BundleDamagedError, match="cannot be decoded: "):
        read(tmp_path, entry(path, len(texts)))


@given(st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_a_forged_part_is_read_or_refused_and_nothing_else(tmp_path_factory, data):
    """Changed by somebody who also gives it the right hash."""
    root = tmp_path_factory.mktemp("forged")
    part = put(root, [{"id": i, "text": f"text {i % 5}"} for i in range(50)])
    content = bytearray((root / part.path).read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[at] = data.draw(st.integers(0, 255))
    (root / part.path).write_bytes(content)
    with contextlib.suppress(BundleDamagedError):
        for batch in read_part(PartsInFolder(root), TABLE, entry(root / part.path, 50)):
            batch.validate(full=True)
            assert batch.schema == TABLE.schema


def test_parts_are_read_one_after_the_other(tmp_path):
    part = put(tmp_path, [{"id": 1}])
    other = part.model_copy(update={"sha256": "0" * 64})
    batches = SmallParts(PartsInFolder(tmp_path)).read(TABLE, [part, other])
    assert next(batches).num_rows == 1
    with pytest.raises(BundleDamagedError):
        next(batches)


def test_nothing_is_larger_than_it_is_taken_for():
    texts = pa.array(["a", "", None, "bcd", "a"]).dictionary_encode()
    batch = pa.RecordBatch.from_pydict({"text": texts, "number": [1, None, 3, 4, 5]})
    assert sum(row_sizes(batch).to_pylist()) <= _most_bytes(batch)
