"""After whatever people did to both sides: what the dry run says is what happens."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.support.databases import dump
from tests.support.engines import copy_sqlite
from tests.support.examples import examples
from tests.support.mlflow_session import forget_mlflow_state, sqlite_url
from tests.verbs.histories import follow, histories, outcome, registry, wishes_of_people

_COUNT = itertools.count()


@pytest.mark.timeout(3600)
@settings(
    max_examples=examples(3),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(first=histories, here=histories, there=histories, wishes=wishes_of_people)
def test_into_a_database(  # noqa: PLR0917 -- fixtures and what is made up
    mlflow_sqlite_template, tmp_path, first, here, there, wishes
):
    folder = tmp_path / str(next(_COUNT))
    (folder / "source").mkdir(parents=True)
    source = registry(mlflow_sqlite_template, folder / "source", first)
    copy_sqlite(mlflow_sqlite_template, folder / "target.db")
    since_then(source, sqlite_url(folder / "target.db"), here, there, wishes)


@pytest.mark.timeout(3600)
@settings(
    max_examples=examples(2),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # minutes are a lot for a smaller example
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(first=histories, here=histories, there=histories, wishes=wishes_of_people)
def test_into_postgresql(  # noqa: PLR0917 -- fixtures and what is made up
    mlflow_sqlite_template, postgres, tmp_path, first, here, there, wishes
):
    folder = tmp_path / str(next(_COUNT))
    folder.mkdir()
    source, target = registry(mlflow_sqlite_template, folder, first), postgres.new_mlflow_database()
    since_then(source, target, here, there, wishes)
    forget_mlflow_state()
    postgres.drop(target)


def since_then(source, target, here, there, wishes):
    """Copy, let things happen on both sides, and copy twice again."""
    wanted = {"artifact_root": Path.cwd() / "root"}
    assert outcome(source, target, lambda: dump(target), **wanted)
    again = follow(source, target, lambda: dump(target), here, there, **wanted, **wishes)
    # What MLflow puts into a new one counts as nothing.
    assert again is None or again.rows == 0 or again.fresh
