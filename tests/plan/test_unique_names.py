"""What must have a name of its own in its experiment is no copy beside another of that name."""

from __future__ import annotations

import pytest

import mlporter
from mlporter.errors import ConflictError
from tests.plan.registries import Registry
from tests.plan.test_properties import check
from tests.support.databases import rows
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url

KINDS = {
    "scorers": ("scorer_id", {"scorer_name": "judge"}, {"scorer_name": "judge"}),
    "label_schemas": (
        "schema_id",
        {"name": "good", "instruction": "x"},
        {"name": "good", "instruction": "y"},
    ),
    "review_queues": (
        "queue_id",
        {"name": "Q", "name_key": "q", "created_by": "x"},
        {"name": "Q", "name_key": "q", "created_by": "y"},
    ),
}


def _place(template, path, *added):
    copy_sqlite(template, path)
    experiments = (
        ("experiments", (("experiment_id", number), ("name", name), ("lifecycle_stage", "active")))
        for number, name in ((1, "alpha"), (2, "beta"))
    )
    Registry((*experiments, *((t, tuple(v.items())) for t, v in added))).fill(path)
    return path


def _both(template, folder, kind, *, elsewhere):
    key, mine, theirs = KINDS[kind]
    own = {"experiment_id": 1, key: "one", **mine}
    other = {"experiment_id": 2 if elsewhere else 1, key: "one", **theirs}
    version = {"scorer_id": "one", "scorer_version": 1}
    below = [
        [("scorer_versions", {**version, "serialized_scorer": f'{{"v": "{v}"}}'})]
        if kind == "scorers"
        else []
        for v in "xy"
    ]
    return (
        _place(template, folder / "source.db", (kind, own), *below[0]),
        _place(template, folder / "target.db", (kind, other), *below[1]),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_beside_another_of_its_name_it_is_a_conflict(mlflow_sqlite_template, tmp_path, kind):
    source, target = _both(mlflow_sqlite_template, tmp_path, kind, elsewhere=False)
    check(source, target, {"on_conflict": "rename", "artifacts": "none"})
    with pytest.raises(ConflictError, match=f"{kind[:-1].replace('_', ' ')} one.*same name"):
        mlporter.copy(
            sqlite_url(source), sqlite_url(target), on_conflict="rename", artifacts="none"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_where_its_name_is_free_it_is_copied_once(mlflow_sqlite_template, tmp_path, kind):
    source, target = _both(mlflow_sqlite_template, tmp_path, kind, elsewhere=True)
    check(source, target, {"on_conflict": "rename", "artifacts": "none"})
    assert rows(sqlite_url(target), f"SELECT count(*) FROM {kind}") == [(2,)]
