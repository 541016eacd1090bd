"""What comes in a server's answers and is in no list of what is known: kept as it came."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from mlporter.catalogue import BY_NAME
from mlporter.catalogue.tables.columns import looks_secret, text
from mlporter.catalogue.tables.own import UNKNOWN_FIELDS
from mlporter.errors import LeftOut
from mlporter.stores.rows.unknown_fields import FieldRows, shape_of
from mlporter.stores.server.reading.answer_fields import ANSWER_FIELDS
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlporter.stores.rows.unknown_fields import FieldRow
    from mlporter.stores.server.reading.answer_fields import Fields
    from mlporter.stores.server.reading.rows import Json, Rows

__all__ = ["UnknownFields", "elements", "keep_unknown", "row_of", "unknown_in"]

_NAMES = ("key", "name", "assessment_id", "mapping_id", "alias", "id", "model_id")
"""What an element of a list is called by, the first that it has."""


def keep_unknown(rows: Rows, table: str, found: Json, known: Fields | None = None) -> None:
    """Add what is unknown of an object whose row is the last of its table.

    Args:
        rows: With that row.
        table: The catalogue's.
        found: The object.
        known: Its fields, if not those of `ANSWER_FIELDS`.
    """
    unknown = list(unknown_in(found, known or ANSWER_FIELDS[table]))
    if unknown:
        row = rows[table][-1]
        rows[UNKNOWN_FIELDS.name] += (row_of(table, row, *field) for field in unknown)


def row_of(table: str, row: Mapping[str, Any], field: str, value: object) -> dict[str, Any]:
    """A row of `UNKNOWN_FIELDS`."""
    key = [row.get(name) for name in BY_NAME[table].key]
    told = (table, json.dumps(key), field, json.dumps(value))
    return dict(zip(UNKNOWN_FIELDS.schema.names, told, strict=True))


def unknown_in(found: object, known: Fields, path: str = "") -> Iterator[tuple[str, object]]:
    """Paths and values of all that is not known; null says nothing, and is none."""
    if not isinstance(found, dict):
        return
    for name in found.keys() - known.names:
        if found[name] is not None:
            yield f"{path}{name}", found[name]
    for name, inside in known.inside.items():
        value = found.get(name)
        if isinstance(value, list):
            yield from _in_list(value, inside, f"{path}{name}")
        elif value is not None:
            yield from unknown_in(value, inside, f"{path}{name}.")


def _in_list(found: list[object], known: Fields, path: str) -> Iterator[tuple[str, object]]:
    # Mostly there is nothing, and a list may be long.
    if known.inside or not all(known.names.issuperset(i) for i in found if isinstance(i, dict)):
        for called, item in elements(found, known):
            yield from unknown_in(item, known, f"{path}[{called}].")


def elements(found: list[Any], known: Fields) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects in a list, and what each is called in paths."""
    calls: Counter[str] = Counter()
    for index, item in enumerate(found):
        if isinstance(item, dict):
            called = _called(item, index, known.called or _NAMES)
            calls[called] += 1
            # Of two that are called alike, both are kept.
            yield called if calls[called] == 1 else f"{called}#{calls[called]}", item


def _called(item: Mapping[str, Any], index: int, names: tuple[str, ...]) -> str:
    values = (_inside(item, name) for name in names)
    given = [str(value) for value in values if value is not None]
    called = "/".join(given if names is not _NAMES else given[:1]) or str(index)
    return str(index) if set(called) & set("[]") else called


def _inside(item: Mapping[str, Any], name: str) -> object:
    """A field of an object, or of one inside of it."""
    holder, _, last = name.rpartition(".")
    found = item.get(holder) if holder else item
    return found.get(last) if isinstance(found, dict) else None


class UnknownFields(FieldRows):
    """All that came, but for what looks like a secret."""

    def __init__(self) -> None:
        super().__init__()
        self._secret: Counter[tuple[str, str]] = Counter()

    def take(self, rows: Iterable[FieldRow]) -> None:
        """Keep rows of `UNKNOWN_FIELDS`, but for what looks like a secret."""
        kept = []
        for row in rows:
            table, _, field, value = row
            if _may_be_secret(field.rpartition(".")[2], json.loads(value)):
                with self._lock:
                    self._secret[table, shape_of(table, field)] += 1
            else:
                kept.append(row)
        self.add(kept)

    def losses(self) -> Iterator[LeftOut]:
        """What looked like a secret: no secret leaves by accident."""
        for (table, shape), count in sorted(self._secret.items()):
            sentence = f"{plural(count, 'value')} of an unknown field that is called like a secret"
            yield LeftOut("field", table, shape.removeprefix(f"{table}."), "secret", sentence)


def _may_be_secret(name: str, value: object) -> bool:
    """Whether a text in a value is called like a secret."""
    if isinstance(value, dict):
        return any(_may_be_secret(key, inner) for key, inner in value.items())
    if isinstance(value, list):
        return any(_may_be_secret(name, inner) for inner in value)
    return isinstance(value, str) and looks_secret(text(name))
