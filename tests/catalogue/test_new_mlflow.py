"""What `tests.support.new_mlflow` says of an MLflow that has more than the catalogue."""

from __future__ import annotations

import copy

import pyarrow as pa
import pytest

from mlporter.catalogue.tables import columns
from mlporter.catalogue.types import Table
from tests.support import new_mlflow


@pytest.fixture(scope="module")
def installed():
    return new_mlflow.describe()


@pytest.fixture
def found(installed):
    """The installed MLflow with a table, a column, a wider type and a revision more."""
    more = copy.deepcopy(installed)
    plain = {"null": True, "cap": None, "generated": False}
    more["version"] = "9.9.1"
    more["revisions"].append("ffffffffffff")
    more["tables"]["runs"]["columns"]["mood"] = {**plain, "type": "text", "cap": 20}
    more["tables"]["params"]["columns"]["value"]["cap"] = 9000
    more["tables"]["moods"] = {
        "columns": {
            "note": {**plain, "type": "text"},
            "run_uuid": {**plain, "type": "text", "cap": 32, "null": False},
            "weight": {**plain, "type": "double"},
        },
        "key": ["run_uuid"],
        "unique": [],
        "foreign_keys": [[["run_uuid"], "runs", ["run_uuid"]]],
    }
    more["messages"]["mlflow.RunInfo"] = [*installed["messages"]["mlflow.RunInfo"], "mood"]
    return more


def test_the_installed_one_has_nothing_new(installed):
    assert new_mlflow.differences(installed) == []


def test_everything_new_is_named(found, installed):
    assert new_mlflow.differences(found) == [
        "new revision ffffffffffff",
        "new column runs.mood: text(20)",
        "changed column params.value: text(8000) NOT NULL -> text(9000) NOT NULL",
        "new table moods: note, run_uuid, weight",
    ]
    assert list(new_mlflow.of_messages(found, installed)) == ["new fields of mlflow.RunInfo: mood"]


def test_the_draft_is_an_entry_of_the_catalogue(found):
    lines = new_mlflow.draft(found).splitlines()
    assert '("ffffffffffff", "9.9.0"),' in lines
    assert 'text("mood", 20),' in lines
    assert "Change(\"ffffffffffff\", ('moods',), {'runs': {'mood': 'NULL'}})," in lines
    start = lines.index("MOODS = Table(")
    entry = "\n".join(lines[start : lines.index(")", start) + 1])
    made: dict[str, Table] = {}
    exec(entry, {"Table": Table, **vars(columns)}, made)  # noqa: S102 -- of our own making
    table = made["MOODS"]
    assert (table.key, table.parent, table.bulky) == (("run_uuid",), "runs", True)
    assert table.references == (columns.foreign_key(("run_uuid",), "runs"),)
    assert table.schema == pa.schema(
        [
            pa.field("run_uuid", pa.string(), nullable=False),
            pa.field("note", pa.string()),
            pa.field("weight", pa.float64()),
        ]
    )
