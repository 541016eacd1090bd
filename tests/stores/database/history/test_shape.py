"""To which revision's shape rows are brought, and what the catalogue's tables are there."""

from __future__ import annotations

import pytest

from mlporter.catalogue import HEAD_REVISION, TABLES
from mlporter.stores.database.history.shape import shape_for, tables_at

V317, V218, SKILLS, ISSUES = "dc11669786a5", "0584bdc529eb", "e7d1f4b2a9c6", "8b6ad64cb8f5"


@pytest.mark.parametrize(
    ("least", "installed", "shape"),
    [
        (V218, V317, V317),
        (V218, SKILLS, SKILLS),
        (SKILLS, V317, HEAD_REVISION),  # there is no room in it for skills
        (V218, V218, V317),  # nothing is brought to a shape before 3.17's
        (V317, V218, V317),
        (SKILLS, V218, HEAD_REVISION),
        (V218, "ffffffffffff", HEAD_REVISION),
    ],
)
def test_rows_take_the_shape_of_the_installed_mlflow(least, installed, shape):
    assert shape_for(least, installed) == shape


def test_tables_and_columns_that_came_later_are_not_there():
    at = {t.name: t for t in tables_at(V317)}
    assert {t.name for t in TABLES} - set(at) == {
        "issue_categories", "skills", "skill_versions", "skill_tags", "skill_version_tags",
        "skill_aliases",
    }  # fmt: skip
    assert "metadata" not in at["issues"].by_name
    assert "metadata" in {t.name: t for t in tables_at(ISSUES)}["issues"].by_name
    assert tables_at(HEAD_REVISION) == TABLES == tables_at("ffffffffffff")
