"""What is passed over because it is plainly the same: nothing that differs is among it."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import ExitStack, closing

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlporter.catalogue.types import Kind
from mlporter.compare.rows.key_masks import KeyMask
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.merge import suspects
from mlporter.plan.merge.equality import Comparison
from mlporter.plan.merge.suspects import STREAMED, Suspects
from mlporter.plan.side_reader import unit_keys
from mlporter.plan.three_sides.names import lacking
from mlporter.stores.opening import open_source
from tests.plan.registries import RUNS, registries
from tests.support.engines import copy_sqlite
from tests.support.examples import examples
from tests.support.mlflow_session import sqlite_url

_COUNT = itertools.count()


@pytest.fixture
def two(mlflow_sqlite_template, tmp_path):
    """Makes two databases of registries, and opens both."""
    with ExitStack() as stack:

        def make(*registries, edit=()):
            folder = tmp_path / str(next(_COUNT))
            folder.mkdir()
            sides = []
            for name, registry in zip(("source", "target"), registries, strict=True):
                path = folder / f"{name}.db"
                copy_sqlite(mlflow_sqlite_template, path)
                registry.fill(path)
                if name == "target":
                    with closing(sqlite3.connect(path)) as database, database:
                        for statement in edit:
                            database.execute(statement)
                sides.append(stack.enter_context(closing(open_source(sqlite_url(path)))))
            return sides

        yield make


def compared(source, target, *, quick=False):
    kept = tuple(table for table in source.tables if table.kind is Kind.KEPT)
    comparison = Comparison(source, target, kept)
    comparison.quick = quick
    return comparison


def look(source, target, entity, *, quick=False):
    comparison = compared(source, target, quick=quick)
    return Suspects(comparison, source, target, entity, IdMap()).look()


@pytest.mark.timeout(3600)
@settings(
    max_examples=examples(20),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(one=registries(), other=registries())
def test_whatever_differs_is_looked_at(two, one, other):
    source, target = two(one, other)
    for entity in STREAMED:
        mine, theirs = unit_keys(source, entity), unit_keys(target, entity)
        both = {key: key for key in mine.keys() & theirs.keys()}
        found = look(source, target, entity)
        unequal = compared(source, target).unequal(entity, both, IdMap())
        assert unequal.why.keys() | unequal.deleted.keys() <= found
        assert mine.keys() ^ theirs.keys() <= found


EDITS = {
    "a field": "UPDATE runs SET status = 'FAILED' WHERE run_uuid = {run}",
    "a tag of the same length": "UPDATE tags SET value = 'b' WHERE run_uuid = {run}",
    "a tag less": "DELETE FROM tags WHERE run_uuid = {run}",
    "a parameter more": "INSERT INTO params (key, value, run_uuid) VALUES ('z', '1', {run})",
    "a point more": "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
    " VALUES ('m', 1.0, 1, {run}, 0, 0)",
    "another latest point": "INSERT OR REPLACE INTO latest_metrics"
    " (key, value, timestamp, step, is_nan, run_uuid) VALUES ('m', 2.0, 1, 0, 0, {run})",
    "the trash": "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = {run}",
}


class Same:
    """Two runs, each with a tag."""

    def fill(self, path):
        with closing(sqlite3.connect(path)) as database, database:
            for run in RUNS[:2]:
                database.execute(
                    "INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage, status)"
                    " VALUES (?, 0, 'active', 'FINISHED')",
                    (run,),
                )
                database.execute("INSERT INTO tags VALUES ('k', 'a', ?)", (run,))


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_makes_its_run_a_suspect_and_no_other(two, edit):
    source, target = two(Same(), Same(), edit=[edit.format(run=f"'{RUNS[1]}'")])
    assert look(source, target, "runs", quick=True) == {RUNS[1]}


def test_where_too_many_differ_none_is_singled_out(two, monkeypatch):
    monkeypatch.setattr(suspects, "MOST", 1)
    source, target = two(Same(), Same(), edit=["UPDATE tags SET value = 'b'"])
    assert look(source, target, "runs") is None


_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)


@given(st.lists(_WORDS), st.lists(_WORDS, max_size=30), st.integers(0, 3))
def test_a_mask_tells_which_values_are_among_the_keys(rows, keys, few):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlporter.compare.rows.key_masks._FEW", few)
        found = KeyMask(keys).of(pa.array([*rows, None], pa.string())).to_pylist()
    assert found == [row in keys for row in rows] + [False]


@given(st.sets(_WORDS), st.sets(_WORDS))
def test_names_that_are_no_keys(names, keys):
    assert lacking(sorted(names), sorted(keys)) == names - keys
