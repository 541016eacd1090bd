"""A transfer that is planned, and not begun: its rows, and what the target would not take."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Protocol

from mlporter.artifacts.prefetch import read_ahead
from mlporter.catalogue.file_owners import FILE_OWNERS
from mlporter.catalogue.types import Kind
from mlporter.execute.files.unreadable_files import Unreadable
from mlporter.execute.findings.remarks import Nuls
from mlporter.execute.result import TableResult
from mlporter.plan.ids.mapped_source import MappedSource
from mlporter.plan.misfits import MAX_REASONS, Demands, misfits
from mlporter.plan.units import Choice
from mlporter.stores.protocols import Among
from mlporter.stores.rows.spool import RowSpool
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut
    from mlporter.execute.database.rewrite import Remap, Rewrite
    from mlporter.plan.policy import Merge, Policy
    from mlporter.plan.table_plan import Plan
    from mlporter.progress import OnProgress
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.database.mysql.limits import Limits
    from mlporter.stores.protocols import Source

__all__ = ["Places", "Prepared", "Target"]

_WORTH_KEEPING = 20_000
"""Rows from which on they are read once from where they must be sorted, and not once a step."""


class Target(Protocol):
    """The part of a target that a plan is made from."""

    @property
    def address(self) -> Address:
        """Where it is."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables."""

    @property
    def revision(self) -> str:
        """Of which schema they are."""

    def how_to_hold(self, revision: str) -> str:
        """What to do for it to hold all of a newer schema."""

    @property
    def enforces_caps(self) -> bool:
        """Whether too long a value is an error there."""

    @property
    def limits(self) -> Limits | None:
        """What it says itself of what it can hold, or None."""

    @property
    def is_fresh(self) -> bool:
        """Whether it holds nothing but what MLflow puts into a new database."""

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""

    def count(self, table: str) -> int:
        """Rows of a table."""


