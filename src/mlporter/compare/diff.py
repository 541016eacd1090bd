"""`diff`: any two sources held against each other, row by row and file by file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlporter.artifacts.prefetch import read_ahead
from mlporter.catalogue.tables.own import ARTIFACTS, UNKNOWN_FIELDS
from mlporter.compare.files import compare_files
from mlporter.compare.report import LEFT_OUT_KEPT, UNREADABLE, Difference, DiffReport, TableCounts
from mlporter.compare.rows.shape import Normalise, Pair, Shaper, blank_places
from mlporter.compare.rows.streams import compare_streams
from mlporter.compare.scope import ANCHORED, CompareOptions, decide_scope
from mlporter.compare.version_places import anchored_places
from mlporter.progress import Phases, silent
from mlporter.stores.rows.unknown_fields import may_have_fields, said_of, unknown_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import Source

__all__ = ["OPENING", "DiffReport", "diff_sources", "phases_of_diff"]

OPENING, _ROWS, _FILES = "opening both sides", "comparing rows", "comparing files"

_UNPROVEN = ("unreadable", "unreachable", "outside", "unsafe-path", "unknown", "denied")
"""Reasons for which something may be there, so that nobody can say it is the same."""


def phases_of_diff(on_progress: OnProgress, artifacts: str = "content") -> Phases:
    """The phases of a comparison, the first of which is the caller's."""
    files = [] if artifacts == "none" else [_FILES]
    return Phases(on_progress, (OPENING, _ROWS, *files))


def diff_sources(  # noqa: PLR0913 - two sources, and optional hooks by keyword
    left: Source,
    right: Source,
    options: CompareOptions | None = None,
    on_progress: OnProgress | None = None,
    *,
    normalise_left: Normalise | None = None,
    normalise_right: Normalise | None = None,
) -> DiffReport:
    """Compare two registries; neither is changed.

    Rows stream in the order of their keys, so memory does not grow with the registries, but for
    the model versions' places and the differences that are kept (`CompareOptions.limit`).

    Args:
        left: A.
        right: B.
        options: How closely; the default compares everything that a move must keep.
        on_progress: Called with how far it is: a step for each table (rows of both sides), and one
            for files.
        normalise_left: Rewrites batches of A, by an id map say. It sees places as they are
            compared: a version's as `run:<id>/<path>` (see `versions`), unless `strict`.
        normalise_right: The same for B.

    Raises:
        UsageError: a table was asked for that neither side has.
        BundleDamagedError: a side does not give its rows or files in order, or a key twice.
    """
    options = options or CompareOptions()
    work = _Comparison(
        _Side("A", left, normalise_left), _Side("B", right, normalise_right), options, on_progress
    )
    return work.run()


@dataclass(frozen=True, slots=True)
class _Side:
    name: str
    source: Source
    normalise: Normalise | None

    def normalisers(self, table: Table, *, strict: bool) -> list[Normalise]:
        """What is done to batches of a table before they are compared."""
        last = [self.normalise] if self.normalise else []
        if strict:
            return last
        if table.name in ANCHORED:
            return [anchored_places(self.source, table), *last]
        rows = [place for place in table.places if place.where is not None]
        return [blank_places(rows), *last] if rows else last


