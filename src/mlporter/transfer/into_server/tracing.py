"""Traces: their ids, times, spans and assessments are kept."""

from __future__ import annotations

import heapq
from collections import defaultdict
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from mlporter.stores.protocols import Among
from mlporter.stores.server.answers import REFUSED, reason_of
from mlporter.stores.server.tracing import assessment_body, spans_body, trace_body
from mlporter.transfer.into_server.crew import Crew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

    from mlporter.stores.server.client import Json
    from mlporter.stores.server.writing import Writer
    from mlporter.transfer.into_server.carry import Carry

__all__ = ["restore_assessments", "write_traces"]

_ISSUE = "issue"
"""The type of an assessment that names an issue."""
_AT_ONCE = 100
"""Traces whose rows are read together."""
_SPANS = 200
"""Spans of a request."""
_TABLES = {
    "trace_info": "request_id",
    "trace_tags": "request_id",
    "trace_request_metadata": "request_id",
    "assessments": "trace_id",
}


def write_traces(carry: Carry) -> None:
    """Make traces that are not there, and add to those that lack something; then spans."""
    if not carry.is_offered("traces", "trace_info"):
        return
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    streams = [_lacking(carry, table, counts) for table in _TABLES if table in carry.tables]
    ids = (key for key, _ in groupby(heapq.merge(*streams)))
    with Crew(carry.workers) as crew:
        for trace in _whole(carry, ids):
            crew.do(partial(_send, carry, trace, counts))
    _say_again(carry, _write_spans(carry))
    _link(carry, {trace for trace, rows in counts.items() if "trace_info" in rows})


def _lacking(carry: Carry, table: str, counts: dict[str, dict[str, int]]) -> Iterator[str]:
    """Ids of traces of which rows are missing, in order; counts the rows."""
    column = _TABLES[table]
    rows = (missing.rows for missing in carry.missing(table))
    if table == "assessments" and not _has_issues(carry):
        rows = (_without_issues(carry, batch) for batch in rows)
    found = (trace for batch in rows for trace in _ids(batch, column))
    # Assessments are sorted by an id of their own.
    for trace in sorted(found) if table == "assessments" else found:
        counts[trace][table] += 1
        yield trace


