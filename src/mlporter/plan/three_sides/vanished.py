"""What was sent once and the source has no more: it goes from the target too, if that is wanted."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlporter.artifacts.uris.ownership import DELETED_STAGE
from mlporter.catalogue import BY_NAME, source_tags
from mlporter.errors import RefusedError
from mlporter.plan.capabilities import OWN_TAGS
from mlporter.plan.deleted_rows import LIFECYCLE, Update
from mlporter.plan.three_sides.actions import Action, ActionKind
from mlporter.plan.three_sides.keys import group_columns, group_name, key_text
from mlporter.plan.three_sides.sent.base import groups_of
from mlporter.plan.three_sides.sent.digests import digested
from mlporter.plan.three_sides.sides import Outcome, State, decide
from mlporter.plan.units import ENTITIES, EXPERIMENTS, MODELS, OWNED, tables_of
from mlporter.stores.rows.version_locations import rows_of
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlporter.plan.side_reader import Reader
    from mlporter.plan.three_sides.row import Key, Sides
    from mlporter.plan.three_sides.rows import RowPlanner
    from mlporter.plan.three_sides.sides import Side

__all__ = ["Vanished", "check_how_many", "tombstone"]

_SHARE = 0.2
_FEW = 10

_VERSION = "model_versions"
_ALIASES = "registered_model_aliases"
_KINDS = (*(e for e in ENTITIES if e not in {"secrets", "model_definitions"}), MODELS, EXPERIMENTS)
"""What is deleted, in an order in which what others refer to comes last."""
_CAREFUL: Mapping[Side, Side] = {"ours": "conflict", "conflict": "conflict", "theirs": "theirs"}
"""Who wins where something of the target's own would go along: never the source."""
_INSIDE: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    EXPERIMENTS: tuple(
        (name, ("experiment_id",)) for name in ("runs", "logged_models", "trace_info")
    ),
    MODELS: ((_VERSION, ("workspace", "name")),),
    _VERSION: ((_ALIASES, ("workspace", "name", "version")),),
}
"""What is in a unit, or points to it, and by which columns."""
_BELOW: Mapping[str, tuple[str, ...]] = {
    EXPERIMENTS: ("experiment_tags",),
    MODELS: ("registered_model_tags", "registered_model_aliases"),
}


