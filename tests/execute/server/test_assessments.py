"""Assessments that were overridden: invalid there as well, whenever they are carried."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import mlflow
import pytest

import mlporter
from mlporter.execute.server.genai.assessments import sending
from tests.support.databases import execute
from tests.support.mlflow_session import mlflow_at, sqlite_url

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.target_server import TargetServer

STATE = "SELECT assessment_id, overrides, valid, created_timestamp, last_updated_timestamp, value"
STATE += " FROM assessments ORDER BY assessment_id"


@pytest.fixture
def source(mlflow_sqlite: Path) -> str:
    return sqlite_url(mlflow_sqlite)


def trace_at(address: str) -> str:
    """A trace of one span."""
    with mlflow_at(address):
        mlflow.set_experiment("assessed")
        with mlflow.start_span(name="root") as span:
            span.set_outputs("é")
        mlflow.flush_trace_async_logging()
        return span.trace_id


def override(address: str, trace: str, old: str, value: object) -> str:
    """Override an assessment, as the user interface does."""
    with mlflow_at(address):
        new = mlflow.override_feedback(trace_id=trace, assessment_id=old, value=value)
        return str(new.assessment_id)


def assess(address: str, trace: str, value: object) -> str:
    """Make an assessment."""
    with mlflow_at(address):
        made = mlflow.log_feedback(trace_id=trace, name="good", value=value)
        return str(made.assessment_id)


def copy(source: str, server: TargetServer) -> Any:
    return mlporter.copy(source, server.address, artifacts="none", on_conflict="update")


def left(result: Any) -> list[tuple[str, str, str]]:
    return [(i.id, i.path, i.reason + i.detail) for i in result.left_out.first if not i.expected]


def state(server: TargetServer) -> list[tuple[object, ...]]:
    return server.rows(STATE)


def wanted(source: str) -> list[tuple[object, ...]]:
    import sqlite3  # noqa: PLC0415 -- of this function only

    with closing(sqlite3.connect(source.removeprefix("sqlite:///"))) as database:
        return database.execute(STATE).fetchall()


def test_what_is_overridden_stays_invalid_and_a_second_copy_sends_nothing(source, server, writes):
    """A chain: the first and the second are invalid, the third is not."""
    trace = trace_at(source)
    first = assess(source, trace, value="one")
    override(source, trace, override(source, trace, first, "two"), "three")
    assess(source, trace, value="beside")
    result = copy(source, server)
    assert left(result) == []
    assert state(server) == wanted(source)
    assert [row[2] for row in state(server)].count(0) == 2
    assert mlporter.diff(source, server.address, artifacts="none").exit_code == 0
    writes.clear()
    again = copy(source, server)
    assert (again.exit_code, again.rows, writes) == (0, 0, [])


def test_one_that_is_overridden_later_becomes_invalid(source, server):
    trace = trace_at(source)
    first = assess(source, trace, value="one")
    copy(source, server)
    second = override(source, trace, first, "two")
    assert left(copy(source, server)) == []
    assert state(server) == wanted(source)
    override(source, trace, second, "three")
    assert left(copy(source, server)) == []
    assert state(server) == wanted(source)


def test_one_that_was_sent_as_valid_is_mended(source, server):
    """As copies of earlier releases are."""
    trace = trace_at(source)
    override(source, trace, assess(source, trace, value="one"), "two")
    copy(source, server)
    execute(sqlite_url(server.database), "UPDATE assessments SET valid = 1")
    assert mlporter.diff(source, server.address, artifacts="none").exit_code == 1
    result = copy(source, server)
    assert left(result) == []
    assert state(server) == wanted(source)


def test_one_that_somebody_overrode_on_the_server_stays_invalid_and_is_told(source, server, writes):
    trace = trace_at(source)
    first = assess(source, trace, value="one")
    copy(source, server)
    override(server.address, trace, first, "mine")
    before = state(server)
    writes.clear()
    again = copy(source, server)
    assert (again.exit_code, state(server), writes) == (3, before, [])
    (left,) = [item for item in again.left_out.first if not item.expected]
    assert (left.reason, left.path) == ("conflict", f"assessments/{first}")


def test_one_that_nothing_overrides_is_named(source, server, writes):
    """Only by hand: MLflow has none such."""
    trace = trace_at(source)
    first = assess(source, trace, value="one")
    execute(source, "UPDATE assessments SET valid = 0")
    for _ in range(2):
        result = copy(source, server)
        assert result.exit_code == 3
        (left,) = [item for item in result.left_out.first if not item.expected]
        assert (left.reason, left.path) == ("unsupported", f"assessments/{first}")
        assert [t.failed for t in result.tables if t.table == "assessments"] == [1]
    assert len(state(server)) == 1


def test_those_of_a_deleted_run_come_back_as_they_were(source, server):
    """Deleting a run takes the assessments along that came from it."""
    trace = trace_at(source)
    first = assess(source, trace, value="one")
    with mlflow_at(source):
        with mlflow.start_run() as run:
            pass
        mlflow.override_feedback(
            trace_id=trace,
            assessment_id=first,
            value="two",
            metadata={"mlflow.assessment.sourceRunId": run.info.run_id},
        )
    execute(source, "UPDATE runs SET lifecycle_stage = 'deleted'")
    assert left(copy(source, server)) == []
    assert [row[:3] for row in state(server)] == [row[:3] for row in wanted(source)]
    assert mlporter.diff(source, server.address, artifacts="none").exit_code == 0


def row(id_: str, overrides: str | None = None, *, valid: bool = True) -> dict[str, Any]:
    return {"assessment_id": id_, "overrides": overrides, "valid": valid}


def ids(rows: tuple[dict[str, Any], ...]) -> str:
    return "".join(one["assessment_id"] for one in rows)


@pytest.mark.parametrize(
    ("rows", "lacking", "along", "after", "unclear"),
    [
        ([row("a"), row("b")], "a", "a", "", ""),
        ([row("a", valid=False), row("b", "a")], "ab", "a", "b", ""),
        ([row("a", valid=False), row("b", "a")], "b", "", "b", ""),
        # What is sent anew is valid, so that what overrides it follows.
        ([row("a", valid=False), row("b", "a")], "a", "a", "b", ""),
        ([row("c", valid=False), row("b", "c", valid=False), row("a", "b")], "c", "c", "ba", ""),
        # One of two is enough, unless both are lacking.
        ([row("a", valid=False), row("b", "a"), row("c", "a")], "a", "a", "b", ""),
        ([row("a", valid=False), row("b", "a"), row("c", "a")], "abc", "a", "bc", ""),
        # Overridden, but valid again.
        ([row("a"), row("b", "a")], "ab", "ab", "", ""),
        ([row("a", "gone", valid=False)], "a", "a", "", "a"),
        ([row("a", "b", valid=False), row("b", "a", valid=False)], "ab", "", "ab", ""),
        ([], "a", "", "", ""),
    ],
)
def test_what_goes_along_and_what_after(rows, lacking, along, after, unclear):
    found = sending(rows, set(lacking))
    assert (ids(found.along), ids(found.after)) == (along, after)
    assert "".join(sorted(found.unclear)) == unclear
