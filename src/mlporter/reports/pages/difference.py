"""The report of `diff`: what is not the same in two places, thing by thing and field by field."""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING

from mlporter.compare.report import DIFFER, ONLY_LEFT, ONLY_RIGHT, UNREADABLE, Difference
from mlporter.reports import limits
from mlporter.reports.page import (
    Block,
    Card,
    Cell,
    Charts,
    Facts,
    Notes,
    Page,
    Paragraph,
    Section,
    Tile,
    Verdict,
    limited,
    table,
)
from mlporter.reports.pages.parts import chart_of, kept
from mlporter.reports.texts import cut, in_words, time_text, value_text
from mlporter.reports.things import RUN, columns_of_thing, things_of, value_key
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlporter.compare.report import DiffReport, TableCounts
    from mlporter.errors import LeftOut
    from mlporter.reports.chart import Chart
    from mlporter.reports.page import Row, Tone
    from mlporter.reports.things import Beside, Thing
    from mlporter.stores.protocols import Description

__all__ = ["difference_page", "difference_sections"]

_WHERE = {ONLY_LEFT: "only in A", ONLY_RIGHT: "only in B"}
_TONES: dict[str, Tone] = {ONLY_LEFT: "good", ONLY_RIGHT: "bad"}
_POINTS = "metrics"
_OPEN = 5


def difference_page(report: DiffReport, beside: Beside) -> Page:
    """The report."""
    return Page(
        "diff",
        "What is different",
        difference_verdict(report),
        (("A", report.left.address), ("B", report.right.address)),
        tuple(_tiles(report)),
        tuple(difference_sections(report, beside)),
    )


def difference_verdict(report: DiffReport) -> Verdict:
    """Whether they are identical; and if not, how many things differ, as far as they are named."""
    if report.identical:
        same = sum(counts.same for counts in report.tables.values())
        told = f"{plural(same, 'row or file', 'rows and files')} are the same."
        return Verdict("Identical", "good", told + _not_given(report))
    count = sum(counts.different for counts in report.tables.values())
    things = Counter(thing.noun for thing in things_of(report.differences) if thing.id)
    said = in_words((number, noun) for noun, number in things.items())
    if not things:
        text = plural(count, "difference")
    elif report.truncated:
        text = f"{plural(count, 'difference')}, the first {len(report.differences):,} in {said}"
    else:
        text = f"{plural(count, 'difference')} in {said}"
    return Verdict(text, "bad", _not_given(report).strip())


def _not_given(report: DiffReport) -> str:
    count = sum(report.not_given)
    return f" {plural(count, 'thing')} one side itself could not give; see below." if count else ""


def difference_sections(report: DiffReport, beside: Beside) -> Iterator[Section]:
    """The parts of the report, which `verify` has too where it compared."""
    yield Section("differences", "Differences", kept(*_differences(report, beside)))
    yield Section("counts", "Compared", kept(*_counts(report.tables)))
    missing = (
        _missing("A", report.left_out_left, report.not_given[0]),
        _missing("B", report.left_out_right, report.not_given[1]),
    )
    yield Section("missing", "Missing in one side itself", kept(*missing))
    ignored = Notes(tuple(report.ignored), len(report.ignored)) if report.ignored else None
    yield Section("ignored", "Not compared", kept(ignored))
    sides = (_side("A", report.left), _side("B", report.right))
    yield Section("sides", "Both sides", kept(*sides))


def _tiles(report: DiffReport) -> Iterator[Tile]:
    counts = report.tables.values()
    yield Tile(f"{sum(one.same for one in counts):,}", "the same")
    yield Tile(f"{sum(one.differs for one in counts):,}", "differ")
    yield Tile(f"{sum(one.only_left for one in counts):,}", "only in A")
    yield Tile(f"{sum(one.only_right for one in counts):,}", "only in B")
    unreadable = sum(one.unreadable for one in counts)
    if unreadable:
        yield Tile(f"{unreadable:,}", "could not be read")


def _differences(report: DiffReport, beside: Beside) -> Iterator[Block | None]:
    named = report.differences[: limits.DIFFERENCES]
    total = len(report.differences) + report.truncated
    left = limits.CHARTS
    for at, (thing, found) in enumerate(things_of(named).items()):
        charts = list(_charts(thing, found, beside, f"curve-{at}"))[:left]
        left -= len(charts)
        points = [one for one in found if _is_point(one)]
        fields = [row for one in found if not _is_point(one) for row in _rows(one, beside)]
        yield Card(
            _title(thing, beside.names),
            kept(
                table("Differences", ["What", "Which", "Field", "A", "B"], fields, "differences"),
                Charts(tuple(charts)) if charts else None,
                *_points(points),
            ),
            plural(len(found), "difference"),
            is_open=at < _OPEN,
        )
    note = limited(len(named), total, "differences")
    yield Paragraph(note) if note else None