@dataclass
class Vanished:
    """Finds units that were sent, and of which the source knows nothing any more.

    Attributes:
        sides: A table of both sides, as it is compared, limited to some units of the target.
        target: The target as it is.
        planner: Decides, and takes what comes of it.
        gone: What of a kind was sent, and the whole source has no more, by the target's keys.
        updates: What marks things as deleted.
        doomed: Units that are deleted: kind and key.
        forgotten: What neither side has any more.
        kinds: What is looked for, in an order in which what others refer to comes last.
        others: All that the target has, where `target` is a part of it.
        removals: Rows of what has no trash, children first: a server deletes them by itself.
    """

    sides: Callable[[str, str, set[str]], Sides | None]
    target: Reader
    planner: RowPlanner
    gone: Callable[[str], set[str]]
    updates: list[Update] = field(default_factory=list)
    doomed: list[tuple[str, str]] = field(default_factory=list)
    forgotten: list[tuple[str, str]] = field(default_factory=list)
    kinds: tuple[str, ...] = _KINDS
    others: Reader | None = None
    removals: dict[str, list[tuple[tuple[str, ...], Key]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def run(self) -> None:
        """Look for them, and decide about each."""
        there = {table.name for table in self.target.tables}
        for kind in self.kinds:
            if kind in there:
                self._of_kind(kind)

    @property
    def going(self) -> list[tuple[str, str]]:
        """All that is deleted: units, and aliases, which are planned as rows."""
        plan = self.planner.plan
        aliases = [*plan.removals.get(_ALIASES, ()), *self.removals.get(_ALIASES, ())]
        whole = BY_NAME[_ALIASES].key
        return [
            *self.doomed,
            *((_ALIASES, key_text(key)) for columns, key in aliases if columns == whole),
        ]

    def _of_kind(self, kind: str) -> None:
        gone = self.gone(kind)
        if not gone:
            return
        rows = self._rows(kind, gone)
        self.forgotten += [(kind, key) for key in sorted(gone - rows.keys())]
        edited, used = self._edited(kind, set(rows)), self._used(kind, set(rows))
        for key, row in sorted(rows.items()):
            self._decide(kind, key, row, is_edited=key in edited, is_used=key in used)

    def _rows(self, kind: str, keys: set[str]) -> dict[str, dict[str, Any]]:
        """What the target has of some units, but for what it has deleted itself."""
        entry = next(table for table in self.target.tables if table.name == kind)
        columns = tuple(
            dict.fromkeys(
                (*entry.key, *({"lifecycle_stage", "current_stage"} & entry.by_name.keys()))
            )
        )
        found: dict[str, dict[str, Any]] = {}
        for batch in self.target.read(kind, columns):
            for row in batch.to_pylist():
                key = key_text(row[name] for name in entry.key)
                if key in keys:
                    found[key] = row
        return found

    def _decide(
        self, kind: str, key: str, row: Mapping[str, Any], *, is_edited: bool, is_used: bool
    ) -> None:
        name = key.replace("\x1f", "/")
        if row.get("lifecycle_stage") == "deleted" or row.get("current_stage") == DELETED_STAGE:
            return  # what is in the trash already stays there
        wish, book = self.planner.wish, self.planner.book
        if not wish.deletes:
            why = "it is gone from the source; --delete removes it"
            book.add(Action(ActionKind.KEEP, kind, name, why=why))
            return
        state = State.BOTH_CHANGED if is_edited else State.SOURCE_CHANGED
        outcome = decide(state, wish)
        if outcome is Outcome.SEND and is_used:
            outcome = decide(
                State.BOTH_CHANGED, replace(wish, both=_CAREFUL[wish.both], force=False)
            )
        if outcome is Outcome.SEND:
            book.add(Action(ActionKind.DELETE, kind, name))
            self.doomed.append((kind, key))
            self._delete(kind, row)
            return
        what = "something else in the target depends on it" if is_used else "it was edited there"
        why = f"it is gone from the source, and {what}"
        is_conflict = outcome is Outcome.CONFLICT
        book.add(
            Action(ActionKind.CONFLICT if is_conflict else ActionKind.KEEP, kind, name, why=why)
        )
        if is_conflict:
            self.planner.plan.conflicts.append((kind, name, why))

    # --- Whether somebody changed it --------------------------------------------------------------

    def _edited(self, kind: str, keys: set[str]) -> set[str]:
        """Which units of the target are not as they were sent."""
        if not keys:
            return set()
        found: set[str] = set()
        below = tables_of(kind)[1:] if kind in ENTITIES else _BELOW[kind]
        for name in (kind, *below):
            if name in {"metrics", "inputs", "input_tags"}:
                continue
            sides = self.sides(kind, name, keys)
            if sides is not None:
                found |= self._edited_in(name, sides, keys)
        return found

    def _edited_in(self, name: str, sides: Sides, keys: set[str]) -> set[str]:
        table = sides.pair.table
        names = [group.name for group in groups_of(table, digested(table, _plain(name, sides)), ())]
        known = self.planner.base.groups(name, names)
        owners = _owners(name, sides)
        found = set()
        for group in groups_of(table, digested(table, _plain(name, sides)), ()):
            base, lines = known.get(group.name), group.lines
            is_same = (
                base is not None
                and base.columns == tuple(table.schema.names)
                and np.isin(lines[:, 0], base.rows[:, 0]).all()
                and {tuple(line) for line in lines.tolist()}
                <= {tuple(line) for line in base.rows.tolist()}
            )
            if not is_same:
                found.add(owners.get(group.name, group.name))
        return keys & found

    def _used(self, kind: str, keys: set[str]) -> set[str]:
        """Which units something of the target's own is in, or points to, that stays."""
        found: set[str] = set()
        gone, target = set(self.doomed), self.others or self.target
        for name, columns in _INSIDE.get(kind, ()) if keys else ():
            entry = next((table for table in target.tables if table.name == name), None)
            if entry is None:
                continue
            going = {key for kept, key in gone if kept == name} | self._going(name)
            if name == _ALIASES:
                going |= self._as_sent(name, keys)
            states = sorted({"lifecycle_stage", "current_stage"} & entry.by_name.keys())
            width = len(entry.key)
            for row in rows_of(target, name, (*entry.key, *columns, *states)):
                owner = key_text(row[width : width + len(columns)])
                is_dead = row[-1] in {"deleted", DELETED_STAGE} and bool(states)
                if owner in keys and not is_dead and key_text(row[:width]) not in going:
                    found.add(owner)
        return found

    def _as_sent(self, name: str, versions: set[str]) -> set[str]:
        """Aliases of some versions that are as they were sent: they go along."""
        models = {key.rpartition("\x1f")[0] for key in versions}
        sides = self.sides(MODELS, name, models)
        found: set[str] = set()
        if sides is None:
            return found
        table = sides.pair.table
        for some in digested(table, sides.of_target()):
            for row, line in zip(some.rows.to_pylist(), some.lines.tolist(), strict=True):
                group = self.planner.base.groups(name, [group_name(table, row)])
                sent = {tuple(old) for one in group.values() for old in one.rows.tolist()}
                if tuple(line) in sent:
                    found.add(key_text(row[column] for column in table.key))
        return found

    def _going(self, name: str) -> set[str]:
        """Rows of a table that go, or point elsewhere from now on."""
        plan = self.planner.plan
        moved = {key_text(key) for key in plan.updates.get(name, ())}
        return moved | {key_text(key) for _, key in plan.removals.get(name, ())}

    # --- Deleting ---------------------------------------------------------------------------------

    def _delete(self, kind: str, row: Mapping[str, Any]) -> None:
        """As MLflow deletes: into its trash where it has one, and a version leaves its number."""
        now = time.time_ns() // 1_000_000
        entry = next(table for table in self.target.tables if table.name == kind)
        key = tuple(row[name] for name in entry.key)
        if kind in LIFECYCLE:
            values = [("lifecycle_stage", "deleted")]
            times = {"runs": "deleted_time", "experiments": "last_update_time",
                     "logged_models": "last_updated_timestamp_ms"}  # fmt: skip
            if times[kind] in entry.by_name:
                values.append((times[kind], now))  # type: ignore[arg-type]
            self.updates.append(Update(kind, key, tuple(values)))
        elif kind == _VERSION:
            self.updates.append(Update(kind, key, tombstone(entry.by_name, now)))
        else:
            self._remove(kind, row, entry.key)

    def _remove(self, kind: str, row: Mapping[str, Any], key: tuple[str, ...]) -> None:
        """All rows of something, children first."""
        removals = self.removals
        values = tuple(row[name] for name in key)
        if kind == MODELS:
            below = ("registered_model_aliases", "registered_model_tags", "model_version_tags",
                     _VERSION)  # fmt: skip
            for table in below:
                removals[table].append((key, values))
        else:
            for table in reversed(tables_of(kind)[1:]):
                removals[table].append((OWNED[table].columns, values))
        removals[kind].append((key, values))


def _owners(name: str, sides: Sides) -> dict[str, str]:
    """Whose the groups of a table are, where they are not called like their owners."""
    table, owned = sides.pair.table, OWNED.get(name)
    if owned is None or owned.columns == group_columns(table):
        return {}
    if not set(owned.columns) <= table.by_name.keys():
        return {}
    return {
        group_name(table, row): key_text(row[column] for column in owned.columns)
        for batch in sides.of_target()
        for row in batch.to_pylist()
    }


def _plain(name: str, sides: Sides) -> Iterator[Any]:
    """The target's rows, without tags that MLflow or we set on a copy."""
    column = source_tags.TAG_TABLES.get(name)
    for batch in sides.of_target():
        if column is None:
            yield batch
            continue
        keys = batch.column(batch.schema.names.index(column)).to_pylist()
        own = [at for at, key in enumerate(keys) if not str(key).startswith(OWN_TAGS)]
        yield batch.take(pa.array(own, pa.int64())) if len(own) < len(keys) else batch


def tombstone(columns: Mapping[str, object], now: int) -> tuple[tuple[str, object], ...]:
    """What MLflow makes of a deleted version's row (`SqlAlchemyStore.delete_model_version`)."""
    values: dict[str, object] = {
        "current_stage": DELETED_STAGE,
        "last_updated_time": now,
        "description": None,
        "user_id": None,
        "source": "REDACTED-SOURCE-PATH",
        "run_id": "REDACTED-RUN-ID",
        "run_link": "REDACTED-RUN-LINK",
        "status_message": None,
    }
    return tuple((name, value) for name, value in values.items() if name in columns)


def check_how_many(
    doomed: list[tuple[str, str]], there: Callable[[str], int], most: int | None, subject: str
) -> None:
    """Refuse to delete more of a kind than seems to be meant.

    Args:
        doomed: What would be deleted.
        there: How many of a kind the target has.
        most: The most of a kind; None is a fifth of them, and ten in any case.
        subject: The target.

    Raises:
        RefusedError: it is more.
    """
    counts = Counter(kind for kind, _ in doomed)
    too_many = []
    for kind, count in sorted(counts.items()):
        allowed = max(_FEW, int(_SHARE * there(kind))) if most is None else most
        if count > allowed:
            too_many.append(f"{count} of {plural(there(kind), 'row')} of {kind}")
    if too_many:
        raise RefusedError(
            "this would delete more than seems intended",
            subject=subject,
            hint="check with --dry-run; --max-delete N allows more of each kind",
            reasons=tuple(too_many),
        )