class _Comparison:
    """One comparison under way: what was found so far."""

    def __init__(
        self, left: _Side, right: _Side, options: CompareOptions, on_progress: OnProgress | None
    ) -> None:
        self._left = left
        self._right = right
        self._options = options
        self._on_progress = on_progress
        self._differences: list[Difference] = []
        self._left_out: tuple[list[LeftOut], list[LeftOut]] = ([], [])
        self._left_out_truncated = 0
        self._not_given = [0, 0]
        self._unproven: set[tuple[str, str, str]] = set()
        self._ignored: list[str] = []
        self._briefly: dict[str, int] = {}

    def run(self) -> DiffReport:
        """Compare everything in scope."""
        left, right = self._left.source, self._right.source
        scope = decide_scope(
            (left.description, left.tables), (right.description, right.tables), self._options
        )
        self._ignored.extend(scope.ignored)
        self._briefly.update(scope.briefly)
        phases = phases_of_diff(self._on_progress or silent, self._options.artifacts)
        phases.begin(_ROWS)
        tables = {pair.table.name: self._compare_table(pair) for pair in scope.pairs}
        self._note_unread(tables)
        if self._options.tables is None:
            self._compare_fields(tables)
        if scope.files:
            phases.begin(_FILES)
            tables[ARTIFACTS.name] = self._compare_files()
        elif self._unproven:
            tables[ARTIFACTS.name] = TableCounts(unreadable=len(self._unproven))
        different = sum(counts.different for counts in tables.values())
        return DiffReport(
            left=left.description,
            right=right.description,
            tables=tables,
            differences=self._differences,
            truncated=different - len(self._differences),
            ignored=self._ignored,
            not_compared=self._briefly,
            left_out_left=self._left_out[0],
            left_out_right=self._left_out[1],
            left_out_truncated=self._left_out_truncated,
            not_given=(self._not_given[0], self._not_given[1]),
        )

    def _note_unread(self, tables: dict[str, TableCounts]) -> None:
        """What a side could not read of its own rows, so that nobody can say they are the same."""
        for side, source in enumerate((self._left.source, self._right.source)):
            for entry in source.losses():
                counts = tables.get(entry.kind)
                if counts is None:
                    self.note_left_out(side, entry)
                    continue
                self._add_left_out(side, entry)
                if entry.expected:
                    continue
                tables[entry.kind] = replace(counts, unreadable=counts.unreadable + 1)
                named: dict[str, object] = {"id": entry.id, "path": entry.path}
                detail = f"{'AB'[side]}: {entry.detail}"
                self._keep(Difference(entry.kind, UNREADABLE, named, detail=detail))

    def _keep(self, difference: Difference) -> None:
        if len(self._differences) < self._options.limit:
            self._differences.append(difference)

    def _compare_table(self, pair: Pair) -> TableCounts:
        if not pair.table.key and not self._rows(pair):
            return TableCounts()
        for clash in pair.clashes:
            self._keep(Difference(pair.table.name, UNREADABLE, {}, detail=clash))
        if not pair.table.key:
            return TableCounts(unreadable=len(pair.clashes))
        total = self._rows(pair) if self._on_progress is not None else 0
        told = _Told(self._on_progress, f"comparing {pair.table.name}", total)
        mine, left = self._stream(self._left, pair, pair.left, pair.right, told)
        theirs, right = self._stream(self._right, pair, pair.right, pair.left, told)
        counts = compare_streams(
            pair.table,
            left,
            right,
            self._keep,
            strict=self._options.strict,
            limit=self._options.limit - len(self._differences),
        )
        self._say_surplus(pair.table.name, mine, theirs)
        return replace(counts, unreadable=len(pair.clashes))

    def _stream(
        self, side: _Side, pair: Pair, mine: Table | None, theirs: Table | None, told: _Told
    ) -> tuple[dict[str, int], Iterator[pa.RecordBatch]]:
        """What only this side has (counted as it is read), and its rows as they are compared."""
        if mine is None:
            return {}, iter(())
        shaper = Shaper(pair, mine, theirs)
        batches = told.rows(read_ahead(side.source.read(mine.name, tuple(mine.schema.names))))
        normalisers = side.normalisers(mine, strict=self._options.strict)
        return shaper.surplus, shaper.shape(batches, normalisers)

    def _rows(self, pair: Pair) -> int:
        sides = ((self._left.source, pair.left), (self._right.source, pair.right))
        return sum(source.count(table.name) for source, table in sides if table is not None)

    def _say_surplus(self, table: str, left: dict[str, int], right: dict[str, int]) -> None:
        for side, surplus in (("A", left), ("B", right)):
            empty = [f"{table}.{name}" for name, rows in surplus.items() if not rows]
            if empty:
                sentence = f"Columns that only {side} has, all empty: "
                self._ignored.append(f"{sentence}{', '.join(empty)}.")
                brief = f"empty columns that only {side} has"
                self._briefly[brief] = self._briefly.get(brief, 0) + len(empty)

    def _compare_fields(self, tables: dict[str, TableCounts]) -> None:
        """Fields of a newer MLflow, where both sides can have them: tables do not show them."""
        sources = (self._left.source, self._right.source)
        if all(map(may_have_fields, sources)):
            left, right = map(unknown_fields, sources)
            limit = self._options.limit - len(self._differences)
            counts = compare_streams(
                UNKNOWN_FIELDS, left, right, self._keep, strict=self._options.strict, limit=limit
            )
            if counts.same or counts.different:
                tables[UNKNOWN_FIELDS.name] = counts
            return
        for side, source in zip("AB", sources, strict=True):
            for said in said_of(source):
                self._ignored.append(f"{said} Only {side} can have them.")

    def _compare_files(self) -> TableCounts:
        sides = (self._left.source.description, self._right.source.description)
        total = next((side.files for side in sides if side.files is not None), None)

        def on_files(done: int) -> None:
            if self._on_progress is not None:
                # One side's number need not be the other's.
                within = None if total is None else max(total, done + 1)
                self._on_progress("comparing artifacts", done, within, "files")

        counts = compare_files(
            self._left.source,
            self._right.source,
            self._options,
            on_difference=self._keep,
            on_left_out=(_Reporter(self, 0), _Reporter(self, 1)),
            on_files=on_files,
        )
        if self._on_progress is not None:
            files = counts.same + counts.different
            self._on_progress("comparing artifacts", files, files, "files")
        return replace(counts, unreadable=counts.unreadable + len(self._unproven))

    def _add_left_out(self, side: int, entry: LeftOut) -> None:
        self._not_given[side] += not entry.expected
        if len(self._left_out[side]) < LEFT_OUT_KEPT:
            self._left_out[side].append(entry)
        else:
            self._left_out_truncated += 1

    def note_left_out(self, side: int, entry: LeftOut) -> None:
        """A side could not give a file: keep it, and count it where it may be there."""
        self._add_left_out(side, entry)
        key = (entry.kind, entry.id, entry.path)
        if entry.expected or entry.reason not in _UNPROVEN or key in self._unproven:
            return
        self._unproven.add(key)
        named: dict[str, object] = {"kind": entry.kind, "id": entry.id, "path": entry.path}
        detail = f"{'AB'[side]}: {entry.detail}"
        self._keep(Difference(ARTIFACTS.name, UNREADABLE, named, detail=detail))


@dataclass(frozen=True, slots=True)
class _Reporter:
    """What a side is given to report left-out files to."""

    comparison: _Comparison
    side: int

    def __call__(self, entry: LeftOut) -> None:
        self.comparison.note_left_out(self.side, entry)


class _Told:
    """Counts the rows of both sides as they are read, for whoever wants to know."""

    def __init__(self, on_progress: OnProgress | None, step: str, total: int) -> None:
        self._on_progress = on_progress
        self._step = step
        self._total = total
        self._done = 0

    def rows(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches, counted."""
        for batch in batches:
            self._done += batch.num_rows
            if self._on_progress is not None:
                self._on_progress(self._step, self._done, self._total, "rows")
            yield batch
