"""A table and its rows on both sides, as they are compared; and what is planned for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlporter.catalogue import source_tags as marks
from mlporter.compare.rows.shape import Shaper
from mlporter.compare.rows.written_rows import HIDDEN
from mlporter.plan.capabilities import OWN_TAGS
from mlporter.plan.three_sides.actions import NOT_KNOWN, Change
from mlporter.plan.three_sides.keys import owner_columns
from mlporter.plan.three_sides.sent.digests import column_digests, key_digests
from mlporter.plan.three_sides.sent.small_values import sent_value
from mlporter.plan.three_sides.sides import ABSENT
from mlporter.redaction import hide_passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.compare.report import Difference
    from mlporter.compare.rows.shape import Normalise, Pair
    from mlporter.plan.side_reader import Reader
    from mlporter.stores.protocols import Among
    from mlporter.stores.rows.last_sent import Group

__all__ = ["Key", "Row", "RowPlan", "SidedRow", "Sides", "Values", "base_row", "is_of_a_registry"]
__all__ += ["key_of", "rows_with"]

Key = tuple[Any, ...]
"""The values of a row's key columns."""
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Sides:
    """A table on both sides, as it is compared.

    Attributes:
        pair: The columns that are compared.
        source: Where the source's rows are read.
        target: Where the target's are.
        normalisers: What is done to the rows of each side before they are compared.
    """

    pair: Pair
    source: Reader
    target: Reader
    normalisers: tuple[Sequence[Normalise], Sequence[Normalise]] = ((), ())

    def of_source(self, among: Among | None = None) -> Iterator[pa.RecordBatch]:
        """Rows of the source in the shape of the pair."""
        return self._shaped(self.source, self.pair.left, self.pair.right, 0, among)

    def of_target(self, among: Among | None = None) -> Iterator[pa.RecordBatch]:
        """Rows of the target in the shape of the pair."""
        return self._shaped(self.target, self.pair.right, self.pair.left, 1, among)

    def _shaped(
        self,
        reader: Reader,
        mine: Table | None,
        other: Table | None,
        side: int,
        among: Among | None,
    ) -> Iterator[pa.RecordBatch]:
        if mine is None or other is None:
            return iter(())
        batches = reader.read(self.pair.table.name, tuple(mine.schema.names), among)
        return Shaper(self.pair, mine, other).shape(batches, self.normalisers[side])


