"""A registry as MLflow wrote it, against copies of itself."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from mlporter.compare.diff import diff_sources
from mlporter.compare.report import TableCounts
from mlporter.compare.scope import CompareOptions
from mlporter.stores.opening import open_source


def diff(left, right, **options):
    one, two = open_source(left.tracking_uri), open_source(right.tracking_uri)
    try:
        return diff_sources(one, two, CompareOptions(**options))
    finally:
        one.close()
        two.close()


@pytest.mark.parametrize("strict", [False, True])
def test_a_registry_is_the_same_as_itself(rich_sqlite, strict):
    report = diff(rich_sqlite, rich_sqlite, strict=strict)
    assert report.differences == []
    assert report.identical
    assert report.tables["runs"].same > 5
    assert report.tables["artifacts"].same > 5


def test_a_registry_is_the_same_as_its_copy_elsewhere(rich_sqlite_template, rich_sqlite_private):
    assert rich_sqlite_template.artifact_root != rich_sqlite_private.artifact_root
    report = diff(rich_sqlite_template, rich_sqlite_private)
    assert report.differences == []
    strict = diff(rich_sqlite_template, rich_sqlite_private, strict=True)
    assert "artifact_uri" in {name for d in strict.differences for name in d.columns}


def test_one_value_one_row_and_one_file_are_found(rich_sqlite_template, rich_sqlite_private):
    with sqlite3.connect(rich_sqlite_private.database_path) as database:
        database.execute("UPDATE params SET value = 'other' WHERE rowid = 3")
        database.execute("DELETE FROM metrics WHERE rowid = 5")
        (model,) = database.execute(
            "SELECT artifact_location FROM logged_models LIMIT 1"
        ).fetchone()
    database.close()
    shutil.copyfile(__file__, Path(model) / "MLmodel")
    report = diff(rich_sqlite_template, rich_sqlite_private)
    found = {name: counts for name, counts in report.tables.items() if counts.different}
    assert found == {
        "params": TableCounts(report.tables["params"].same, differs=1),
        "metrics": TableCounts(report.tables["metrics"].same, only_left=1),
        "artifacts": TableCounts(report.tables["artifacts"].same, differs=1),
    }
