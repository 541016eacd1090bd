"""Traces: their ids, times, spans and assessments are kept."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from mlporter.bundle.tables.rows import python_rows
from mlporter.execute.server.genai.assessments import sending
from mlporter.execute.server.shared.worker_pool import WorkerPool
from mlporter.stores.protocols import Among
from mlporter.stores.rest.answers import REFUSED, reason_of
from mlporter.stores.server.writing.trace_bodies import assessment_body, spans_body, trace_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.stores.rest.client import Json
    from mlporter.stores.server.writing.writer import Writer

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


def write_traces(context: ServerContext) -> None:
    """Make traces that are not there, and add to those that lack something; then spans."""
    if not context.is_offered("traces", "trace_info"):
        return
    wanted: dict[str, _Wanted] = defaultdict(_Wanted)
    streams = [_lacking(context, table, wanted) for table in _TABLES if table in context.tables]
    ids = (key for key, _ in groupby(heapq.merge(*streams)))
    with WorkerPool(context.workers) as pool:
        for trace in _whole(context, ids):
            pool.do(partial(_send, context, trace, wanted[trace.row["request_id"]]))
    _say_again(context, _write_spans(context))
    _link(context, {trace for trace, one in wanted.items() if one.is_new})


@dataclass
class _Wanted:
    """What the server lacks of a trace: rows by table, and ids of assessments.

    Attributes:
        counts: Rows by table.
        assessments: Ids of those that it lacks, or has otherwise.
        there: Of these, the ids of those that it has.
    """

    counts: Counter[str] = field(default_factory=Counter)
    assessments: set[str] = field(default_factory=set)
    there: set[str] = field(default_factory=set)

    @property
    def is_new(self) -> bool:
        """Whether the server has no such trace."""
        return "trace_info" in self.counts


def _lacking(context: ServerContext, table: str, wanted: dict[str, _Wanted]) -> Iterator[str]:
    """Ids of traces of which rows are missing, in order; notes which, and how many."""
    if table == "assessments":
        yield from _lacking_assessments(context, wanted)
        return
    for missing in context.missing(table):
        for trace in _ids(missing.rows, _TABLES[table]):
            wanted[trace].counts[table] += 1
            yield trace


def _lacking_assessments(context: ServerContext, wanted: dict[str, _Wanted]) -> list[str]:
    """The same; they are sorted by an id of their own."""
    found = []
    for missing in context.missing("assessments"):
        rows = missing.rows if _has_issues(context) else _without_issues(context, missing.rows)
        overridden = _overridden_there(context, rows) if missing.changed else set()
        ids = (_ids(rows, name) for name in ("trace_id", "assessment_id", "valid"))
        for trace, id_, valid in zip(*ids, strict=True):
            if valid and id_ in overridden:
                detail = "the server has one that overrides it, and which is left as it is"
                context.leave("trace", trace, f"assessments/{id_}", "conflict", detail)
                context.fail("assessments")
                continue
            one = wanted[trace]
            one.counts["assessments"] += 1
            one.assessments.add(id_)
            one.there.update({id_} if missing.changed else ())
            found.append(trace)
    return sorted(found)


def _overridden_there(context: ServerContext, rows: pa.RecordBatch) -> set[str]:
    """Those of some traces' assessments that are invalid on the server."""
    among = Among("trace_id", tuple(sorted(set(_ids(rows, "trace_id")))))
    return {
        id_
        for batch in context.there.read("assessments", ("assessment_id", "valid"), among)
        for id_, valid in python_rows(batch)
        if valid is False
    }


