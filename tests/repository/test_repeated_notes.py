"""What a snapshot says of its source, it says again as long as it holds, whatever is reused."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

import mlporter
from tests.repository.registry import SmallRegistry

RUNS = [f"{number:032x}" for number in range(3)]
MANY = 900
"""Points of a run: so many that a table of them is written in layers."""


@pytest.fixture
def registry(mlflow_sqlite_template, tmp_path):
    made = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    for run in RUNS:
        made.add_run(run, 0)
        made.add_many_points(run, MANY)
    return made


@pytest.fixture
def noted(registry, tmp_path):
    """Takes a snapshot, and gives what it says and what a fresh export says."""
    repository, numbers = tmp_path / "r", iter(range(9))

    def take():
        made = mlporter.backup(registry.url, repository)
        assert mlporter.verify(f"{repository}/@latest").check.problems == []
        bundle = tmp_path / f"fresh{next(numbers)}"
        fresh = mlporter.export(registry.url, bundle)
        points = pq.read_table(bundle / "tables" / "metrics").to_pylist()
        with mlporter.open(f"{repository}/@latest") as kept:
            assert [row for batch in kept.read("metrics") for row in batch.to_pylist()] == points
            # It is written down, too, and not only said once.
            told = [row for batch in kept.read("left_out") for row in batch.to_pylist()]
        news = {(row["kind"], row["id"], row["path"]) for row in told if not row["expected"]}
        assert news == {item[:3] for item in left_out(fresh)}
        assert made.exit_code == fresh.exit_code
        return left_out(made.result), left_out(fresh)

    return take


def left_out(result):
    """What nobody expected to be left out, or found."""
    found = (item for item in result.left_out.first if not item.expected)
    return sorted((item.kind, item.id, item.path, item.reason, item.detail) for item in found)


def test_latest_metrics_that_are_not_the_latest(registry, noted):
    registry.sql("UPDATE latest_metrics SET value = 99 WHERE run_uuid = ?", RUNS[0])
    first, fresh = noted()
    assert [reason for *_, reason, _ in first] == ["inconsistent"]
    assert first == fresh
    assert noted() == (first, first)  # nothing changed
    registry.sql("UPDATE latest_metrics SET value = 98 WHERE run_uuid = ?", RUNS[1])
    more, fresh = noted()  # and another one of a run that is read again
    assert more == fresh != first
    for run in RUNS[:2]:
        registry.sql(
            "UPDATE latest_metrics SET value = (SELECT value FROM metrics AS m WHERE m.run_uuid ="
            " latest_metrics.run_uuid AND m.step = latest_metrics.step) WHERE run_uuid = ?",
            run,
        )
    assert noted() == ([], [])


def test_of_a_run_that_was_sound(registry, noted):
    assert noted() == ([], [])
    registry.sql("UPDATE latest_metrics SET value = 99 WHERE run_uuid = ?", RUNS[2])
    now, fresh = noted()
    assert len(now) == 1
    assert now == fresh


def test_a_nul_character_in_the_name_of_a_metric(registry, noted):
    nul = "UPDATE {} SET key = 'a' || char(0) || 'b' WHERE run_uuid = ? AND step = ?"
    for table in ("metrics", "latest_metrics"):
        registry.sql(nul.format(table), RUNS[0], MANY - 1)
    first, fresh = noted()
    assert first == fresh != []
    registry.add_many_points(RUNS[1], 1)
    assert noted() == (first, first)


def test_points_that_do_not_fit(registry, noted):
    registry.sql("UPDATE metrics SET step = 'first' WHERE run_uuid = ? AND step = 0", RUNS[0])
    first, fresh = noted()
    assert first == fresh != []
    assert noted() == (first, first)
    registry.add_many_points(RUNS[1], 1)
    assert noted() == (first, first)


def test_points_that_do_not_fit_in_a_run_that_is_read_again(registry, noted):
    assert noted() == ([], [])
    registry.add_many_points(RUNS[1], 1)
    registry.sql("UPDATE metrics SET step = 'first' WHERE run_uuid = ? AND step = 0", RUNS[1])
    now, fresh = noted()
    assert now == fresh != []


def test_tags_that_do_not_fit_in_a_table_of_many(registry, noted):
    registry.sql(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
        " INSERT INTO tags (key, value, run_uuid) SELECT 'k' || i, 'v', ? FROM n",
        RUNS[0],
    )
    assert noted() == ([], [])
    registry.set_tag(RUNS[1], "broken", "x")
    registry.sql("UPDATE tags SET value = x'ff' WHERE key = 'broken'")
    now, fresh = noted()
    assert now == fresh != []
    assert noted() == (now, now)
