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
from typing import TYPE_CHECKING, Any

from mlporter.catalogue import BY_NAME
from mlporter.catalogue.tables.own import UNKNOWN_FIELDS
from mlporter.compare.missing_rows import MissingRows
from mlporter.compare.shape import pair_up
from mlporter.plan.ids.mapped_fields import mapped_fields
from mlporter.stores.protocols import Among
from mlporter.stores.rest.answers import REFUSED
from mlporter.stores.rows.unknown_fields import (
    FieldRows,
    field_rows,
    shape_of,
    sorted_fields,
    unknown_fields,
)
from mlporter.stores.server.writing.fields import CHANGEABLE, sendable_name, set_fields
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.plan.ids.id_map import IdMap
    from mlporter.stores.protocols import Source
    from mlporter.stores.server.source import ServerSource

__all__ = ["FieldsAlong", "SentFields"]

_NONE = "the target's answers do not have such a field"
_NO_WAY = "this release knows no request that sets it"
_KEPT = "the target has a different value, which is kept"
_LOST = "it was sent, and the target did not keep it"

_Missing = tuple[str, str, str, str, bool]
"""A `FieldRow` that the server lacks, and whether it has another value."""


class FieldsAlong(FieldRows):
    """What goes along with the requests that make objects, for servers of a newer MLflow."""

    def __init__(self, source: Source, server: ServerSource) -> None:
        super().__init__()
        if server.can.is_newer:
            self.add(field_rows(source))

    def named(self, table: str, *key: object) -> dict[str, Any]:
        """Fields of a row of the source, by their names in a request."""
        told = self.of(table, json.dumps(key))
        names = ((sendable_name(table, path), value) for path, value in told.items())
        return {name: json.loads(value) for name, value in names if name is not None}


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
            shapes = self._shapes()
            for missing in self._missing(self.seen.server):
                self._sends(missing, shapes, frozenset())
            self._tell()

    def run(self) -> None:
        """Send what the target may take, read it back, and name the rest."""
        if not self._has_any:
            return
        shapes, before = self._shapes(), self._at_start()
        sent: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
        for missing in self._missing(self.seen.server):
            if self._sends(missing, shapes, before):
                table, key, path, value, _ = missing
                sent[table, key][path] = json.loads(value)
        for (table, key), fields in sent.items():
            self._send(table, key, fields)
        if sent:
            self._read_back(sent)
        self._tell()

    @property
    def _has_any(self) -> bool:
        return next(field_rows(self.context.source), None) is not None

    def _shapes(self) -> set[str]:
        """The fields that the target has, of any object."""
        rows = (*field_rows(self.context.server), *field_rows(self.seen.server))
        return {shape_of(table, path) for table, _, path, _ in rows}

    def _at_start(self) -> frozenset[tuple[str, str, str]]:
        """The values that were there before anything was written."""
        return frozenset(row[:3] for row in field_rows(self.context.server))

    def _missing(self, server: Source) -> Iterator[_Missing]:
        """What the server lacks, or has otherwise."""
        pair = pair_up(UNKNOWN_FIELDS, UNKNOWN_FIELDS, frozenset())
        if pair is None:
            return
        left = sorted_fields(mapped_fields(field_rows(self.context.source), self._ids))
        for found in MissingRows(pair, left, unknown_fields(server)):
            for row in found.rows.to_pylist():
                yield row["table"], row["key"], row["field"], row["value"], found.changed

    @property
    def _ids(self) -> IdMap:
        return self.seen.ids

    def _sends(
        self, missing: _Missing, shapes: set[str], before: frozenset[tuple[str, str, str]]
    ) -> bool:
        """Whether a field is to be sent; else it is counted among what is left out."""
        table, key, path, _, changed = missing
        shape = shape_of(table, path)
        why = ""
        if shape not in shapes and not self.context.server.can.is_newer:
            why = _NONE
        elif table not in CHANGEABLE or sendable_name(table, path) is None:
            why = _NO_WAY
        elif changed and (table, key, path) in before and not self.context.policy.updates:
            why = _KEPT
        if why:
            self._left[table, shape, why] += 1
        return not why

    def _send(self, table: str, key: str, fields: Mapping[str, Any]) -> None:
        row = self._row(table, json.loads(key))
        if row is None:
            return
        named = {sendable_name(table, path) or "": value for path, value in fields.items()}
        client = self.context.server.client_in(self._workspace(row))
        try:
            set_fields(client, table, row, named)
        except REFUSED as error:
            self.context.leave("field", table, key, "refused", error.message)

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
            return str(row["workspace"])
        home = self._row("experiments", [row["experiment_id"]])
        return str(home["workspace"]) if home else "default"

    def _read_back(self, sent: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        with closing(self.reopened()) as server:
            server.narrow(self._ids.experiments.values())
            for table in {table for table, _ in sent}:
                server.count(table)
            for table, key, path, _, _ in self._missing(server):
                if path in sent.get((table, key), ()):
                    self._left[table, shape_of(table, path), _LOST] += 1

    def _tell(self) -> None:
        for (table, shape, why), count in sorted(self._left.items()):
            path = shape.removeprefix(f"{table}.")
            detail = f"{plural(count, 'value')}: {why}"
            self.context.leave("field", table, path, "unknown", detail)