def _without_issues(context: ServerContext, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Assessments but those that name issues, which are noted."""
    kinds = rows.column(rows.schema.get_field_index("assessment_type"))
    named = pc.fill_null(pc.equal(kinds, _ISSUE), fill_value=False)
    for row in rows.filter(named).to_pylist():
        detail = f"the server's MLflow ({context.server.can.version}) has no issues"
        name = f"assessments/{row['name']}"
        context.leave("trace", row["trace_id"], name, "unsupported", detail)
        context.skip("assessments")
    return rows.filter(pc.invert(named))


def _ids(rows: pa.RecordBatch, column: str) -> list[Any]:
    found: list[Any] = rows.column(rows.schema.get_field_index(column)).to_pylist()
    return found


class _Trace:
    """All rows of a trace, in the source's terms for what it is and the server's for the rest."""

    def __init__(self, row: dict[str, Any], experiment: int) -> None:
        self.row = row
        self.experiment = experiment
        self.tags: dict[str, str] = {}
        self.metadata: dict[str, str] = {}
        self.assessments: list[dict[str, Any]] = []


def _whole(context: ServerContext, ids: Iterable[str]) -> Iterator[_Trace]:
    """Traces with all their rows; those of experiments that are not carried are passed over."""
    remaining = iter(ids)
    while some := list(islice(remaining, _AT_ONCE)):
        found: dict[str, _Trace] = {}
        among = Among("request_id", tuple(some))
        for batch in context.source.read("trace_info", None, among):
            originals = batch.column(batch.schema.get_field_index("experiment_id")).to_pylist()
            rows = context.mapped("trace_info", batch).to_pylist()
            for row, experiment in zip(rows, originals, strict=True):
                if experiment in context.ids.experiments:
                    found[row["request_id"]] = _Trace(row, experiment)
        for table in ("trace_tags", "trace_request_metadata"):
            for row in _mapped(context, table, among):
                if row["request_id"] in found:
                    trace = found[row["request_id"]]
                    into = trace.tags if table == "trace_tags" else trace.metadata
                    into[row["key"]] = row["value"]
        for row in _mapped(context, "assessments", Among("trace_id", tuple(some))):
            if row["trace_id"] in found:
                found[row["trace_id"]].assessments.append(row)
        yield from found.values()


def _mapped(context: ServerContext, table: str, among: Among) -> Iterator[dict[str, Any]]:
    if table in context.tables:
        for batch in context.source.read(table, None, among):
            yield from context.mapped(table, batch).to_pylist()


def _send(context: ServerContext, trace: _Trace, wanted: _Wanted) -> None:
    """Make a trace, or add to it what the server lacks."""
    writer, home = context.writer_in(trace.experiment)
    id_ = trace.row["request_id"]
    what = sending(_taken(context, trace), wanted.assessments)
    lost = _unclear(context, id_, what.unclear & wanted.assessments)
    along = [row for row in what.along if row["assessment_id"] not in lost & wanted.there]
    try:
        elsewhere = writer.experiment_of_trace(id_) if wanted.is_new else None
        if elsewhere not in (None, home):
            detail = f"the server has it in experiment {elsewhere}, where it stays"
            _lose(context, id_, wanted.counts, "conflict", detail)
            return
        if along or wanted.counts.keys() - {"assessments"}:
            lost |= _start(context, writer, trace, along)
    except REFUSED as error:
        _lose(context, id_, wanted.counts, reason_of(error), error.message)
        return
    for row in what.after:
        if not _one_taken(
            context, row, partial(_override, context, writer, row, new=wanted.is_new)
        ):
            lost.add(row["assessment_id"])
    refused = {"assessments": len(lost & wanted.assessments)}
    for table, count in wanted.counts.items():
        context.wrote(table, count - refused.get(table, 0))


def _unclear(
    context: ServerContext, trace: str, assessments: frozenset[str] | set[str]
) -> set[str]:
    """Note assessments that are invalid though none overrides them: no server takes such."""
    for id_ in sorted(assessments):
        detail = "it is invalid, which a server accepts only with one that overrides it"
        context.leave("trace", trace, f"assessments/{id_}", "unsupported", detail)
        context.fail("assessments")
    return set(assessments)


def _override(context: ServerContext, writer: Writer, row: dict[str, Any], *, new: bool) -> None:
    """Make an assessment that overrides another one; anew, if the server may have it."""
    if not new:
        writer.delete_assessment(row["trace_id"], row["assessment_id"])
    body = assessment_body(row)
    context.along.put_into({"assessments": [body]}, "trace_info", context.ids, row["trace_id"])
    writer.create_assessment(row["trace_id"], body)


def _lose(
    context: ServerContext, trace: str, counts: Mapping[str, int], reason: str, detail: str
) -> None:
    """Note a trace that is not copied, with all that hangs on it."""
    context.leave("trace", trace, "", reason, detail)
    for table, rows in counts.items():
        context.fail(table, rows)
    context.lost_traces.add(trace)


def _start(
    context: ServerContext, writer: Writer, trace: _Trace, assessments: Sequence[dict[str, Any]]
) -> set[str]:
    """Make a trace, or add to it; ids of those of its assessments that are not taken."""

    def start(rows: Sequence[dict[str, Any]]) -> None:
        writer.start_trace(_body(context, trace, rows))

    try:
        start(assessments)
    except REFUSED:
        if not assessments:
            raise
    else:
        return set()
    start([])
    lost = (row for row in assessments if not _one_taken(context, row, partial(start, [row])))
    return {row["assessment_id"] for row in lost}


def _body(context: ServerContext, trace: _Trace, assessments: Sequence[dict[str, Any]]) -> Json:
    bodies = [assessment_body(row) for row in assessments]
    body = trace_body(trace.row, trace.tags, trace.metadata, bodies)
    told = body["trace"]["trace_info"]
    context.along.put_into(told, "trace_info", context.ids, trace.row["request_id"])
    return body


def _one_taken(context: ServerContext, row: dict[str, Any], send: Callable[[], None]) -> bool:
    try:
        send()
    except REFUSED as error:
        what = f"assessments/{row['assessment_id']}"
        context.leave("trace", row["trace_id"], what, reason_of(error), error.message)
        context.fail("assessments")
        return False
    return True


def _has_issues(context: ServerContext) -> bool:
    """Whether the server knows of issues; one that does not refuses traces that name any."""
    return context.server.can.may("issues")


def _link(context: ServerContext, new: set[str]) -> None:
    """Link new traces to runs; what is linked already a server does not show."""
    if not new or "entity_associations" not in context.tables:
        return
    runs: dict[str, list[str]] = defaultdict(list)
    among = Among("source_type", ("trace",))
    for batch in context.source.read("entity_associations", None, among):
        for row in batch.to_pylist():
            if row["destination_type"] == "run" and row["source_id"] in new - context.lost_traces:
                runs[row["destination_id"]].append(row["source_id"])
    for run, traces in runs.items():
        if run in context.ids.of("runs"):
            writer, copy = context.writer_of_run(run)
            for at in range(0, len(traces), _AT_ONCE):
                some = traces[at : at + _AT_ONCE]
                if context.attempt(
                    "entity_associations", run, partial(writer.link_traces, some, copy)
                ):
                    context.wrote("entity_associations", len(some))


def _say_again(context: ServerContext, traces: set[str]) -> None:
    """Say once more what traces are: a server works it out anew when spans arrive."""
    with WorkerPool(context.workers) as pool:
        for trace in _whole(context, sorted(traces)):
            pool.do(partial(_say, context, trace))


def _say(context: ServerContext, trace: _Trace) -> None:
    """Say once more what a trace is.

    Older servers (MLflow 3.10) take away the assessments that are not said with it, or fail at it:
    they are told all of them, and then those again that override others.
    """
    writer, _ = context.writer_in(trace.experiment)

    def say() -> None:
        try:
            _start(context, writer, trace, ())
        except REFUSED:
            rows = _taken(context, trace)
            what = sending(rows, [row["assessment_id"] for row in rows])
            writer.start_trace(_body(context, trace, rows))
            for row in what.after:
                _override(context, writer, row, new=False)

    context.attempt("trace_info", trace.row["request_id"], say)


def _taken(context: ServerContext, trace: _Trace) -> list[dict[str, Any]]:
    """The assessments of a trace that the server can hold."""
    issues = _has_issues(context)
    return [row for row in trace.assessments if issues or row["assessment_type"] != _ISSUE]


def _write_spans(context: ServerContext) -> set[str]:
    """Log spans that are not there; the traces that some were missing of."""
    spanned: set[str] = set()
    with WorkerPool(context.workers) as pool:
        for missing in context.missing("spans"):
            experiments = missing.rows.column("experiment_id").to_pylist()
            rows = context.mapped("spans", missing.rows).to_pylist()
            lost = sum(row["trace_id"] in context.lost_traces for row in rows)
            if lost:
                context.fail("spans", lost)
            pairs = [
                (row["trace_id"], number, row["content"])
                for row, number in zip(rows, experiments, strict=True)
                if number in context.ids.experiments and row["trace_id"] not in context.lost_traces
            ]
            for (trace, number), group in groupby(pairs, key=lambda pair: pair[:2]):
                spanned.add(trace)
                contents = [content for _, _, content in group]
                for at in range(0, len(contents), _SPANS):
                    part = contents[at : at + _SPANS]
                    pool.do(partial(_send_spans, context, trace, number, part), trace)
    return spanned


def _send_spans(context: ServerContext, trace: str, experiment: int, contents: list[str]) -> None:
    writer, home = context.writer_in(experiment)
    try:
        writer.log_spans(home, spans_body(contents))
        context.wrote("spans", len(contents))
    except (*REFUSED, ValueError) as error:
        context.leave("trace", trace, "spans", "refused", str(error))
        context.fail("spans", len(contents))


def restore_assessments(context: ServerContext, runs: set[str]) -> None:
    """Bring back the assessments that MLflow deleted with `runs`, which they came from."""
    if not runs or not context.source.count("assessments") or not context.server.can.may("traces"):
        return
    wanted: dict[str, _Wanted] = defaultdict(_Wanted)
    for batch in context.source.read(
        "assessments", ("run_id", "trace_id", "assessment_id"), Among("run_id", tuple(sorted(runs)))
    ):
        for trace, id_ in zip(*(column.to_pylist() for column in batch.columns[1:]), strict=True):
            if trace not in context.lost_traces:
                wanted[trace].assessments.add(id_)
    with WorkerPool(context.workers) as pool:
        for one in _whole(context, sorted(wanted)):
            pool.do(partial(_send, context, one, wanted[one.row["request_id"]]))
