"""Any two registries, any selection, any policy: the target is then what the plan said."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlporter
from mlporter.errors import ConflictError, ExitCode, RefusedError
from tests.plan.references import dangling
from tests.plan.registries import EXPERIMENTS, NAMES, RUNS, registries
from tests.support.databases import dump, rows, sha256
from tests.support.engines import copy_sqlite
from tests.support.examples import examples
from tests.support.mlflow_session import sqlite_url

_SELECTIONS = st.sampled_from(
    [
        None,
        None,
        mlporter.Selection(experiments=("alpha*",)),
        mlporter.Selection(models=("model",)),
        mlporter.Selection(runs=(RUNS[0],)),
        mlporter.Selection(exclude_deleted=True),
        mlporter.Selection(only=("models",)),
    ]
)
_RENAMES = st.sampled_from(
    [(), (), ("alpha=delta",), ("model=renamed",), ("alpha=beta",), ("beta=x", "other=y")]
)


@pytest.mark.timeout(3600)
@settings(
    max_examples=examples(10),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    source=registries(),
    target=registries(),
    wishes=st.fixed_dictionaries(
        {
            "selection": _SELECTIONS,
            "on_conflict": st.sampled_from(["fail", "skip", "rename"]),
            "rename": _RENAMES,
        }
    ),
)
def test_the_target_is_what_the_plan_said(mlflow_sqlite_template, tmp_path, source, target, wishes):
    folder = tmp_path / str(next(_COUNT))
    folder.mkdir()
    places = []
    for name, registry in (("source", source), ("target", target)):
        path = folder / f"{name}.db"
        copy_sqlite(mlflow_sqlite_template, path)
        registry.fill(path)
        places.append(path)
    check(*places, {"artifacts": "reference", **wishes})


_COUNT = itertools.count()


def check(source, target, wishes):
    a, b = sqlite_url(source), sqlite_url(target)
    before, sums = dump(b), (sha256(source), sha256(target))
    try:
        plan = mlporter.copy(a, b, dry_run=True, **wishes)
    except RefusedError as refused:
        # Nothing of that name, or two of one name: refused the same way in earnest.
        with pytest.raises(type(refused), match=re.escape(str(refused))):
            mlporter.copy(a, b, **wishes)
        unchanged = (sha256(source), sha256(target)) == sums
        assert unchanged
        return
    assert (sha256(source), sha256(target)) == sums
    if plan.exit_code == ExitCode.REFUSED:
        with pytest.raises(ConflictError) as caught:
            mlporter.copy(a, b, **wishes)
        assert caught.value.reasons == tuple(str(c) for c in plan.conflicts)
        assert (sha256(source), sha256(target)) == sums
        return
    done = mlporter.copy(a, b, **wishes)
    assert sha256(source) == sums[0]
    assert (done.tables, done.units, done.renamed) == (plan.tables, plan.units, plan.renamed)
    assert (done.exit_code, done.left_out) == (plan.exit_code, plan.left_out)
    after = dump(b)
    carried = {t.table: t.copied for t in done.tables}
    for table, lines in before.items():
        assert set(lines) <= set(after[table]), f"{table} was changed"
        if table != "latest_metrics":
            assert len(after[table]) == len(lines) + carried.get(table, 0), table
    assert set(dangling(b)) == set()
    assert parents(b) <= {run for (run,) in ids(b, "runs", "run_uuid")}
    again = mlporter.copy(a, b, **wishes)
    assert again.rows == 0
    assert dump(b) == after


def parents(url):
    """Ids in strings, of runs: they must resolve like any other."""
    found = {v for (v,) in ids(url, "tags WHERE key = 'mlflow.parentRunId'", "value")}
    metadata = "trace_request_metadata WHERE key = 'mlflow.sourceRun'"
    found |= {v for (v,) in ids(url, metadata, "value")}
    for source, trace, content in ids(
        url, "spans JOIN trace_info ON trace_id = request_id", "trace_id, request_id, content"
    ):
        assert json.loads(json.loads(content)["attributes"]["mlflow.traceRequestId"]) == source
        assert source == trace
    return found


def ids(url, table, column):
    return rows(url, f"SELECT {column} FROM {table}")


def test_the_pools_meet():
    """Names are few enough for two registries to have some in common, and copies of them."""
    assert f"{EXPERIMENTS[0]}-imported" in EXPERIMENTS
    assert f"{NAMES[0]}-imported" in NAMES
