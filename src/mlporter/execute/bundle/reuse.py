"""What of a registry is as it was in an earlier snapshot, and need not be written again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.bundle.tables.layers import owner_columns, owner_names
from mlporter.catalogue.tables.own import LEFT_OUT, POINT_MARKS, UNKNOWN_FIELDS
from mlporter.compare.rows.latest_metrics import INCONSISTENT
from mlporter.execute.bundle.changes import changed_owners
from mlporter.execute.findings.remarks import NUL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from mlporter.bundle.upon_earlier import Earlier
    from mlporter.catalogue.types import Table
    from mlporter.stores.rows.spool import RowSpool

__all__ = [
    "ALL",
    "NOTHING",
    "Changed",
    "has_remarks_on_points",
    "must_read_points",
    "rows_of_owners",
    "whose_changed",
]

_METRICS = "metrics"
_SMALL = 2_000
"""Rows below which a table that changed is written anew: a layer would hardly be smaller."""
_MOST_LAYERS = 8
"""Layers after which a table is written anew: each is one more part to be read."""

Watch = "Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]"


@dataclass(frozen=True)
class Changed:
    """Whose rows of a table changed: all, nobody's, or those of some owners.

    ``was_read``: whether all rows of the source have been read for it.
    """

    owners: frozenset[str] | None
    was_read: bool = False


ALL = Changed(None)
NOTHING = Changed(frozenset())


def whose_changed(
    table: Table,
    read: Callable[[], Iterator[pa.RecordBatch]],
    earlier: Earlier | None,
    *,
    points: RowSpool | None = None,
) -> Changed:
    """Hold a table against an earlier snapshot.

    Args:
        table: Which, as the source has it now.
        read: Reads its rows, or all that tells of the points of metrics.
        earlier: The snapshot.
        points: Marks of the points of each run, where the points themselves are not to be read.
    """
    entry = earlier.entries.get(table.name) if earlier else None
    whose = owner_columns(table)
    if earlier is None or entry is None or not whose:
        return ALL
    then = entry.table(table.name)
    same_shape = then.schema == table.schema and then.key == table.key and then.kind == table.kind
    if not same_shape:
        return ALL
    numbers = pa.types.is_integer(table.by_name[whose[0]].type)
    if points is not None:
        before = earlier.entries.get(POINT_MARKS.name)
        if before is None:
            return ALL
        found = changed_owners(points.read(), earlier.tables.read(POINT_MARKS), whose)
    else:
        found = changed_owners(read(), earlier.tables.read(table), whose, numbers=numbers)
    was_read = points is None
    if found == set():
        return Changed(frozenset(), was_read)
    if found is None or entry.rows < _SMALL or entry.layers >= _MOST_LAYERS:
        return Changed(None, was_read)
    return Changed(frozenset(found), was_read)


def must_read_points(earlier: Earlier) -> bool:
    """Whether all points are to be read again, though most are known not to have changed.

    Of some an earlier snapshot says what only reading them tells: that they do not fit, or that a
    newer server told something of them that nobody knew.
    """
    return _any_row(earlier, LEFT_OUT, lambda batch: pc.equal(batch["kind"], _METRICS)) or (
        _any_row(earlier, UNKNOWN_FIELDS, lambda batch: pc.equal(batch["table"], _METRICS))
    )


def has_remarks_on_points(earlier: Earlier) -> bool:
    """Whether an earlier snapshot has something to say of points that it holds.

    That is a NUL character in a text, or that the latest of them are not those of the source.
    """

    def is_one(batch: pa.RecordBatch) -> pa.Array:
        named = pc.or_(pc.starts_with(batch["id"], f"{_METRICS}/"), pc.equal(batch["id"], "…"))
        has_nul = pc.and_(pc.equal(batch["reason"], NUL), named)
        return pc.or_(pc.equal(batch["reason"], INCONSISTENT), has_nul)

    return _any_row(earlier, LEFT_OUT, is_one)


def _any_row(earlier: Earlier, table: Table, is_one: Callable[[pa.RecordBatch], pa.Array]) -> bool:
    if table.name not in earlier.entries:
        return False
    return any(pc.any(is_one(batch)).as_py() for batch in earlier.tables.read(table))


def rows_of_owners(table: Table, earlier: Earlier, owners: Collection[str]) -> int:
    """How many rows an earlier snapshot has of some owners."""
    whose = owner_columns(table)
    wanted = pa.array(sorted(owners), pa.string())
    return sum(
        pc.sum(pc.is_in(owner_names(batch, whose), value_set=wanted)).as_py() or 0
        for batch in earlier.tables.read(table, whose)
    )
