"""From a source and a target to a plan: everything that is known before the first write."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Protocol

from mlporter.artifacts.prefetch import read_ahead
from mlporter.artifacts.uris.uri_text import UriMap
from mlporter.catalogue import OLDEST_SHAPE, described, is_newer, release_of
from mlporter.catalogue.file_owners import FILE_OWNERS
from mlporter.catalogue.types import Kind
from mlporter.errors import ConflictError, LeftOut, RefusedError
from mlporter.execute.database.rewrite import Remap, Rewrite
from mlporter.execute.files.unreadable_files import Unreadable
from mlporter.execute.result import TableResult
from mlporter.plan.deleted_rows import Update
from mlporter.plan.ids.mapped_source import MappedSource
from mlporter.plan.matching.users import merge_users
from mlporter.plan.merge.remembering import recall_snapshot
from mlporter.plan.merge.resolve import resolve, resolve_fresh
from mlporter.plan.misfits import MAX_REASONS, Demands, misfits
from mlporter.plan.side_reader import unit_keys
from mlporter.plan.table_plan import Plan, plan_transfer, strange_tables
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.plan.unheld import WithoutUnheld, left_unheld, texts_note
from mlporter.plan.units import Choice
from mlporter.progress import silent
from mlporter.stores.database.history.shape import is_old
from mlporter.stores.protocols import Among
from mlporter.stores.rows.spool import RowSpool
from mlporter.stores.views.older_traces import for_older_traces
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.plan.policy import Merge, Policy
    from mlporter.progress import OnProgress
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.database.mysql.limits import Limits
    from mlporter.stores.protocols import Source

__all__ = ["Prepared", "Target", "plan_rows", "prepare"]

_SENT_AGAIN = "Nothing of what was sent before is left in the target: everything is sent again."
_LARGEST_INT32 = 2**31 - 1
_LARGEST_INT64 = 2**63 - 1
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
        source: What is carried, in the target's terms.
        origin: The source as it is.
        whole: All of it, in the target's terms.
        plan: Tables and columns.
        merge: What of it is new, and how it is called.
        policy: What was asked for where both sides have something.
        fresh: Whether the target was found with nothing in it.
        rewrite: New places for artifacts, or None to keep the URIs.
        unreadable: Files that cannot be read, if they were looked at.
        remarks: What else people must know of the rows.
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
    remarks: tuple[LeftOut, ...] = ()
    _kept: dict[str, RowSpool] = field(default_factory=dict)

    def places_there(self, kind: str, ids: frozenset[str]) -> dict[str, str]:
        """Where the target has the files of some owners that it has already."""
        return {} if self.fresh else _Places(self.target, self.merge).of(kind, ids)

    def new_keys(self, table: str) -> set[str]:
        """The target's keys of what is new of a kind."""
        if self.fresh:
            return set(unit_keys(self.source, table))
        return set(self.merge.new.get(table, ()))

    def rows(self, table: Table, step: str) -> Iterator[pa.RecordBatch]:
        """The rows of a table that are carried, as they will be written."""
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
        yield from self.plan.left_out
        yield from self.merge.left_out
        yield from self.remarks

    @cached_property
    def counted(self) -> tuple[TableResult, ...]:
        """Rows by table: carried, already there, skipped."""
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


def prepare(
    source: Source,
    target: Target,
    policy: Policy,
    artifact_root: str | None,
    *,
    remap: tuple[str, ...] = (),
    include_secrets: bool,
    on_progress: OnProgress,
    memory: Memory | None = None,
) -> Prepared:
    """Plan what carrying `source` into `target` does.

    `remap` are ``FROM=TO`` pairs by which URIs are rewritten where no file is copied. `memory` is
    what was last sent, and where the actions of the plan go.

    Raises:
        RefusedError: the source's tables are not those of its schema revision; or the target is in
            use, and older than what planning knows.
        UsageError: the policy does not fit the source.
    """
    if reasons := strange_tables(source.tables, target.tables):
        raise RefusedError(
            f"its tables are not those of schema revision {source.description.revision}",
            subject=source.description.address,
            hint="it was edited, or not made by mlporter",
            reasons=reasons[:MAX_REASONS],
        )
    source = for_older_traces(source, target.tables)
    counts = {table.name: source.count(table.name) for table in source.tables}
    plan = plan_transfer(source.tables, counts, target.tables, include_secrets=include_secrets)
    plan, unheld = _held(source, target, plan, policy)
    if unheld:
        source = WithoutUnheld(source, unheld)
    fresh = target.is_fresh
    if not fresh and is_old(target.revision):
        raise RefusedError(
            f"it holds something, and its schema is at revision {described(target.revision)}: this "
            f"release merges into those of MLflow {release_of(OLDEST_SHAPE)} or newer",
            subject=str(target.address),
            hint="name a database that is not there, or one that holds nothing yet",
        )
    if fresh:
        if memory is not None and memory.base.is_known:
            # Another database under the same name, as a rule: nothing of it is anybody's edit.
            memory.base.clear()
            memory.notes.append(_SENT_AGAIN)
        merge = resolve_fresh(source, plan.tables, policy, _largest(target), memory)
    else:
        if memory is not None:
            recall_snapshot(
                memory,
                target,
                plan.tables,
                policy=policy,
                largest=_largest(target),
                on_progress=on_progress,
            )
        merge = plan_rows(source, target, plan.tables, policy, memory, on_progress)
    if note := texts_note(plan.tables, counts, merge.ids):
        merge.notes.append(note)
    whole = _mapped(source, merge, Choice())
    rewrite: Rewrite | Remap | None = Remap(UriMap.parse(remap)) if remap else None
    if artifact_root is not None:
        there = {} if fresh else {"places_there": _Places(target, merge).of}
        rewrite = Rewrite(whole, artifact_root, **there)
    merge.updates += _mended(source, target, merge, rewrite)
    carried = _mapped(source, merge, merge.choice)
    users = merge_users(
        source, target, plan.tables, merge, policy=policy, memory=memory or Memory()
    )
    if users is not None:
        carried = users.instead(carried)
    _check_empty(carried, target, plan)
    return Prepared(
        carried, source, whole, target, plan, merge, policy, fresh, rewrite, on_progress
    )