def _title(thing: Thing, names: Mapping[Thing, str]) -> str:
    noun = thing.noun[:1].upper() + thing.noun[1:]
    name = names.get(thing, "")
    if name and name != thing.id:
        return f"{noun} {name} ({thing.id})"
    return f"{noun} {cut(thing.id, 120)}".strip()


def _rows(one: Difference, beside: Beside) -> Iterator[Row]:
    """A row for each field that differs, and one for what only one side has."""
    what = one.table.replace("_", " ")
    own = columns_of_thing(one)
    which = Cell(cut("/".join(value_text(v) for name, v in one.key.items() if name not in own)))
    if one.sigil == UNREADABLE:
        yield (what, which, "", Cell(f"could not be read: {cut(one.detail)}", "bad"), "")
    elif one.sigil == DIFFER:
        for name, (a, b) in one.columns.items():
            sides = (Cell(value_text(a), "warn"), Cell(value_text(b), "warn"))
            yield (what, which, Cell(name, is_code=True), *sides)
    else:
        there = Cell(beside.values.get(value_key(one), "there"), _TONES[one.sigil])
        sides = (there, Cell("not there"))
        yield (what, which, _WHERE[one.sigil], *(sides if one.sigil == ONLY_LEFT else sides[::-1]))


def _is_point(one: Difference) -> bool:
    return one.table == _POINTS and one.sigil in _WHERE


def _points(points: Sequence[Difference]) -> Iterator[Block]:
    """Points of metrics, both values in a row where both sides have one of the step and time."""
    metrics: dict[str, dict[tuple[int, int], tuple[list[str], list[str]]]] = {}
    for one in points:
        when = (_whole(one.key["step"]), _whole(one.key["timestamp"]))
        sides = metrics.setdefault(str(one.key["key"]), {}).setdefault(when, ([], []))
        value = "NaN" if one.key["is_nan"] else value_text(one.key["value"])
        sides[one.sigil == ONLY_RIGHT].append(value)
    for metric, found in metrics.items():
        rows = [
            (f"{step:,}", time_text(at), Cell(a, "warn"), Cell(b, "warn"))
            for (step, at), sides in found.items()
            for a, b in zip_longest(*sides, fillvalue="not there")
        ]
        shown = table(
            f"Points of {cut(metric, 120)}",
            ["Step#", "When!", "A#", "B#"],
            rows,
            "points",
            most=limits.LINES,
        )
        if shown is not None:
            yield Card(f"Points of {cut(metric, 120)}", (shown,), plural(len(rows), "point"))


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _charts(thing: Thing, found: Sequence[Difference], beside: Beside, id_: str) -> Iterator[Chart]:
    """A's and B's curve over each other, of each metric of a run that differs."""
    if thing.noun != RUN or beside.left is None or beside.right is None:
        return
    metrics = dict.fromkeys(str(one.key["key"]) for one in found if one.table == _POINTS)
    for at, metric in enumerate(metrics):
        sides = (("A", beside.left.curves), ("B", beside.right.curves))
        there = [(side, of[thing.id, metric]) for side, of in sides if (thing.id, metric) in of]
        chart = chart_of(f"{id_}-{at}", metric, there)
        if chart is not None:
            yield chart


def _counts(tables: Mapping[str, TableCounts]) -> Iterator[Block | None]:
    rows = [
        (
            name.replace("_", " "),
            one.same,
            *(
                Cell(f"{count:,}", "warn") if count else 0
                for count in (one.differs, one.only_left, one.only_right, one.unreadable)
            ),
        )
        for name, one in tables.items()
        if one.same or one.different
    ]
    names = ["Table", "Same#", "Differ#", "Only in A#", "Only in B#", "Unreadable#"]
    yield table("Rows and files of each table", names, rows, "tables")
    empty = len(tables) - len(rows)
    if empty:
        yield Paragraph(f"{plural(empty, 'other table')} are empty on both sides.")


def _missing(side: str, entries: Sequence[LeftOut], count: int) -> Block | None:
    lines = [
        cut(f"{side}: {one.kind} {one.id} {one.path}: {one.reason}: {one.detail}")
        for one in entries
        if not one.expected
    ]
    return Notes(tuple(lines[: limits.LINES]), count, "things", "bad") if count else None


def _side(name: str, place: Description) -> Block:
    facts = [
        (f"{name}", place.address),
        ("Kind", place.kind),
        ("Schema", f"revision {place.revision}"),
        ("Consistency", place.consistency),
        ("Bundle id", place.bundle_id or ""),
        ("Note", place.as_found or ""),
    ]
    return Facts(tuple(fact for fact in facts if fact[1]))
