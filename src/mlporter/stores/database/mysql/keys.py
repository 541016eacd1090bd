"""Keys that are different texts here and one key in MySQL, where ``A`` may be ``a`` and ``é``.

Two rows clash if their keys differ in texts that a collation takes for equal, and in nothing
else. First the texts: which of a column's values are equal to others? Mostly none are, and that
is the end of it. Otherwise the rows that hold one of these are looked at once more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlporter.catalogue.types import Table
    from mlporter.stores.database.mysql.collations import CollationQuestions
    from mlporter.stores.database.mysql.limits import Rows

__all__ = ["KeyTexts", "UniqueKey", "clashes"]

_PLAIN = r"^[0-9a-z_./:,=+@#-]*$"
"""Texts that no collation takes for one another: no capitals, no accents, no blanks at the end."""

_MOST_TEXTS = 200_000


@dataclass(frozen=True)
class UniqueKey:
    """A primary or unique key, and the collation of each of its texts."""

    columns: tuple[str, ...]
    texts: Mapping[str, str]


@dataclass
class KeyTexts:
    """The distinct texts of a column of keys, in bounded memory.

    Where there are more of them than `_MOST_TEXTS`, plain ones are no longer kept: a clash with
    one of these is then found by the database while it is written.
    """

    others: set[str] = field(default_factory=set)
    plain: set[str] = field(default_factory=set)

    def add(self, values: pa.Array) -> None:
        """Take note of values."""
        distinct = pc.unique(values).drop_null()
        plain = pc.match_substring_regex(distinct, _PLAIN)
        self.others.update(distinct.filter(pc.invert(plain)).to_pylist())
        if len(self.plain) < _MOST_TEXTS:
            self.plain.update(distinct.filter(plain).to_pylist())

    def equal(self, collation: str, words: CollationQuestions) -> dict[str, str]:
        """Texts that a collation takes for others, each with the one that stands for them."""
        if not self.others:
            return {}
        texts = sorted(self.others | self.plain, key=str.encode)
        groups: dict[bytes, list[str]] = {}
        for text, weight in zip(texts, words.weights(texts, collation), strict=True):
            groups.setdefault(weight, []).append(text)
        return {text: same[0] for same in groups.values() if len(same) > 1 for text in same}


def clashes(  # noqa: PLR0913 -- two sets of rows, and how to compare them
    table: Table,
    keys: Iterable[UniqueKey],
    texts: Mapping[str, KeyTexts],
    rows: Rows,
    existing: Rows | None,
    *,
    words: CollationQuestions,
) -> Iterator[str]:
    """A sentence for each two rows whose keys the database would not tell apart.

    Args:
        table: The table that they go to.
        keys: Its primary and unique keys that have texts in them.
        texts: What the texts of these are, in `rows`.
        rows: What is to be written.
        existing: The columns of the keys as they are there, or None.
        words: Who knows what is equal.
    """
    if existing is not None:
        for batch in existing():
            for name, seen in texts.items():
                seen.add(batch.column(name))
    for key in keys:
        equal = {name: texts[name].equal(coll, words) for name, coll in key.texts.items()}
        ambiguous = {name: same for name, same in equal.items() if same}
        if ambiguous:
            yield from _Search(table, key, ambiguous).run(rows, existing)


class _Search:
    """Looks for rows with one key among those that hold an ambiguous text."""

    def __init__(
        self, table: Table, key: UniqueKey, ambiguous: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._table = table
        self._key = key
        self._ambiguous = ambiguous
        first = table.order[0]
        # Rows come sorted by it: nothing of what had another one can clash any more.
        self._leads = first in key.columns and first not in ambiguous
        self._first = key.columns.index(first) if self._leads else -1
        self._values = {name: pa.array(same, pa.string()) for name, same in ambiguous.items()}

    def run(self, rows: Rows, existing: Rows | None) -> Iterator[str]:
        there = {}
        for key in self._candidates(existing() if existing is not None else iter(())):
            there[self._folded(key)] = key
        seen: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        lead: Any = None
        for key in self._candidates(rows()):
            if self._leads and key[self._first] != lead:
                lead = key[self._first]
                seen.clear()
            folded = self._folded(key)
            other = seen.setdefault(folded, key)
            if other != key:
                yield self._sentence(other, key, "")
            other = there.get(folded, key)
            if other != key:
                yield self._sentence(other, key, " (there already)")

    def _candidates(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
        for batch in batches:
            mask = None
            for name, values in self._values.items():
                found = pc.is_in(batch.column(name), value_set=values)
                mask = found if mask is None else pc.or_(mask, found)
            rows = batch.select(list(self._key.columns)).filter(mask)
            columns = [column.to_pylist() for column in rows.columns]
            # NULL is equal to nothing, not even to itself.
            yield from (key for key in zip(*columns, strict=True) if None not in key)

    def _folded(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        pairs = zip(self._key.columns, key, strict=True)
        return tuple(self._ambiguous.get(name, {}).get(value, value) for name, value in pairs)

    def _sentence(self, one: tuple[Any, ...], other: tuple[Any, ...], where: str) -> str:
        names = sorted({self._key.texts[name] for name in self._ambiguous})
        return (
            f"{self._table.name} {_shown(one)!r}{where} and {_shown(other)!r} are the same "
            f"key in the target, by its collation {', '.join(names)}; a database made with "
            "COLLATE "
            "utf8mb4_bin distinguishes them"
        )


def _shown(key: tuple[Any, ...]) -> str:
    return "/".join(str(part)[:60] for part in key)
