"""A source without its rows that refer to nothing, for a target that would not take them.

What refers to such a row refers to nothing then, and stays behind with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.bundle.checks.references import DANGLING
from mlporter.catalogue.tables.own import OWNER_TABLES, owner_key
from mlporter.errors import LeftOut
from mlporter.selection.row_keys import joined, keys_of, matches
from mlporter.stores.protocols import Wrapped
from mlporter.stores.rows.filters import is_among

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.bundle.checks.references import Dangling
    from mlporter.catalogue.types import Reference, Table
    from mlporter.selection.row_keys import Key
    from mlporter.stores.protocols import Among, ArtifactFile, Keep, Report, Source

__all__ = ["WithoutDangling"]


@dataclass(frozen=True)
class _Lacking:
    """Values of a reference that have no row."""

    reference: Reference
    keys: frozenset[Key]

    @property
    def columns(self) -> tuple[str, ...]:
        where = self.reference.where
        return (*self.reference.columns, *(where[:1] if where else ()))

    def mask(self, batch: pa.RecordBatch) -> pa.Array:
        """In which rows it has one of them."""
        found = is_among(keys_of(batch, self.reference.columns), self.keys)
        there = matches(batch, self.reference.where)
        return found if there is None else pc.and_(found, there)


class WithoutDangling(Wrapped):
    """A source without the rows that refer to nothing, and without what refers to those."""

    def __init__(self, inner: Source, dangling: Iterable[Dangling]) -> None:
        super().__init__(inner)
        self._first = tuple(dangling)
        self._rules: dict[str, tuple[_Lacking, ...]] = {}
        self._counts: dict[str, int] = {}
        self._gone: dict[str, frozenset[Key]] = {}
        self._hang: dict[str, int] = {}
        self._find()

    def _find(self) -> None:
        """Which rows they are, parents before children."""
        first: dict[tuple[str, Reference], set[Key]] = {}
        for found in self._first:
            first.setdefault((found.table, found.reference), set()).add(joined(found.values))
        referred = {r.table for table in self.tables for r in table.references if r.enforced}
        for table in self.tables:
            rules = []
            for reference in table.references:
                keys = first.get((table.name, reference), set()) | self._gone_of(reference)
                if keys and reference.enforced:
                    rules.append(_Lacking(reference, frozenset(keys)))
            if not rules:
                continue
            self._rules[table.name] = tuple(rules)
            self._look_at(table, first, is_referred=table.name in referred)

    def _gone_of(self, reference: Reference) -> set[Key]:
        """The keys of rows that stay behind, as `reference` names them."""
        gone = self._gone.get(reference.table)
        entry = next((table for table in self.tables if table.name == reference.table), None)
        if not gone or entry is None:
            return set()
        if set(reference.targets) == set(entry.key):
            places = [entry.key.index(name) for name in reference.targets]
            return {joined([_parts(key)[place] for place in places]) for key in gone}
        return set()

    def _look_at(
        self, table: Table, first: dict[tuple[str, Reference], set[Key]], *, is_referred: bool
    ) -> None:
        """Count the rows of a table that stay behind, and remember their keys if need be."""
        rules = self._rules[table.name]
        own = [
            _Lacking(rule.reference, frozenset(first.get((table.name, rule.reference), ())))
            for rule in rules
        ]
        columns = dict.fromkeys(name for rule in rules for name in rule.columns)
        if is_referred or table.name in OWNER_TABLES.values():
            columns.update(dict.fromkeys(table.key))
        gone: set[Key] = set()
        count = hang = 0
        for batch in self.inner.read(table.name, tuple(columns)):
            mask = _any(rules, batch)
            lost = batch.filter(mask)
            count += lost.num_rows
            hang += lost.num_rows - (pc.sum(_any(own, lost)).as_py() or 0)
            if set(table.key) <= set(columns):
                gone.update(keys_of(lost, table.key).to_pylist())
        self._counts[table.name] = count
        self._gone[table.name] = frozenset(gone)
        self._hang[table.name] = hang

    def entries(self) -> Iterator[LeftOut]:
        """What stays behind: each value that has no row, and how many rows hang on such rows."""
        for found in self._first:
            yield found.entry("the rows are left out, as the target would not take them")
        for table, count in self._hang.items():
            if count:
                rows = "1 row refers" if count == 1 else f"{count} rows refer"
                detail = f"{rows} to rows that are left out, and stay behind with them"
                yield LeftOut("table", table, "", DANGLING, detail)

    def count(self, table: str) -> int:
        """Rows of a table that come."""
        return self.inner.count(table) - self._counts.get(table, 0)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key, but for those that stay behind."""
        rules = self._rules.get(table)
        if rules is None:
            yield from self.inner.read(table, columns, among)
            return
        needed = (name for rule in rules for name in rule.columns)
        wanted = columns if columns is None else tuple(dict.fromkeys((*columns, *needed)))
        for batch in self.inner.read(table, wanted, among):
            kept = batch.filter(pc.invert(_any(rules, batch)))
            if kept.num_rows:
                yield kept if columns is None else kept.select(list(columns))

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """The files of what comes."""

        def comes(kind: str, owner: str) -> bool:
            table = OWNER_TABLES.get(kind)
            gone = self._gone.get(table or "", frozenset())
            return _key_of(kind, owner) not in gone and (keep is None or keep(kind, owner))

        return self.inner.files(report, comes if any(self._gone.values()) else keep)


def _any(rules: Iterable[_Lacking], batch: pa.RecordBatch) -> pa.Array:
    found = pa.array([False] * batch.num_rows, pa.bool_())
    for rule in rules:
        found = pc.or_(found, rule.mask(batch))
    return found


def _parts(key: Key) -> list[Key]:
    return list(key.split("\x00")) if isinstance(key, str) else [key]


def _key_of(kind: str, owner: str) -> Key:
    parts = owner_key(kind, owner)
    return owner if len(parts) == 1 else joined(parts)
