"""Whether what both sides have under one id is the same, all of its rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from mlporter.catalogue.rest_limits import HIDDEN_COLUMNS, HIDDEN_TABLES
from mlporter.catalogue.types import Kind
from mlporter.compare.differences import Differences
from mlporter.compare.report import DIFFER, ONLY_LEFT, ONLY_RIGHT
from mlporter.compare.rows.shape import blank_places, pair_up
from mlporter.compare.rows.streams import OnDifference, compare_streams
from mlporter.compare.rows.written_rows import HIDDEN, without_secrets
from mlporter.compare.scope import ANCHORED
from mlporter.compare.version_places import anchored_places
from mlporter.plan.deleted_rows import (
    Lost,
    Update,
    asked,
    is_time_of_deletion,
    is_undeletion,
    undeletion,
)
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.ids.mapped_rows import MappedReader, edge_end, edges_of
from mlporter.plan.merge.unchanged import with_other_points
from mlporter.plan.three_sides.row import Sides
from mlporter.plan.units import OWNED, Choice, Chosen, key_text, tables_of
from mlporter.stores.rows.version_locations import rows_of
from mlporter.stores.views.rest_view import rest_batch
from mlporter.wording import both_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from mlporter.catalogue.types import Column, Table
    from mlporter.compare.report import Difference
    from mlporter.compare.rows.shape import Normalise, Pair
    from mlporter.plan.side_reader import Reader
    from mlporter.stores.protocols import Source

__all__ = ["Comparison", "RowStates", "Unequal"]

_NOT_COMPARED = {
    "model_versions": frozenset({"last_updated_time"}),
    "inputs": frozenset({"input_uuid"}),
}
"""Columns that change when nothing that people see does, or that are made up for the row."""

_COLUMNS_NAMED = 2
"""How many columns are named of a row that differs."""

_BY_KEY_ALONE = {"entity_associations": frozenset({"association_id", "created_time"})}
"""Rows that say no more than their key does."""


@dataclass(frozen=True)
class Unequal:
    """Units that are not the same on both sides, by the source's keys.

    Attributes:
        why: What differs first.
        deleted: Those that the target has marked as deleted and that are the same but for that:
            the update that would take it back.
        added: Those of which the target only has more rows than the source.
    """

    why: Mapping[str, str]
    deleted: Mapping[str, Update]
    added: frozenset[str] = frozenset()


@dataclass(frozen=True)
class RowStates:
    """Rows of a table that both sides have, by their keys (joined, in the target's terms).

    Attributes:
        there: Those that are the same.
        differ: Those that are not, and what differs.
    """

    there: frozenset[str]
    differ: Mapping[str, str]


class Comparison:
    """Holds the source, as the target would see it, against the target.

    Attributes:
        back: Ids in the target of copies that an earlier import made, and what they are copies of.
            A thing that refers to a copy is the same as one that refers to the original.
        anchors: Where runs and models of the source are found that files lie with.
        quick: Do not read the metric points of runs that seem to have the same ones.
    """

    def __init__(
        self,
        source: Source,
        target: Reader,
        tables: tuple[Table, ...],
        lost: Lost | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._tables = {table.name: table for table in tables}
        self._there = {table.name: table for table in target.tables}
        self._over_rest = source.description.over_rest
        self.quick = False
        self.anchors: Reader = source
        self.lost = lost or Lost(lambda _: frozenset())
        self.back = IdMap()

    def unequal(self, entity: str, keys: dict[str, str], ids: IdMap) -> Unequal:
        """Which units are not the same on both sides.

        Args:
            entity: Their kind.
            keys: The source's key of each unit, and the target's: its own, or that of a copy.
            ids: What else of the source is other in the target, but for copies.

        What the target lost with something that comes back (`Lost`) makes nothing unequal.
        """
        originals = self.back.of(entity)
        old = {originals.get(new, new): key for key, new in keys.items()}
        left, unequal = set(keys), dict[str, str]()
        deleted: dict[str, Update] = {}
        added: set[str] = set()
        for table in tables_of(entity):
            if not left or table not in self._tables or table not in self._there:
                continue
            if self._over_rest and table in HIDDEN_TABLES:
                continue
            mine, theirs = self.of_units(entity, self._to_read(table, left, keys, ids), ids)
            found = self._differing(mine, theirs, table, entity)
            unequal |= {old[key]: why for key, why in found.why.items() if key in old}
            deleted |= {old[key]: update for key, update in found.deleted.items() if key in old}
            added |= {old[key] for key in found.added if key in old}
            left -= unequal.keys()
        rest = {k: u for k, u in deleted.items() if k not in unequal}
        return Unequal(unequal, rest, frozenset(added - unequal.keys()))

    def _to_read(
        self, table: str, left: set[str], keys: dict[str, str], ids: IdMap
    ) -> dict[str, str]:
        """Of which units rows of a table are read: of all, unless a look at less tells enough."""
        some = {key: keys[key] for key in left}
        if table != "metrics" or ids.of("runs") or self.other_points is None:
            return some
        return {key: some[key] for key in self.other_points & some.keys()}

    @cached_property
    def other_points(self) -> frozenset[str] | None:
        """Runs whose points may not be the same; None where all points must be read to tell."""
        if not self.quick or self.back.of("runs"):
            return None
        return with_other_points(self._source, self._target)

    def of_units(
        self, entity: str, keys: dict[str, str], ids: IdMap
    ) -> tuple[MappedReader, MappedReader]:
        """Both sides of some units, by the source's keys and the target's."""
        mine = self._some(self._source, entity, set(keys), ids)
        return mine, self._some(self._target, entity, set(keys.values()), self.back)

    @staticmethod
    def _some(reader: Reader, entity: str, keys: set[str], ids: IdMap) -> MappedReader:
        return MappedReader(reader, ids, Choice({entity: Chosen(frozenset(keys))}))

    def unequal_twins(self, entity: str, twins: dict[str, str], ids: IdMap) -> set[str]:
        """Which units are not what the target has under the same name, and another id.

        Ids and times say nothing then: two servers made the same thing, each for itself.
        """
        if not twins:
            return set()
        trial = replace(ids, ids={**ids.ids, entity: {**ids.of(entity), **twins}})
        wanted = set(twins.values())
        mine = self._content(entity, self._some(self._source, entity, set(twins), trial), wanted)
        there = self._content(entity, self._some(self._target, entity, wanted, self.back), wanted)
        return {key for key, twin in twins.items() if mine[twin] != there[twin]}

    def _content(self, entity: str, reader: Reader, keys: set[str]) -> dict[str, Counter[str]]:
        """All that units say, but for ids of rows and for times: few rows, so in memory."""
        found: dict[str, Counter[str]] = {key: Counter() for key in keys}
        for name in tables_of(entity):
            if name not in self._tables or name not in self._there:
                continue
            table, owner = self._tables[name], OWNED[name].columns
            said = tuple(c.name for c in table.columns if not _is_own(c, owner, table.key))
            for batch in reader.read(name, (*owner, *said)):
                for row in batch.to_pylist():
                    key = key_text(row[column] for column in owner)
                    found[key][f"{name} {[row[column] for column in said]}"] += 1
        return found

    def _differing(
        self, mine: MappedReader, theirs: MappedReader, table: str, entity: str
    ) -> Unequal:
        """Keys of the units of which rows of a table differ, and what differs first."""
        pair = self._pair(table)
        if pair is None or pair.left is None or pair.right is None:
            return Unequal({}, {})
        found: dict[str, str] = {}
        deleted: dict[str, Update] = {}
        added: set[str] = set()
        with Differences() as all_found:
            self._compare(pair, mine, theirs, all_found.append)
            for piece in all_found.pieces():
                differing = self.sift(mine, table, piece)
                if not differing:
                    continue
                owner = self._owner_of(mine, theirs, table, differing)
                for difference in differing:
                    key = owner(difference.key)
                    if table == entity and is_undeletion(difference):
                        deleted[key] = undeletion(difference)
                    elif difference.sigil == ONLY_RIGHT and table != entity:
                        added.add(key)
                    elif key not in found:
                        shown = without_secrets(self._tables[table], difference)
                        found[key] = _what(shown, entity)
        return Unequal(found, deleted, frozenset(added - found.keys()))

    def _pair(self, table: str) -> Pair | None:
        mine, theirs = self._tables[table], self._there[table]
        leave = set(_NOT_COMPARED.get(table, ())) | set(_BY_KEY_ALONE.get(table, ()))
        leave |= {c.name for c in mine.columns if c.secret}
        if self._over_rest:
            leave |= set(HIDDEN_COLUMNS.get(table, ()))
        if table not in ANCHORED:
            leave |= {place.column for place in mine.places if place.where is None}
        return pair_up(mine, theirs, frozenset(leave))

    def sides(self, table: str, source: MappedReader, target: MappedReader) -> Sides | None:
        """A table on both sides, as it is compared; None where one side does not have it."""
        pair = self._pair(table)
        return None if pair is None else self._sides(pair, source, target)

    def _sides(self, pair: Pair, source: MappedReader, target: MappedReader) -> Sides | None:
        mine, other = pair.left, pair.right
        if mine is None or other is None:
            return None
        normalisers: tuple[list[Normalise], list[Normalise]] = ([], [])
        if pair.table.name in ANCHORED:
            normalisers[0].append(anchored_places(MappedReader(self.anchors, source.ids), mine))
            normalisers[1].append(anchored_places(MappedReader(self._target, target.ids), other))
        elif any(place.where is not None for place in mine.places):
            for side in normalisers:
                side.append(blank_places(mine.places))
        if self._over_rest:
            for side in normalisers:
                side.append(_as_rest_shows)
        return Sides(pair, source, target, normalisers)

    def _compare(
        self, pair: Pair, source: MappedReader, target: MappedReader, on_difference: OnDifference
    ) -> None:
        sides = self._sides(pair, source, target)
        if sides is not None:
            compare_streams(pair.table, sides.of_source(), sides.of_target(), on_difference)

    def sift(self, mine: MappedReader, table: str, differing: list[Difference]) -> list[Difference]:
        """Differences without those that are none: both deleted it, or the target lost it."""
        differing = [one for one in differing if not is_time_of_deletion(one)]
        if not differing:
            return []
        said = self._said(mine, table, differing)
        return [one for one in differing if not self.lost.explains(one, said(one))]

    def _said(
        self, mine: MappedReader, table: str, differing: list[Difference]
    ) -> Callable[[Difference], Mapping[str, object]]:
        """What tells of the source's row that differs whose it is, and what it names."""
        columns, order = asked(table), self._tables[table].order
        if set(columns) <= set(order):
            return lambda difference: difference.key
        wanted = {tuple(one.key[name] for name in order) for one in differing}
        rows = {
            row[: len(order)]: dict(zip(columns, row[len(order) :], strict=True))
            for row in rows_of(mine, table, (*order, *columns))
            if row[: len(order)] in wanted
        }
        return lambda one: rows.get(tuple(one.key[name] for name in order), {})

    def _owner_of(
        self, mine: MappedReader, theirs: MappedReader, table: str, differing: list[Difference]
    ) -> Callable[[dict[str, object]], str]:
        """What tells the unit that a row belongs to from the row's key."""
        if table == "inputs":
            return edge_end
        if table == "input_tags":
            edges = edges_of(mine) | edges_of(theirs)
            return lambda key: edges[str(key["input_uuid"])]
        owner = OWNED[table].columns
        if set(owner) <= set(differing[0].key):
            return lambda key: key_text(key[name] for name in owner)
        # The table has a key of its own: ask both sides whose rows these are.
        order = self._tables[table].order
        wanted = {key_text(found.key[name] for name in order) for found in differing}
        owners: dict[str, str] = {}
        for side in (mine, theirs):
            for row in rows_of(side, table, (*order, *owner)):
                key = key_text(row[: len(order)])
                if key in wanted:
                    owners.setdefault(key, key_text(row[len(order) :]))
        return lambda key: owners[key_text(key[name] for name in order)]

    def rows(self, table: str, ids: IdMap) -> RowStates:
        """Rows of a table that the target has too: the same, or others under the same key."""
        both = table in self._tables and table in self._there
        pair = self._pair(table) if both else None
        if pair is None or pair.left is None or pair.right is None or not pair.table.key:
            return RowStates(frozenset(), {})
        source = MappedReader(self._source, ids)
        target = MappedReader(self._target, IdMap())
        order = pair.table.order
        differ: dict[str, str] = {}
        only_left: set[str] = set()

        def take(difference: Difference) -> None:
            key = key_text(difference.key[name] for name in order)
            if difference.sigil == DIFFER:
                differ[key] = _what(without_secrets(self._tables[table], difference), table)
            elif difference.sigil == ONLY_LEFT:
                only_left.add(key)

        self._compare(pair, source, target, take)
        mine = {key_text(row) for row in rows_of(source, table, order)}
        return RowStates(frozenset(mine - differ.keys() - only_left), differ)

    def is_on_both(self, table: str) -> bool:
        """Whether a table is copied, and a server, where one is a side, shows it."""
        hidden = self._over_rest and table in HIDDEN_TABLES
        return table in self._tables and table in self._there and not hidden

    def entries(self, table: str) -> tuple[Table | None, Table | None]:
        """A table as the source has it and as the target has it."""
        return self._tables.get(table), self._there.get(table)

    def is_carried(self, table: str) -> bool:
        """Whether a table is among those that are copied, and the target has it."""
        return table in self._tables and table in self._there and _is_kept(self._tables[table])


def _as_rest_shows(table: Table, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows as a server tells them, which does not tell an empty text from none."""
    return rest_batch(table.name, batch)


def _is_own(column: Column, owner: tuple[str, ...], key: tuple[str, ...]) -> bool:
    """Whether a column says which row it is, or when or by whom it was made, and no more."""
    if column.secret or column.generated or column.name in owner:
        return True
    alone = len(key) == 1 and column.name in key
    return alone or any(word in column.name for word in ("time", "created", "updated", "_at"))


def _is_kept(table: Table) -> bool:
    return table.kind in {Kind.KEPT, Kind.UNKNOWN, Kind.NEWER, Kind.SECRET}


def _row_of(difference: Difference) -> str:
    """Which row of something it is, such as a tag's name."""
    owned = OWNED.get(difference.table)
    columns = owned.columns if owned is not None else ()
    return "".join(f" {value!r}" for name, value in difference.key.items() if name not in columns)


def _what(difference: Difference, kind: str) -> str:
    """What differs about something of a kind, in a few words for people."""
    where = "" if difference.table == kind else f"{difference.table}: "
    if difference.sigil == DIFFER:
        where = where and f"{difference.table}{_row_of(difference)}: "
        first = list(difference.columns.items())[:_COLUMNS_NAMED]
        said = [
            f"{name} is a different secret" if mine == HIDDEN else both_values(name, mine, theirs)
            for name, (mine, theirs) in first
        ]
        more = len(difference.columns) - len(first)
        said += [f"and {more} more"] if more else []
        return where + ", ".join(said)
    side = "is not in the target" if difference.sigil == ONLY_LEFT else "is in the target only"
    if where and (row := _row_of(difference)):
        return f"{difference.table}{row} {side}"
    key = ", ".join(str(value) for value in difference.key.values())
    return f"{where}{key} {side}"
