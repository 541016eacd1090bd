"""From three sides of a table to actions: what is sent, kept, removed, or in conflict.

Both readers tell rows in the same terms: what is called otherwise on one side is mapped. Rows of
things that only one side has are not among them, but for what a base knows.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.uris.ownership import DELETED_STAGE
from mlporter.compare.differences import Differences
from mlporter.compare.rows.streams import compare_streams
from mlporter.compare.rows.written_rows import HIDDEN
from mlporter.plan.capabilities import DATABASE, NOTHING_KNOWN
from mlporter.plan.deleted_rows import DELETED_TIME, LIFECYCLE
from mlporter.plan.three_sides.actions import FOLLOW, Action, ActionKind, Change, kind_of_update
from mlporter.plan.three_sides.keys import group_name, key_text, owner_of
from mlporter.plan.three_sides.limits import Limits
from mlporter.plan.three_sides.row import (
    Row,
    RowPlan,
    SidedRow,
    Sides,
    base_row,
    key_of,
    rows_with,
)
from mlporter.plan.three_sides.sent.base import refused_name
from mlporter.plan.three_sides.sides import ABSENT, Outcome, State, decide, said_over, state_of
from mlporter.plan.units import OF_MODELS, ROWWISE
from mlporter.stores.protocols import Among
from mlporter.wording import both_values, shown_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlporter.catalogue.types import Table
    from mlporter.compare.report import Difference
    from mlporter.plan.capabilities import Capabilities, Facts
    from mlporter.plan.three_sides.actions import ActionBook
    from mlporter.plan.three_sides.sent.base import Base
    from mlporter.plan.three_sides.sides import Wish

__all__ = ["NOT_TAKEN", "Found", "RowPlanner"]

NOT_TAKEN = "the target refused it before; it is tried again"
"""Why something is left out that is not there for another reason."""

Found = list["Difference"]

_AT_ONCE = 2_000
"""Differences that are looked at together."""


@dataclass
class RowPlanner:
    """Holds rows against each other and against what was last sent, and decides.

    Attributes:
        base: What was last sent.
        wish: What is asked for.
        book: Where actions go.
        can: What the kind of target can do; one that takes many steps may lack what a stopped
            transfer did not come to: it is then gone on with.
        new: Units that the target lacks, by table: what belongs to them comes along.
        absent: Units that stay away from the target, by table: nothing that belongs to them comes.
        facts: What there is to know of both sides besides their rows.
        undeletes: Restore what the target has only marked as deleted.
        refused: Units of the target that are another thing: nothing of the source's goes there.
    """

    base: Base
    wish: Wish
    book: ActionBook
    can: Capabilities = DATABASE
    facts: Facts = NOTHING_KNOWN
    new: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    absent: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    undeletes: bool = False
    refused: set[tuple[str, str]] = field(default_factory=set)
    plan: RowPlan = field(default_factory=RowPlan)

    def __post_init__(self) -> None:
        """Limits look at what is decided as it is decided."""
        self._limits = Limits(self.can, self.facts, self.refused, self.absent, self.new)

    def take(self, sides: Sides, sift: Callable[[Found], Found] = lambda found: found) -> None:
        """Plan what becomes of the rows of a table.

        Args:
            sides: The table.
            sift: Gives those of some differences that are any.
        """
        with Differences() as found:
            compare_streams(sides.pair.table, sides.of_source(), sides.of_target(), found.append)
            for piece in found.pieces():
                pending = sift(piece)
                for start in range(0, len(pending), _AT_ONCE):
                    self._decide(sides, pending[start : start + _AT_ONCE])

    # --- One chunk of differences ----------------------------------------------------------------

    def _decide(self, sides: Sides, found: list[Difference]) -> None:
        table = sides.pair.table
        keys = {key_of(table, one): one for one in found}
        first = table.key[0]
        values = {key[0] for key in keys}
        among = None if None in values else Among(first, tuple(sorted(values)))
        mine = rows_with(table, sides.of_source(among), keys)
        theirs = rows_with(table, sides.of_target(among), keys)
        some = {key: mine.get(key) or theirs[key] for key in keys if key in mine or key in theirs}
        groups = self.base.groups(
            table.name, {group_name(table, row.values) for row in some.values()}
        )
        refused = self.base.groups(
            refused_name(table.name), {group_name(table, row.values) for row in some.values()}
        )
        owners: dict[str, set[str]] = defaultdict(set)
        for row in some.values():
            kind, name = owner_of(table, row.values)
            owners[kind].add(name)
        known = {
            (kind, name) for kind, names in owners.items() for name in self.base.groups(kind, names)
        }
        for key, row in some.items():
            owner = owner_of(table, row.values)
            base = base_row(groups.get(group_name(table, row.values)), row.key_digest)
            is_known = base is not None or (owner in known and owner[0] != table.name)
            last = base_row(refused.get(group_name(table, row.values)), row.key_digest)
            kept = partial(self._kept_values, table, row)
            sided = SidedRow(
                table, key, owner, mine.get(key), theirs.get(key), base, is_known, last, kept
            )
            self._one(sided)

    def _kept_values(self, table: Table, row: Row) -> Mapping[str, object]:
        kept = self.base.values(table.name, group_name(table, row.values))
        return kept.get(str(row.key_digest), {})

    def _one(self, row: SidedRow) -> None:
        if row.owner in self.refused:
            some = row.mine or row.theirs
            if some is not None:
                self.plan.disputed[row.table.name].add(some.key_digest)
        elif row.mine is None:
            self._only_there(row)
        elif row.theirs is None:
            self._only_here(row)
        else:
            self._differing(row, row.mine, row.theirs)

    def _only_here(self, row: SidedRow) -> None:
        """A row that the target lacks: new at the source, or taken away at the target."""
        if not row.is_unit and row.owner[1] in self.new.get(row.owner[0], ()):
            self.plan.sent[row.table.name].add(row.mine.key_digest if row.mine else ABSENT)
            return
        if self._is_of_absent(row):
            return
        state = state_of(row.whole(row.mine), ABSENT, row.base_digest(row.mine))
        was_refused = row.was_refused(row.mine)
        outcome = self._outcome_here(row, state)
        if state is State.SOURCE_CHANGED and was_refused:
            state = State.UNKNOWN
        change = row.one_sided()
        if outcome is Outcome.SEND and row.mine is not None:
            why = self._limits.not_again(row) if state in _EDITED else ""
            if why := why or self._limits.refuses(row, row.mine.values):
                self._stays(row, Outcome.CONFLICT, change, why, None)
                return
            kind = ActionKind.CREATE if row.is_unit else ActionKind.UPDATE
            why = _PUT_BACK if state in _EDITED else ""
            if was_refused:
                kind, why = ActionKind.LEAVE_OUT, NOT_TAKEN
            self._note(row, kind, change, why)
            if row.is_unit:
                self.new[row.table.name].add(row.owner[1])
            if not self.can.in_steps:
                self.plan.inserts[row.table.name][row.key] = row.owner
            self.plan.touched.add(row.owner)
            return
        why = {
            State.SOURCE_CHANGED: "it is new at the source",
            State.TARGET_EDITED: "it was removed at the target",
            State.BOTH_CHANGED: "it was removed at the target, and changed at the source",
            State.UNKNOWN: "it is not in the target",
        }[state]
        self._stays(row, outcome, change, why, None)

    def _outcome_here(self, row: SidedRow, state: State) -> Outcome:
        """What is done about a row that the target lacks."""
        is_unknown = state is State.UNKNOWN or (
            state is State.SOURCE_CHANGED and row.was_refused(row.mine)
        )
        is_loose = row.table.name in ROWWISE and state not in _EDITED
        comes_again = row.is_unit and self.wish.puts_back and state in _EDITED
        is_unfinished = is_unknown and self.can.in_steps
        if is_loose or comes_again or is_unfinished or self._limits.of(row).grows:
            return Outcome.SEND
        return decide(state, self.wish, is_newer=self._is_newer(row))

    def _is_of_absent(self, row: SidedRow) -> bool:
        """Whether a row belongs to something that stays away from the target."""
        kind, name = row.owner
        if not row.is_unit and name in self.absent.get(kind, ()):
            return True
        models = self.absent.get("registered_models", ())
        if not models or row.table.name not in OF_MODELS or row.mine is None:
            return False
        is_model = row.table.name == "registered_models"
        return not is_model and key_text(name.split("\x1f")[:2]) in models

    def _only_there(self, row: SidedRow) -> None:
        """A row that the source lacks: added at the target, or removed at the source."""
        state = state_of(ABSENT, row.whole(row.theirs), row.base_digest(row.theirs))
        change = row.one_sided()
        if state in {State.UNKNOWN, State.TARGET_EDITED}:
            is_nobodys = state is State.UNKNOWN and self.can.in_steps
            if not row.is_servers_own and not is_nobodys:
                self.book.add(
                    Action(ActionKind.KEEP, row.unit, row.name, change, "it is only in the target")
                )
            return
        if state is State.SOURCE_CHANGED and row.is_unit and not self.wish.deletes:
            why = "it is gone from the source; --delete removes it"
            self._stays(row, Outcome.KEEP, change, why, row.theirs)
            return
        outcome = decide(state, self.wish)
        if outcome is Outcome.SEND and not self._limits.of(row).removes:
            self._stays_for_good(row, change)
            return
        if outcome is Outcome.SEND:
            kind = ActionKind.DELETE if row.is_unit else ActionKind.UPDATE
            self._note(row, kind, change, said_over({state}))
            self.plan.removals[row.table.name].append((row.table.key, row.key))
            self.plan.touched.add(row.owner)
            return
        why = (
            "it is gone from the source"
            if state is State.SOURCE_CHANGED
            else "it is gone from the source, and was edited at the target"
        )
        self._stays(row, outcome, change, why, row.theirs)

    def _differing(self, row: SidedRow, mine: Row, theirs: Row) -> None:
        """A row that both have, column by column."""
        states = {
            name: state_of(digest, theirs.digests[name], row.base_column(name))
            for name, digest in mine.digests.items()
            if digest != theirs.digests[name]
            and not self._limits.is_limit(row, name, mine.values[name])
            and not (name == DELETED_TIME and _are_deleted(mine, theirs))
        }
        if _is_deleted_version(row, mine) and row.is_known:
            # What becomes of things that were sent, and are gone, is reported with all others.
            self.refused.add(row.owner)
            self.plan.disputed[row.table.name].add(mine.key_digest)
            return
        if others := self._limits.of(row).fixed & states.keys():
            self.refused.add(row.owner)
            some = {name: states[name] for name in sorted(others)}
            keeps = all(decide(state, self.wish) is Outcome.KEEP for state in some.values())
            outcome = Outcome.KEEP if keeps else Outcome.CONFLICT
            self._columns_stay(row, outcome, some, "it is a different one of that name")
            return
        by_outcome: dict[Outcome, dict[str, State]] = defaultdict(dict)
        for name, outcome in self._outcomes(row, states, theirs).items():
            by_outcome[outcome][name] = states[name]
        sent = by_outcome.pop(Outcome.SEND, {})
        if sent and (why := self._limits.refuses(row, mine.values)):
            self._columns_stay(row, Outcome.CONFLICT, sent, why)
        elif sent and Outcome.CONFLICT in by_outcome:
            # Half of a change may be worse than none.
            by_outcome[Outcome.CONFLICT] |= dict.fromkeys(sent, State.SOURCE_CHANGED)
        elif sent:
            changes = row.changes(sent)
            kind = kind_of_update(row.table.name, frozenset(sent))
            self._note(row, kind, changes, said_over(_telling(sent)))
            self.plan.updates[row.table.name][row.key] = {name: mine.values[name] for name in sent}
            self.plan.touched.add(row.owner)
        for outcome, columns in by_outcome.items():
            why = said_over(_telling(columns)) or State.SOURCE_CHANGED.value
            if outcome is Outcome.CONFLICT and not self._limits.of(row).changes:
                why += f"; {self.can.cannot('change')}"
            self._columns_stay(row, outcome, columns, why)

    def _columns_stay(
        self, row: SidedRow, outcome: Outcome, columns: Mapping[str, State], why: str
    ) -> None:
        """Some columns of a row stay as they are in the target."""
        theirs = row.theirs
        values = {} if theirs is None else {name: theirs.values[name] for name in columns}
        self._stays(row, outcome, row.changes(columns), why, theirs, values)

    def _outcomes(
        self, row: SidedRow, states: Mapping[str, State], theirs: Row
    ) -> dict[str, Outcome]:
        """What is done about each column that differs; times follow what they are the times of."""
        found = {name: self._of_column(row, name, state, theirs) for name, state in states.items()}
        main = {found[name] for name in states.keys() - FOLLOW}
        if len(main) == 1:
            found |= dict.fromkeys(states.keys() & FOLLOW, main.pop())
        return found

    def _of_column(self, row: SidedRow, column: str, state: State, theirs: Row) -> Outcome:
        """What is done about a column that differs."""
        if state is State.UNKNOWN and self._limits.is_unfinished(row, column, theirs):
            return Outcome.SEND
        mine = row.mine.values if row.mine is not None else {}
        is_deleted = column in LIFECYCLE.get(row.table.name, ()) and (
            mine.get("lifecycle_stage") == "active"
            and theirs.values.get("lifecycle_stage") == "deleted"
        )
        if is_deleted and self.undeletes:
            return Outcome.SEND
        if (
            state is State.TARGET_EDITED
            and (ahead := self._limits.is_ahead(row, theirs)) is not None
        ):
            return Outcome.KEEP if ahead else Outcome.SEND
        outcome = decide(state, self.wish, is_newer=self._is_newer(row))
        is_fixed = outcome is Outcome.SEND and not self._limits.of(row).changes
        return Outcome.CONFLICT if is_fixed else outcome

    def _is_newer(self, row: SidedRow) -> bool:
        return self.wish.unknown == "ours" and self.facts.is_newer(*row.owner)

    # --- What comes of it -------------------------------------------------------------------------

    def _note(self, row: SidedRow, kind: ActionKind, changes: tuple[Change, ...], why: str) -> None:
        if row.mine is not None:
            self.plan.sent[row.table.name].add(row.mine.key_digest)
        self.book.add(Action(kind, row.unit, row.name, changes, why))

    def _stays_for_good(self, row: SidedRow, changes: tuple[Change, ...]) -> None:
        """What the source has no more, and the kind of target cannot remove."""
        why = self.can.cannot("remove")
        self.book.add(Action(ActionKind.LEAVE_OUT, row.unit, row.name, changes, why))
        name = "/".join(map(str, row.key))
        self.plan.left_out.append((row.table.name, name, why))

    def _stays(  # noqa: PLR0917 -- what is told of it
        self,
        row: SidedRow,
        outcome: Outcome,
        changes: tuple[Change, ...],
        why: str,
        theirs: Row | None,
        values: dict[str, Any] | None = None,
    ) -> None:
        """The target's stays."""
        plan, name = self.plan, row.table.name
        kind = ActionKind.CONFLICT if outcome is Outcome.CONFLICT else ActionKind.KEEP
        action = Action(kind, row.unit, row.name, changes, why)
        self.book.add(action)
        if outcome is Outcome.CONFLICT:
            telling = [c for c in changes if c.field not in FOLLOW] or changes
            said = ", ".join(map(_on_all_sides, telling))
            reason = f"{said}: {why}" if why else said
            plan.conflicts.append((row.unit, row.name, reason))
        digest = row.mine or row.theirs or theirs
        is_settled = outcome is Outcome.KEEP and self.wish.unknown == "theirs"
        if digest is not None and not is_settled:
            plan.disputed[name].add(digest.key_digest)
        if theirs is None and row.is_unit:
            self.absent[name].add(row.owner[1])
        if row.mine is not None:
            before = plan.kept[name].get(row.key)
            plan.kept[name][row.key] = (
                None if theirs is None else {**(before or {}), **(values or theirs.values)}
            )


_EDITED = frozenset({State.TARGET_EDITED, State.BOTH_CHANGED})
_PUT_BACK = "it was removed at the target, and is put back"


def _are_deleted(mine: Row, theirs: Row) -> bool:
    """Whether both sides have deleted a thing, each at a time of its own."""
    return {row.values.get("lifecycle_stage") for row in (mine, theirs)} == {"deleted"}


def _is_deleted_version(row: SidedRow, mine: Row) -> bool:
    """Whether the source has deleted a version that the target still has."""
    return row.table.name == "model_versions" and mine.values["current_stage"] == DELETED_STAGE


def _telling(columns: Mapping[str, State]) -> set[State]:
    """The states of columns, but for times that follow others."""
    return {state for name, state in columns.items() if name not in FOLLOW} or {*columns.values()}


def _on_all_sides(change: Change) -> str:
    if change.old == change.new == HIDDEN:
        return f"{change.field} is a different secret"
    last = f" ({shown_value(change.field, change.sent)} was last sent)" if change.is_third else ""
    return both_values(change.field, change.new, change.old) + last
