"""How a comparison of equal metrics fares against reading the same batches once."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from mlporter.compare.rows.streams import compare_streams
from tests.compare.memory_source import METRICS

RUNS, KEYS, STEPS, BATCH = 200, 10, 1000, 65_536
ROWS = RUNS * KEYS * STEPS


@pytest.fixture(scope="module")
def metrics():
    runs = pa.array([f"{run:032x}" for run in range(RUNS)])
    keys = pa.array([f"metric_{key}" for key in range(KEYS)])
    columns = [
        runs.take(pa.array(np.repeat(np.arange(RUNS), KEYS * STEPS))),
        keys.take(pa.array(np.tile(np.repeat(np.arange(KEYS), STEPS), RUNS))),
        pa.array(np.tile(np.arange(STEPS), RUNS * KEYS)),
        pa.array(np.random.default_rng(0).normal(size=ROWS)),
        pa.array(np.zeros(ROWS, dtype=bool)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=METRICS.schema)


def stream(metrics, size):
    for start in range(0, metrics.num_rows, size):
        yield metrics.slice(start, size)


def best(action, times=3):
    took = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        took.append(time.perf_counter() - start)
    return min(took)


@pytest.mark.bench
def test_comparing_equal_metrics_costs_less_than_reading_them(metrics, tmp_path):
    with pq.ParquetWriter(tmp_path / "metrics.parquet", METRICS.schema, compression="zstd") as out:
        for batch in stream(metrics, BATCH):
            out.write_batch(batch)

    def batches(size=BATCH):
        return pq.ParquetFile(tmp_path / "metrics.parquet").iter_batches(size, use_threads=False)

    def read():
        for batch in (*batches(), *batches()):
            assert batch.num_rows

    left, right = list(batches()), list(batches(50_000))

    def compare():
        assert compare_streams(METRICS, iter(left), iter(right), print).same == ROWS

    reading, comparing = best(read), best(compare)
    print(f"\n{ROWS / comparing / 1e6:.1f} M rows/s, {comparing / reading:.2f} x reading Parquet")
    assert comparing < reading


@pytest.mark.bench
def test_a_difference_in_every_run_costs_little(metrics):
    steps = metrics.column(2).to_numpy()
    keep = pa.array(~((steps == 500) & (np.arange(ROWS) // STEPS % KEYS == 3)))
    fewer = metrics.filter(keep)

    def equal():
        compare_streams(METRICS, stream(metrics, BATCH), stream(metrics, 50_000), print)

    def different():
        counts = compare_streams(
            METRICS, stream(metrics, BATCH), stream(fewer, BATCH), lambda _: None
        )
        assert (counts.only_left, counts.differs) == (RUNS, 0)

    ratio = best(different) / best(equal)
    print(f"\n{ratio:.2f} x comparing what is equal")
    assert ratio < 4


@pytest.mark.bench
def test_nothing_in_common_is_still_fast(metrics):
    names = pc.binary_join_element_wise("f", pc.utf8_slice_codeunits(metrics.column(0), 1), "")
    shifted = metrics.set_column(0, METRICS.schema.field("run_uuid"), names)

    def different():
        counts = compare_streams(
            METRICS, stream(metrics, BATCH), stream(shifted, BATCH), print, limit=0
        )
        assert counts.only_left == counts.only_right == ROWS

    def equal():
        compare_streams(METRICS, stream(metrics, BATCH), stream(metrics, 50_000), print)

    ratio = best(different) / best(equal)
    print(f"\n{ratio:.2f} x comparing what is equal")
    assert ratio < 10
