"""Two registries that people edit on both sides, and that are kept in step in between."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

import mlporter
from tests.support.databases import dump
from tests.support.engines import copy_sqlite
from tests.support.examples import examples
from tests.support.mlflow_session import forget_mlflow_state, sqlite_url
from tests.verbs.histories import registry
from tests.verbs.two_sides import (
    BEGINNING,
    cells,
    edits,
    interrupted_sync,
    is_of_the_target,
    is_settled,
    let_happen,
    lost,
    names_of,
    rounds,
    said,
)

_COUNT = itertools.count()
_QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.timeout(3600)
@settings(
    max_examples=examples(2),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=_QUIET,
)
@given(first=edits, rounds=rounds)
def test_between_sqlite_databases(mlflow_sqlite_template, tmp_path, first, rounds):
    folder = tmp_path / str(next(_COUNT))
    (folder / "source").mkdir(parents=True)
    source = registry(mlflow_sqlite_template, folder / "source", BEGINNING + first)
    copy_sqlite(mlflow_sqlite_template, folder / "target.db")
    stay_in_step(source, sqlite_url(folder / "target.db"), rounds)


@pytest.mark.timeout(3600)
@settings(
    max_examples=examples(1),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=_QUIET,
)
@given(first=edits, rounds=rounds)
def test_into_postgresql(mlflow_sqlite_template, postgres, tmp_path, first, rounds):
    folder = tmp_path / str(next(_COUNT))
    folder.mkdir()
    source, target = (
        registry(mlflow_sqlite_template, folder, BEGINNING + first),
        postgres.new_mlflow_database(),
    )
    stay_in_step(source, target, rounds)
    forget_mlflow_state()
    postgres.drop(target)


def stay_in_step(source, target, rounds):
    """Sync after whatever people did, round after round."""
    files = {"artifact_root": Path.cwd() / "root"}
    mlporter.sync(source, target, **files)
    sent, was_edited = [cells(target)], False
    for here, there, wishes, kill in rounds:
        let_happen(source, here)
        let_happen(target, there)
        was_edited |= bool(there)
        wanted = {**files, **wishes, "max_delete": 1000}
        if kill is not None:
            killed(source, target, kill, wanted, sent)
        before, edited = dump(target), cells(target)
        plan = mlporter.sync(source, target, dry_run=True, **wanted)
        assert dump(target) == before
        done = mlporter.sync(source, target, **wanted)
        note("\n".join(map(str, done.actions.first)))
        assert said(done) == said(plan)
        now = cells(target)
        named = names_of(done) if wishes["prefer"] == "ours" else set()
        assert done.fresh or not lost(sent, edited, now, named)
        after = dump(target)
        again = mlporter.sync(source, target, **wanted)
        assert not again.actions.total("create", "update", "move", "delete")
        # What MLflow puts into a new one counts as nothing.
        assert again.rows == 0 or again.fresh
        assert dump(target) == after
        was_edited |= done.actions.total("delete") > 0  # into the trash, where the source has none
        if is_settled(done):
            found = mlporter.diff(source, target, artifacts="none").differences
            found = [one for one in found if one.columns.keys() != {"deleted_time"}]  # twice
            assert not [one for one in found if not (was_edited and is_of_the_target(one))]
        sent.append(now)


def killed(source, target, after, wanted, sent):
    """Stop a sync somewhere: then all of it is there, or nothing."""
    before, edited = dump(target), cells(target)
    if interrupted_sync(source, target, after, **wanted) and dump(target) != before:
        assert wanted["prefer"] == "ours" or not lost(sent, edited, cells(target), set())