def _without_issues(carry: Carry, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Assessments but those that name issues, which are noted."""
    kinds = rows.column(rows.schema.get_field_index("assessment_type"))
    named = pc.fill_null(pc.equal(kinds, _ISSUE), fill_value=False)
    for row in rows.filter(named).to_pylist():
        detail = f"the server's MLflow ({carry.server.can.version}) has no issues"
        name = f"assessments/{row['name']}"
        carry.leave("trace", row["trace_id"], name, "unsupported", detail)
        carry.skip("assessments")
    return rows.filter(pc.invert(named))


def _ids(rows: Any, column: str) -> list[str]:  # noqa: ANN401 -- a batch
    found: list[str] = rows.column(rows.schema.get_field_index(column)).to_pylist()
    return found


class _Trace:
    """All rows of a trace, in the source's terms for what it is and the server's for the rest."""

    def __init__(self, row: dict[str, Any], experiment: int) -> None:
        self.row = row
        self.experiment = experiment
        self.tags: dict[str, str] = {}
        self.metadata: dict[str, str] = {}
        self.assessments: list[dict[str, Any]] = []


def _whole(carry: Carry, ids: Iterable[str]) -> Iterator[_Trace]:
    """Traces with all their rows; those of experiments that are not carried are passed over."""
    remaining = iter(ids)
    while some := list(islice(remaining, _AT_ONCE)):
        found: dict[str, _Trace] = {}
        among = Among("request_id", tuple(some))
        for batch in carry.source.read("trace_info", None, among):
            originals = batch.column(batch.schema.get_field_index("experiment_id")).to_pylist()
            rows = carry.mapped("trace_info", batch).to_pylist()
            for row, experiment in zip(rows, originals, strict=True):
                if experiment in carry.ids.experiments:
                    found[row["request_id"]] = _Trace(row, experiment)
        for table in ("trace_tags", "trace_request_metadata"):
            for row in _mapped(carry, table, among):
                if row["request_id"] in found:
                    trace = found[row["request_id"]]
                    into = trace.tags if table == "trace_tags" else trace.metadata
                    into[row["key"]] = row["value"]
        for row in _mapped(carry, "assessments", Among("trace_id", tuple(some))):
            if row["trace_id"] in found:
                found[row["trace_id"]].assessments.append(row)
        yield from found.values()


def _mapped(carry: Carry, table: str, among: Among) -> Iterator[dict[str, Any]]:
    if table in carry.tables:
        for batch in carry.source.read(table, None, among):
            yield from carry.mapped(table, batch).to_pylist()


def _send(carry: Carry, trace: _Trace, counts: dict[str, dict[str, int]]) -> None:
    writer, home = carry.writer_in(trace.experiment)
    id_ = trace.row["request_id"]
    known = "trace_info" not in counts[id_]
    try:
        elsewhere = None if known else writer.experiment_of_trace(id_)
        if elsewhere not in (None, home):
            detail = f"the server has it in experiment {elsewhere}, from where it is not taken away"
            _lose(carry, id_, counts[id_], "conflict", detail)
            return
        refused = _start(carry, writer, trace)
    except REFUSED as error:
        _lose(carry, id_, counts[id_], reason_of(error), error.message)
        return
    for table, rows in counts[id_].items():
        carry.wrote(table, max(0, rows - refused) if table == "assessments" else rows)


def _lose(carry: Carry, trace: str, counts: dict[str, int], reason: str, detail: str) -> None:
    """Note a trace that is not carried, with all that hangs on it."""
    carry.leave("trace", trace, "", reason, detail)
    for table, rows in counts.items():
        carry.fail(table, rows)
    carry.lost_traces.add(trace)


def _start(carry: Carry, writer: Writer, trace: _Trace) -> int:
    """Make a trace, or add to it; how many of its assessments are of a kind that is not taken."""

    def start(assessments: list[Json]) -> None:
        writer.start_trace(trace_body(trace.row, trace.tags, trace.metadata, assessments))

    issues = _has_issues(carry)
    taken = [row for row in trace.assessments if issues or row["assessment_type"] != _ISSUE]
    bodies = [assessment_body(row) for row in taken]
    try:
        start(bodies)
    except REFUSED:
        if not bodies:
            raise
    else:
        return 0
    start([])
    pairs = zip(taken, bodies, strict=True)
    return sum(not _one_taken(carry, row, partial(start, [body])) for row, body in pairs)


def _one_taken(carry: Carry, row: dict[str, Any], send: Callable[[], None]) -> bool:
    try:
        send()
    except REFUSED as error:
        what = f"assessments/{row['assessment_id']}"
        carry.leave("trace", row["trace_id"], what, reason_of(error), error.message)
        carry.fail("assessments")
        return False
    return True


def _has_issues(carry: Carry) -> bool:
    """Whether the server knows of issues; one that does not refuses traces that name any."""
    return carry.server.can.may("issues")


def _link(carry: Carry, new: set[str]) -> None:
    """Link new traces to runs; what is linked already a server does not show."""
    if not new or "entity_associations" not in carry.tables:
        return
    runs: dict[str, list[str]] = defaultdict(list)
    among = Among("source_type", ("trace",))
    for batch in carry.source.read("entity_associations", None, among):
        for row in batch.to_pylist():
            if row["destination_type"] == "run" and row["source_id"] in new - carry.lost_traces:
                runs[row["destination_id"]].append(row["source_id"])
    for run, traces in runs.items():
        if run in carry.ids.of("runs"):
            writer, copy = carry.writer_of_run(run)
            for at in range(0, len(traces), _AT_ONCE):
                some = traces[at : at + _AT_ONCE]
                if carry.attempt(
                    "entity_associations", run, partial(writer.link_traces, some, copy)
                ):
                    carry.wrote("entity_associations", len(some))


def _say_again(carry: Carry, traces: set[str]) -> None:
    """Say once more what traces are: a server works it out anew when spans arrive."""
    with Crew(carry.workers) as crew:
        for trace in _whole(carry, sorted(traces)):
            crew.do(partial(_send, carry, trace, {trace.row["request_id"]: {}}))


def _write_spans(carry: Carry) -> set[str]:
    """Log spans that are not there; the traces that some were missing of."""
    spanned: set[str] = set()
    with Crew(carry.workers) as crew:
        for missing in carry.missing("spans"):
            experiments = missing.rows.column("experiment_id").to_pylist()
            rows = carry.mapped("spans", missing.rows).to_pylist()
            lost = sum(row["trace_id"] in carry.lost_traces for row in rows)
            if lost:
                carry.fail("spans", lost)
            pairs = [
                (row["trace_id"], number, row["content"])
                for row, number in zip(rows, experiments, strict=True)
                if number in carry.ids.experiments and row["trace_id"] not in carry.lost_traces
            ]
            for (trace, number), group in groupby(pairs, key=lambda pair: pair[:2]):
                spanned.add(trace)
                contents = [content for _, _, content in group]
                for at in range(0, len(contents), _SPANS):
                    part = contents[at : at + _SPANS]
                    crew.do(partial(_send_spans, carry, trace, number, part), trace)
    return spanned


def _send_spans(carry: Carry, trace: str, experiment: int, contents: list[str]) -> None:
    writer, home = carry.writer_in(experiment)
    try:
        writer.log_spans(home, spans_body(contents))
        carry.wrote("spans", len(contents))
    except (*REFUSED, ValueError) as error:
        carry.leave("trace", trace, "spans", "refused", str(error))
        carry.fail("spans", len(contents))


def restore_assessments(carry: Carry, runs: set[str]) -> None:
    """Bring back the assessments that MLflow deleted with `runs`, which they came from."""
    if not runs or not carry.source.count("assessments") or not carry.server.can.may("traces"):
        return
    columns = ("run_id", "trace_id")
    batches = carry.source.read("assessments", columns, Among("run_id", tuple(sorted(runs))))
    traces = {trace for batch in batches for trace in batch.column(1).to_pylist()}
    _say_again(carry, traces - carry.lost_traces)