@dataclass
class RowPlan:
    """What becomes of rows of which the sides differ; keys are the values of key columns.

    Attributes:
        inserts: Rows that the target gets, by table.
        updates: New values of columns of rows that the target has.
        removals: Rows that the target loses.
        kept: Of rows whose target's values stay: these values by column, or None where the target
            has no such row.
        conflicts: What nobody but people can decide: table, what it is, why.
        disputed: Digests of the keys of rows on which the sides will differ afterwards, by table.
        left_out: What the kind of target cannot remove: table, row, why.
        touched: Units that get or lose something: table and key.
        sent: Digests of the keys of rows that are sent, by table.
    """

    inserts: dict[str, dict[Key, tuple[str, str]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    updates: dict[str, dict[Key, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    removals: dict[str, list[tuple[tuple[str, ...], Key]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    kept: dict[str, dict[Key, dict[str, Any] | None]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    conflicts: list[tuple[str, str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    disputed: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    touched: set[tuple[str, str]] = field(default_factory=set)
    sent: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))


@dataclass(frozen=True)
class Row:
    """A row of one side: its values, the digest of its key, and of each column."""

    values: Mapping[str, Any]
    key_digest: int
    digests: Mapping[str, int]


_VALUES = ("value", "param_value", "tag_value")
"""Columns that hold what a row says."""


@dataclass(frozen=True)
class SidedRow:
    """A row on all sides, and what it is called."""

    table: Table
    key: Key
    owner: tuple[str, str]
    mine: Row | None
    theirs: Row | None
    base: Mapping[str, int] | None
    is_known: bool
    refused: Mapping[str, int] | None = None
    kept: Callable[[], Mapping[str, object]] = dict
    """Gives the values that were kept of what was last sent of it."""

    def was_refused(self, row: Row | None) -> bool:
        """Whether the target did not take this very row before: it is tried again each time."""
        return (
            row is not None and self.refused is not None and dict(self.refused) == dict(row.digests)
        )

    @property
    def is_unit(self) -> bool:
        """Whether it is a thing of its own: an alias is one, a tag is not."""
        return self.owner[0] == self.table.name or self.table.name == "registered_model_aliases"

    @property
    def unit(self) -> str:
        """The table of what it belongs to."""
        return self.table.name if self.is_unit else self.owner[0]

    @property
    def name(self) -> str:
        """What the unit is known by."""
        if self.is_unit:
            return "/".join(str(value) for value in self.key)
        return self.owner[1].replace("\x1f", "/")

    @property
    def field(self) -> str:
        """What of the unit the row is."""
        if self.is_unit:
            return self.table.name
        owner = owner_columns(self.table)
        own = [value for n, value in zip(self.table.key, self.key, strict=True) if n not in owner]
        rest = own or self.key
        if self.table.name == "latest_metrics":
            return f"metrics.{rest[0]}"
        return f"{self.table.name}.{'.'.join(str(value) for value in rest)}"

    def column(self, name: str) -> str:
        """What of the unit a column of the row is."""
        if self.owner[0] == self.table.name or self.is_unit:
            return name
        return self.field if name in _VALUES else f"{self.field} ({name})"

    def changes(self, columns: Iterable[str]) -> tuple[Change, ...]:
        """Of a row that both have: what the target has, and what it gets, or would."""
        if self.mine is None or self.theirs is None:
            return ()
        old, new = self.theirs.values, self.mine.values
        return tuple(
            Change(
                self.column(name),
                self._told(name, old[name]),
                self._told(name, new[name]),
                self.sent(name),
            )
            for name in columns
        )

    def _told(self, column: str, value: object) -> object:
        """A value as it may be told: of what is secret, only that there is some."""
        if column in self.table.secrets:
            return value if value is None else HIDDEN
        return hide_passwords(value) if isinstance(value, str) else value

    def sent(self, column: str) -> object:
        """What was last sent of a column, or `NOT_KNOWN`."""
        if self.base is None:
            return None if self.is_known else NOT_KNOWN
        value = sent_value(self.table, column, self.base, self.kept())
        return value if value is NOT_KNOWN else self._told(column, value)

    def one_sided(self) -> tuple[Change]:
        """Of a row that only one side has: what the target has, and what it gets, or would."""
        old, new = self.shown(self.theirs), self.shown(self.mine)
        return (Change(self.field, old, new, self._sent_shown()),)

    def _sent_shown(self) -> object:
        row = self.mine or self.theirs
        if self.base is None or row is None:
            return None if self.is_known else NOT_KNOWN
        column = self._telling_column(row)
        return NOT_KNOWN if column is None else self.sent(column)

    def shown(self, row: Row | None) -> object:
        """What people are shown of a row: its value, if it has one."""
        if row is None:
            return None
        column = self._telling_column(row)
        if column is not None:
            return self._told(column, row.values[column])
        return f"{len(row.values.keys() - set(self.table.key))} columns"

    def _telling_column(self, row: Row) -> str | None:
        """The column that says what a row says; None if there is more than one."""
        rest = [name for name in row.values if name not in self.table.key]
        named = next((name for name in _VALUES if name in rest), None)
        return rest[0] if named is None and len(rest) == 1 else named

    @property
    def is_servers_own(self) -> bool:
        """Whether it is a tag that MLflow or mlporter itself sets on a copy."""
        column = marks.TAG_TABLES.get(self.table.name)
        row = self.mine or self.theirs
        if column is None or row is None:
            return False
        return str(row.values[column]).startswith(OWN_TAGS)

    def whole(self, row: Row | None) -> int:
        """One digest for a row that is there."""
        return ABSENT if row is None else hash(tuple(row.digests.items())) or 1

    def base_digest(self, like: Row | None) -> int | None:
        """The same of what was last sent; None where nothing is remembered."""
        if self.base is None:
            return ABSENT if self.is_known else None
        if like is None or not like.digests.keys() <= self.base.keys():
            return None
        return hash(tuple((name, self.base[name]) for name in like.digests)) or 1

    def base_column(self, name: str) -> int | None:
        """What was last sent of a column."""
        if self.base is None:
            return ABSENT if self.is_known else None
        return self.base.get(name)


def is_of_a_registry(difference: Difference) -> bool:
    """Whether a difference says something of what people made: not of marks of ours."""
    column = marks.TAG_TABLES.get(difference.table)
    if column is None:
        return True
    return not str(difference.key[column]).startswith(marks.OURS)


def key_of(table: Table, difference: Difference) -> Key:
    """The key of the row that a difference is about."""
    return tuple(difference.key[name] for name in table.key)


def base_row(group: Group | None, key: int) -> Mapping[str, int] | None:
    """What is remembered of the row with a key (its digest), by column."""
    return None if group is None else group.row(key)


def rows_with(
    table: Table, batches: Iterator[pa.RecordBatch], wanted: Mapping[Key, object]
) -> dict[Key, Row]:
    """The rows with some keys."""
    found: dict[Key, Row] = {}
    for batch in batches:
        names = batch.schema.names
        keys = list(
            zip(*(batch.column(names.index(n)).to_pylist() for n in table.key), strict=True)
        )
        at = [number for number, key in enumerate(keys) if key in wanted]
        if not at:
            continue
        some = batch.take(at)
        whole, columns = key_digests(some, table.key), column_digests(table, some)
        for number, row in enumerate(some.to_pylist()):
            digests = dict(zip(names, columns[number].tolist(), strict=True))
            found[keys[at[number]]] = Row(row, int(whole[number]), digests)
    return found
