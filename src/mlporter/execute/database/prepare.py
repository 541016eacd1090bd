"""From a source and a target to a plan: everything that is known before the first write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlporter.artifacts.uris.uri_text import UriMap
from mlporter.catalogue import OLDEST_SHAPE, described, is_newer, release_of
from mlporter.catalogue.types import Kind
from mlporter.errors import ConflictError, LeftOut, RefusedError
from mlporter.execute.database.prepared import Places, Prepared, Target
from mlporter.execute.database.rewrite import Remap, Rewrite
from mlporter.plan.deleted_rows import Update
from mlporter.plan.ids.mapped_source import MappedSource
from mlporter.plan.matching.users import merge_users
from mlporter.plan.merge.remembering import recall_snapshot
from mlporter.plan.merge.resolve import resolve, resolve_fresh
from mlporter.plan.misfits import MAX_REASONS
from mlporter.plan.table_plan import Plan, plan_transfer, strange_tables
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.plan.unheld import WithoutUnheld, left_unheld, texts_note
from mlporter.plan.units import Choice
from mlporter.progress import silent
from mlporter.stores.database.history.shape import is_old
from mlporter.stores.views.older_tables import for_older_tables
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.plan.policy import Merge, Policy
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import Source

__all__ = ["plan_rows", "prepare"]

_SENT_AGAIN = "Nothing of what was sent before is left in the target: everything is sent again."
_LARGEST_INT32 = 2**31 - 1
_LARGEST_INT64 = 2**63 - 1


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
    """Plan what copying `source` into `target` does.

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
    source = for_older_tables(source, target.tables)
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
        there = {} if fresh else {"places_there": Places(target, merge).of}
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


def _mapped(source: Source, merge: Merge, choice: Choice) -> Source:
    if merge.ids.is_identity and choice.is_all:
        return source
    return MappedSource(source, merge.ids, choice)
