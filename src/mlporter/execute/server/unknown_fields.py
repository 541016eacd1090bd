"""Fields of a newer MLflow, sent where the target may have them too; else named.

A target may have a field if it is of a newer MLflow itself, or if one of its own answers held it.
It takes one in the request that makes the object or changes it, or not at all: only reading again
tells.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mlporter.catalogue import BY_NAME
from mlporter.catalogue.tables.own import UNKNOWN_FIELDS
from mlporter.compare.rows.missing_rows import MissingRows
from mlporter.compare.rows.shape import pair_up
from mlporter.execute.server.shared.repeating import Repeating
from mlporter.plan.ids.mapped_fields import mapped_fields
from mlporter.stores.protocols import Among
from mlporter.stores.rest.answers import REFUSED
from mlporter.stores.rows.unknown_fields import (
    field_rows,
    is_of_a_mark,
    shape_of,
    sorted_fields,
    unknown_fields,
)
from mlporter.stores.server.writing.element_fields import (
    ELEMENTS,
    POINTS,
    element_path,
    send_elements,
)
from mlporter.stores.server.writing.fields import is_sendable, sendable_name, set_fields
from mlporter.stores.server.writing.placed_fields import is_placeable
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.plan.ids.id_map import IdMap
    from mlporter.stores.protocols import Source
    from mlporter.stores.server.source import ServerSource
    from mlporter.stores.server.writing.element_fields import Element

__all__ = ["SentFields"]

_NONE = "the target's answers do not have such a field"
_NO_WAY = "this release knows no request that sets it"
_KEPT = "the target has a different value, which is kept"
_LOST = "it was sent, and the target did not keep it"

_Missing = tuple[str, str, str, str, bool]
"""A `FieldRow` that the server lacks, and whether it has another value."""
_Before = frozenset[tuple[str, str, str]]
"""What the server had at the start: table, key and field."""


@dataclass
class SentFields:
    """The fields of one transfer.

    Attributes:
        context: Of the transfer: what it found at the start, and what it leaves out.
        seen: Of the server as it is now; the same context, if nothing was written.
        reopened: Opens the server once more.
    """

    context: ServerContext
    seen: ServerContext
    reopened: Callable[[], ServerSource]
    _left: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def plan(self) -> None:
        """Name what the target surely cannot take; nothing is sent."""
        if self._has_any:
            self._read_points()
            shapes = self._shapes()
            for missing in self._missing(self.seen.server):
                self._sends(missing, shapes, frozenset())
            self._tell()

    def run(self) -> None:
        """Send what the target may take, read it back, and name the rest."""
        if not self._has_any:
            return
        self._read_points()
        shapes, before = self._shapes(), self._at_start()
        sent = False
        for (table, _), found in groupby(self._missing(self.seen.server), _object_of):
            fields = {
                (key, path): json.loads(value)
                for _, key, path, value, changed in found
                if self._sends((table, key, path, value, changed), shapes, before)
            }
            if fields:
                self._send(table, fields)
                sent = True
        if sent:
            self._read_back(shapes, before)
        self._tell()

    @property
    def _has_any(self) -> bool:
        return next(field_rows(self.context.source), None) is not None

    def _read_points(self) -> None:
        """Read points that the server is known to have: their fields are not known."""
        copies = self._ids.of("runs")
        keys = (
            key for table, key, _, _ in field_rows(self.context.source) if table == POINTS.table
        )
        runs = {copies.get(run, run) for run, *_ in map(json.loads, keys)}
        for context in (self.context, self.seen) if runs else ():
            context.server.take_up_histories(runs)
            context.server.count(POINTS.table)

    def _shapes(self) -> set[str]:
        """The fields that the target has, of any object."""
        rows = (*field_rows(self.context.server), *field_rows(self.seen.server))
        return {shape_of(table, path) for table, _, path, _ in rows}

    def _at_start(self) -> _Before:
        """The values that were there before anything was written."""
        return frozenset(row[:3] for row in field_rows(self.context.server))

    def _missing(self, server: Source) -> Iterator[_Missing]:
        """What the server lacks, or has otherwise."""
        pair = pair_up(UNKNOWN_FIELDS, UNKNOWN_FIELDS, frozenset())
        if pair is None:
            return
        mine = (row for row in field_rows(self.context.source) if not is_of_a_mark(row[2]))
        left = sorted_fields(mapped_fields(mine, self._ids))
        for found in MissingRows(pair, left, unknown_fields(server)):
            for row in found.rows.to_pylist():
                yield row["table"], row["key"], row["field"], row["value"], found.changed

    @property
    def _ids(self) -> IdMap:
        return self.seen.ids

    def _sends(self, missing: _Missing, shapes: set[str], before: _Before) -> bool:
        """Whether a field is to be sent; else it is counted among what is left out."""
        why = self._why_not(missing, shapes, before)
        if why:
            table, _, path, _, _ = missing
            self._left[table, shape_of(table, path), why] += 1
        return not why

    def _why_not(self, missing: _Missing, shapes: set[str], before: _Before) -> str:
        table, key, path, _, changed = missing
        if shape_of(table, path) not in shapes and not self.context.server.can.is_newer:
            return _NONE
        if not is_sendable(table, path):
            return _NO_WAY
        if changed and (table, key, path) in before and not self.context.policy.updates:
            return _KEPT
        return ""

    def _send(self, table: str, fields: Mapping[tuple[str, str], Any]) -> None:
        """Send fields of one object: its own, and those of what stands in its lists."""
        key = next(iter(fields))[0]
        try:
            if table == POINTS.table:
                self._send_points(fields)
                return
            row = self._row(table, json.loads(key))
            if row is None:
                return
            client = self.context.server.client_in(self._workspace(row))
            own, inside, placed = _sorted_out(table, fields)
            if placed:
                Repeating(self.seen.server, client).send(table, row, placed)
            if own:
                set_fields(client, table, row, own)
            for element, wanted in inside.items():
                send_elements(client, element, list(self._elements(element, row, wanted)))
        except REFUSED as error:
            self.context.leave("field", table, key, "refused", error.message)

    def _send_points(self, fields: Mapping[tuple[str, str], Any]) -> None:
        """The same of points of one run, which are rows by themselves."""
        points: dict[str, dict[str, Any]] = defaultdict(dict)
        for (key, path), value in fields.items():
            points[key][path] = value
        names = BY_NAME[POINTS.table].key
        items = [(dict(zip(names, json.loads(key), strict=True)), more)
                 for key, more in points.items()]  # fmt: skip
        run = self._row("runs", [items[0][0]["run_uuid"]])
        if run is not None:
            client = self.context.server.client_in(self._workspace(run))
            send_elements(client, POINTS, items)

    def _elements(
        self, element: Element, owner: Mapping[str, Any], wanted: Mapping[str, dict[str, Any]]
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Those of an object, as the server has them, that fields are to be sent of."""
        column = next(name for name in element.owner if name != "workspace")
        for batch in self.seen.server.read(element.table, None, Among(column, (owner[column],))):
            for row in batch.to_pylist():
                mine = all(row[name] == owner[name] for name in element.owner)
                called = element.called(row) if mine else ""
                if called in wanted and element.is_sure(row):
                    yield row, wanted[called]

    def _row(self, table: str, key: list[Any]) -> dict[str, Any] | None:
        """An object as the server has it."""
        entry = BY_NAME[table]
        wanted = dict(zip(entry.key, key, strict=True))
        column = next(name for name in entry.key if name != "workspace")
        for batch in self.seen.server.read(table, None, Among(column, (wanted[column],))):
            for row in batch.to_pylist():
                if wanted.items() <= row.items():
                    found: dict[str, Any] = row
                    return found
        return None

    def _workspace(self, row: Mapping[str, Any]) -> str:
        if "workspace" in row:
            return str(row["workspace"] or "default")
        home = self._row("experiments", [row["experiment_id"]])
        return str(home["workspace"]) if home else "default"

    def _read_back(self, shapes: set[str], before: _Before) -> None:
        with closing(self.reopened()) as server:
            server.narrow(self._ids.experiments.values())
            tables = {table for table, *_ in field_rows(self.context.source)}
            for table in tables:
                server.count(table)
            for missing in self._missing(server):
                if not self._why_not(missing, shapes, before):
                    table, _, path, _, _ = missing
                    self._left[table, shape_of(table, path), _LOST] += 1

    def _tell(self) -> None:
        for (table, shape, why), count in sorted(self._left.items()):
            path = shape.removeprefix(f"{table}.")
            detail = f"{plural(count, 'value')}: {why}"
            self.context.leave("field", table, path, "unknown", detail)


def _object_of(missing: _Missing) -> tuple[str, str]:
    """What a request is about that sends a field: of points of metrics, it is their run."""
    table, key, *_ = missing
    return table, str(json.loads(key)[0]) if table == POINTS.table else key


_Inside = dict["Element", dict[str, dict[str, Any]]]


def _sorted_out(
    table: str, fields: Mapping[tuple[str, str], Any]
) -> tuple[dict[str, Any], _Inside, dict[str, Any]]:
    """Fields of an object itself, those of its elements, and those that a request holds by path."""
    own: dict[str, Any] = {}
    placed: dict[str, Any] = {}
    inside: _Inside = defaultdict(lambda: defaultdict(dict))
    for (_, path), value in fields.items():
        where = element_path(table, path)
        if is_placeable(table, path):
            placed[path] = value
        elif where is None:
            own[sendable_name(table, path) or ""] = value
        else:
            inside[ELEMENTS[table, where.list]][where.name][where.field] = value
    return own, inside, placed