@dataclass
class Prepared:
    """A transfer that is planned, and not begun.

    Attributes:
        source: What is copied, in the target's terms.
        origin: The source as it is.
        whole: All of it, in the target's terms.
        plan: Tables and columns.
        merge: What of it is new, and how it is called.
        policy: What was asked for where both sides have something.
        fresh: Whether the target was found with nothing in it.
        rewrite: New places for artifacts, or None to keep the URIs.
        unreadable: Files that cannot be read, if they were looked at.
        losses: Tells what the source does not give, of what was read.
        remarks: What else people must know of the rows.
        later: Looks at rows that were not looked at, as they are written.
    """

    source: Source
    origin: Source
    whole: Source
    target: Target
    plan: Plan
    merge: Merge
    policy: Policy
    fresh: bool
    rewrite: Rewrite | Remap | None
    on_progress: OnProgress
    unreadable: Unreadable = field(default_factory=Unreadable)
    losses: Callable[[], Iterable[LeftOut]] = tuple
    remarks: tuple[LeftOut, ...] = ()
    later: Nuls = field(default_factory=Nuls)
    _kept: dict[str, RowSpool] = field(default_factory=dict)

    def places_there(self, kind: str, ids: frozenset[str]) -> dict[str, str]:
        """Where the target has the files of some owners that it has already."""
        return {} if self.fresh else Places(self.target, self.merge).of(kind, ids)

    def new_owners(self, kind: str) -> Iterator[str]:
        """The target's ids of new owners of files of a kind; none of them is held."""
        owners = FILE_OWNERS[kind]
        if self.fresh:
            return (key for (key,) in rows_of(self.source, owners.table, (owners.key,)))
        return iter(self.merge.new.get(owners.table, ()))

    def rows(self, table: Table, step: str) -> Iterator[pa.RecordBatch]:
        """The rows of a table that are copied, as they will be written."""
        total, done = self.source.count(table.name), 0
        for batch in self._rows(table, total):
            yield batch
            done += batch.num_rows
            self.on_progress(f"{step} {table.name}", done, total)

    def _rows(self, table: Table, total: int) -> Iterator[pa.RecordBatch]:
        """From what an earlier step kept, if it read them all."""
        kept = self._kept.get(table.name)
        if kept is not None and kept.complete:
            return kept.read()
        batches: Iterator[pa.RecordBatch]
        batches = read_ahead(self.source.read(table.name, tuple(table.schema.names)))
        if self.rewrite:
            batches = self.rewrite.apply(table, batches)
        if total < _WORTH_KEEPING or self.origin.description.kind == "bundle":
            return batches
        if kept is not None:
            kept.close()
        self._kept[table.name] = RowSpool()
        return self._kept[table.name].watch(batches)

    def close(self) -> None:
        """Forget what was kept from step to step."""
        for kept in self._kept.values():
            kept.close()
        self._kept.clear()

    @cached_property
    def _limits(self) -> Limits | None:
        return self.target.limits

    @property
    def stops_at_misfit(self) -> bool:
        """Whether each batch is to be checked on its way, and the transaction given up.

        So where the catalogue says what a strict target takes. That saves reading everything once
        more.
        """
        return self.target.enforces_caps and self._limits is None

    def misfits(self) -> tuple[str, ...]:
        """What the target would not take, all reasons together."""
        return self._first(lambda table: chain(self._beyond_limits(table), self._by_rules(table)))

    def beyond_limits(self) -> tuple[str, ...]:
        """What is beyond what the target says itself of what it can hold; it is asked first."""
        return () if self._limits is None else self._first(self._beyond_limits)

    def against_rules(self) -> tuple[str, ...]:
        """What breaks rules of MLflow's schema; nobody but the source is asked."""
        return self._first(self._by_rules)

    def _first(self, find: Callable[[Table], Iterator[str]]) -> tuple[str, ...]:
        reasons = (reason for table in self.plan.tables for reason in find(table))
        return tuple(islice(reasons, MAX_REASONS))

    def _beyond_limits(self, table: Table) -> Iterator[str]:
        # Those of users have other columns here than there.
        if self._limits is None or table.kind is Kind.USERS:
            return iter(())
        return self._limits.misfits(table, partial(self.rows, table, "checking"), fresh=self.fresh)

    def _by_rules(self, table: Table) -> Iterator[str]:
        strict = self.target.enforces_caps
        if table.kind is Kind.USERS:
            demands = Demands(frozenset(), (), strict=strict)
        else:
            there = next(entry for entry in self.target.tables if entry.name == table.name)
            demands = Demands.of(there, strict=strict and self._limits is None)
        return misfits(table, self.rows(table, "checking"), demands)

    def left_out(self) -> Iterator[LeftOut]:
        """What is left out, as far as that is known before any file is read."""
        yield from self.losses()
        yield from self.plan.left_out
        yield from self.merge.left_out
        yield from self.remarks
        yield from self.later.entries()

    def copied(self, table: str) -> int:
        """How many rows of a table are copied, as far as is known: read, some may not fit."""
        return next(row.copied for row in self.counted if row.table == table)

    def count_again(self) -> None:
        """Count rows once more: some were read since that were not looked at before."""
        self.__dict__.pop("counted", None)

    @cached_property
    def counted(self) -> tuple[TableResult, ...]:
        """Rows by table: copied, already there, skipped."""
        skipped = MappedSource(self.origin, self.merge.ids, Choice(self.merge.skipped))
        all_changed, followed = self.merge.changed, self.merge.followed
        results = []
        for table in self.plan.tables:
            new = self.source.count(table.name)
            left = self.merge.skipped_rows[table.name]
            if skipped.drops(table.name):
                left += skipped.count(table.name)
            changed = all_changed[table.name]
            there = self.origin.count(table.name) - new - left - followed[table.name]
            results.append(TableResult(table.name, new, there, left, changed=changed))
        results += [TableResult(name, 0, skipped=rows) for name, rows in self.plan.skipped.items()]
        return tuple(results)


@dataclass(frozen=True)
class Places:
    """Where a target has the files of what it has already."""

    target: Target
    merge: Merge

    def of(self, kind: str, ids: frozenset[str]) -> dict[str, str]:
        """The places of those of some owners that are not copied."""
        owners = FILE_OWNERS[kind]
        table, key, place = owners.table, owners.key, owners.place
        there = ids - self.merge.new.get(table, frozenset())
        if not there:
            return {}
        among = Among(key, tuple(sorted(there)))
        batches = self.target.read(table, (key, place), among)
        rows = (row for batch in batches for row in zip(*batch.to_pydict().values(), strict=True))
        return {owner: uri for owner, uri in rows if uri}
