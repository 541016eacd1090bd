"""What a database now holds, compared with what was sent, value by value."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from mlporter.artifacts.prefetch import read_ahead
from mlporter.catalogue.types import Kind
from mlporter.compare.rows.written_rows import HIDDEN, same_rows
from mlporter.errors import BundleDamagedError, ReadBackError
from mlporter.plan.units import OWNED, is_among, key_array
from mlporter.stores.database.connection.bulk_load import WORTHWHILE_ROWS
from mlporter.stores.protocols import Among

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.compare.report import Difference
    from mlporter.compare.rows.latest_metrics import LatestMetrics
    from mlporter.execute.database.prepared import Prepared
    from mlporter.plan.deleted_rows import Update
    from mlporter.stores.database.target import DatabaseTarget

__all__ = ["ReadingBack"]

_MLFLOWS_OWN = frozenset({"workspaces", "experiments"})
"""A new database has a row of each, which stays if the source brings none of its own."""


@dataclass
class ReadingBack:
    """Reads what was written, before it is committed.

    Attributes:
        work: What was copied.
        target: Where to.
        latest: The latest metrics that were computed.
    """

    work: Prepared
    target: DatabaseTarget
    latest: LatestMetrics

    def read(self) -> None:
        """Compare all rows that were written.

        Raises:
            ReadBackError: one is not as it was sent.
        """
        for table in self.work.plan.tables:
            copied = self.work.copied(table.name)
            if (copied or self.work.fresh) and not self.target.was_checked(table.name):
                self._compare(table, partial(self.work.rows, table, "reading back"), copied)
        if self.latest.count:
            self._compare(self.latest.table, self.latest.read, self.latest.count)

    def _compare(
        self, table: Table, sent: Callable[[], Iterator[pa.RecordBatch]], rows: int
    ) -> None:
        """Compare a table, in the order in which it lies if that may be the order of its key."""
        may_lie = self.work.fresh and rows >= WORTHWHILE_ROWS and table.kind is not Kind.USERS
        if may_lie and self._lies_as_sent(table, sent()):
            return
        self._check(table, self._difference(table, sent(), self._written(table)))

    def look_at(self, table: Table, found: Iterator[pa.RecordBatch]) -> None:
        """Compare all rows of a table that was empty, which a target gives before `read`.

        Raises:
            ReadBackError: one is not as it was sent.
        """
        sent = self.work.rows(table, "reading back")
        self._check(table, self._difference(table, sent, found, is_whole=True))

    def _check(self, table: Table, difference: Difference | None) -> None:
        if difference is not None:
            raise ReadBackError(
                f"read back something other than was written: {difference}",
                subject=f"{self.target.address} table {table.name}",
                hint="nothing was kept; please report this with the row's values",
            )

    def _lies_as_sent(self, table: Table, sent: Iterator[pa.RecordBatch]) -> bool:
        """Whether all rows are as they were sent, and lie so: it may have had gaps to fill."""
        try:
            found = self.target.read_lying(table.name, tuple(table.schema.names))
            return self._difference(table, sent, found) is None
        except BundleDamagedError:
            return False

    def _difference(
        self,
        table: Table,
        sent: Iterator[pa.RecordBatch],
        found: Iterator[pa.RecordBatch],
        *,
        is_whole: bool = False,
    ) -> Difference | None:
        others = not self.work.fresh or table.name in _MLFLOWS_OWN or table.kind is Kind.USERS
        schema = table.schema
        return same_rows(
            table,
            sent,
            (b if b.schema.equals(schema) else b.cast(schema) for b in read_ahead(found)),
            signed_zeros=self.target.keeps_signed_zeros,
            json_as_text=self.target.keeps_json_text,
            among_others=others and not is_whole,
        )

    def _written(self, table: Table) -> Iterator[pa.RecordBatch]:
        """Rows of the target, with those that were written among them."""
        owned, among = OWNED.get(table.name), None
        choice = self.work.merge.choice
        is_known = table.name not in choice.besides or table.name in choice.below
        if not self.work.fresh and is_known and owned is not None and len(owned.columns) == 1:
            below = choice.below.get(table.name, frozenset())
            new = self.work.merge.new.get(owned.entity, frozenset())
            among = Among(owned.columns[0], tuple(sorted(new | below)))
        rows = self.target.read(table.name, tuple(table.schema.names), among)
        besides = choice.besides.get(table.name)
        if besides is None or owned is None or not self.work.merge.ids.is_identity:
            return rows
        new = self.work.merge.new.get(owned.entity, frozenset())
        return (
            batch.filter(
                pc.or_(
                    is_among(key_array(batch, owned.columns), new),
                    is_among(key_array(batch, table.key), besides),
                )
            )
            for batch in rows
        )

    def check_updated(self, table: Table, updates: list[Update]) -> None:
        """Look whether rows are as they were changed to; the last change of a value counts."""
        wanted: dict[tuple[object, ...], dict[str, object]] = defaultdict(dict)
        for update in updates:
            wanted[update.key].update(update.values)
        columns = sorted({name for values in wanted.values() for name in values})
        asked = (*table.key, *(name for name in columns if name not in table.key))
        found: dict[tuple[object, ...], dict[str, object]] = {}
        for batch in self.target.read(table.name, asked, _of_keys(table, list(wanted))):
            for row in batch.to_pylist():
                key = tuple(row[name] for name in table.key)
                if key in wanted:
                    found[key] = row
        for key, values in wanted.items():
            row = found.get(key, {})
            if not all(_is_same(row.get(name, _MISSING), value) for name, value in values.items()):
                raise ReadBackError(
                    f"reads back differently from {_shown(table, values)}",
                    subject=f"{self.target.address} table {table.name} {key}",
                )


_MISSING = object()


def _is_same(found: object, sent: object) -> bool:
    both_nan = found != found and sent != sent  # noqa: PLR0124 -- so says NaN
    return found == sent or both_nan


def _shown(table: Table, values: dict[str, object]) -> dict[str, object]:
    return {name: HIDDEN if name in table.secrets else value for name, value in values.items()}


def _of_keys(table: Table, keys: list[tuple[object, ...]]) -> Among:
    firsts = {key[0] for key in keys}
    numbers = tuple(sorted(first for first in firsts if isinstance(first, int)))
    return Among(table.key[0], numbers or tuple(sorted(map(str, firsts))))