def _held(source: Source, target: Target, plan: Plan, policy: Policy) -> tuple[Plan, list[LeftOut]]:
    """The plan without what an older target cannot hold, and what that is.

    Raises:
        RefusedError: there is such a thing of MLflow's, and nobody said that it may be left out.
    """
    plan, unheld = left_unheld(plan, source, target.tables)
    mine, there = source.description.revision, target.revision
    # What a known schema has besides is not MLflow's: the same on both sides, it is only named.
    is_odd = mine == there and not is_newer(mine)
    if not unheld or policy.drop_unknown or is_odd:
        return plan, unheld
    raise RefusedError(
        f"its schema is at revision {described(there)}, and cannot hold all of the source's, which "
        f"is at {described(mine)}",
        subject=str(target.address),
        hint=f"{target.how_to_hold(mine)}; or leave it out, named in the result: --drop-unknown",
        reasons=tuple(_named(item) for item in unheld[:MAX_REASONS]),
    )


def _named(item: LeftOut) -> str:
    name = f"{item.id}.{item.path}" if item.path else item.id
    return f"{item.kind} {name}: {item.detail}"


def plan_rows(  # noqa: PLR0917 -- what a plan is made from
    source: Source,
    target: Target,
    tables: tuple[Table, ...],
    policy: Policy,
    memory: Memory | None = None,
    on_progress: OnProgress = silent,
    anchors: Source | None = None,
) -> Merge:
    """Plan what becomes of the rows of a source and of a target that is in use."""
    return resolve(
        source,
        target,
        tables,
        policy=policy,
        largest_experiment=_largest(target),
        holds_references=target.enforces_caps,
        on_progress=on_progress,
        memory=memory,
        anchors=anchors,
    )


def _largest(target: Target) -> int:
    """The largest id of an experiment that it can hold."""
    return _LARGEST_INT32 if target.enforces_caps else _LARGEST_INT64


def _check_empty(carried: Source, target: Target, plan: Plan) -> None:
    """Refuse to mix rows of another program's table with those that the target has.

    Their numbers mean something there, and nobody but that program knows what.
    """
    mixed = [
        f"table {table.name} has {plural(target.count(table.name), 'row')}"
        for table in plan.tables
        if table.kind is Kind.UNKNOWN and carried.count(table.name) and target.count(table.name)
    ]
    if mixed:
        raise ConflictError(
            "the target has rows of its own in another program's table",
            subject=str(target.address),
            hint="leave --include-table out, or empty the table there",
            reasons=tuple(mixed),
        )


def _mended(
    source: Source, target: Target, merge: Merge, rewrite: Rewrite | Remap | None
) -> Iterator[Update]:
    """What makes rows of the target name again what it had purged, and what comes back."""
    yield from (Update(i.table, i.key, ((i.column, i.value),)) for i in merge.links if i.value)
    places = {(i.key, i.column): i.table for i in merge.links if not i.value}
    for name in sorted(set(places.values())):
        entry = next(table for table in target.tables if table.name == name)
        mine = _mapped(source, merge, Choice()).read(name, tuple(entry.schema.names))
        now = dict(_rows_by_key(entry, target.read(name)))
        for key, row in _rows_by_key(entry, rewrite.apply(entry, mine) if rewrite else mine):
            for column in ("source", "storage_location"):
                if (key, column) in places and row[column] != now[key][column]:
                    yield Update(name, key, ((column, row[column]),))


def _rows_by_key(
    entry: Table, batches: Iterator[pa.RecordBatch]
) -> Iterator[tuple[tuple[object, ...], dict[str, Any]]]:
    for batch in batches:
        for row in batch.to_pylist():
            yield tuple(row[name] for name in entry.key), row


@dataclass(frozen=True)
class _Places:
    """Where a target has the files of what it has already."""

    target: Target
    merge: Merge

    def of(self, kind: str, ids: frozenset[str]) -> dict[str, str]:
        """The places of those of some owners that are not carried."""
        owners = FILE_OWNERS[kind]
        table, key, place = owners.table, owners.key, owners.place
        there = ids - self.merge.new.get(table, frozenset())
        if not there:
            return {}
        among = Among(key, tuple(sorted(there)))
        batches = self.target.read(table, (key, place), among)
        rows = (row for batch in batches for row in zip(*batch.to_pydict().values(), strict=True))
        return {owner: uri for owner, uri in rows if uri}


def _mapped(source: Source, merge: Merge, choice: Choice) -> Source:
    if merge.ids.is_identity and choice.is_all:
        return source
    return MappedSource(source, merge.ids, choice)
