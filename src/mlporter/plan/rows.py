"""From three sides of a table to actions: what is sent, kept, removed, or in conflict.

Both readers tell rows in the same terms: what is called otherwise on one side is mapped. Rows of
things that only one side has are not among them, but for what a base knows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.uris.ownership import DELETED_STAGE
from mlporter.catalogue import source_tags as marks
from mlporter.compare.shape import Shaper
from mlporter.compare.streams import compare_streams
from mlporter.plan.actions import FOLLOW, Action, ActionKind, Change, kind_of_update
from mlporter.plan.base import refused_name
from mlporter.plan.deleted_rows import LIFECYCLE
from mlporter.plan.digests import column_digests, key_digests
from mlporter.plan.keys import group_name, key_text, owner_columns, owner_of
from mlporter.plan.sides import ABSENT, Outcome, State, decide, state_of
from mlporter.plan.units import OF_MODELS, ROWWISE
from mlporter.stores.protocols import Among

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.compare.report import Difference
    from mlporter.compare.shape import Normalise, Pair
    from mlporter.plan.actions import ActionBook
    from mlporter.plan.base import Base
    from mlporter.plan.side_reader import Reader
    from mlporter.plan.sides import Wish
    from mlporter.stores.state import Group

__all__ = ["NOT_TAKEN", "Key", "RowPlan", "RowPlanner", "Sides", "is_of_a_registry"]

Key = tuple[Any, ...]
"""The values of a row's key columns."""

NOT_TAKEN = "the target did not take it before; it is tried again"
"""Why something is left out that is not there for another reason."""

Found = list["Difference"]
Values = Mapping[str, Any]

_AT_ONCE = 2_000
"""Differences that are looked at together."""

_FIRST_VALUES: Mapping[str, Mapping[str, frozenset[object]]] = {
    "runs": {"status": frozenset({"RUNNING"}), "end_time": frozenset({None}),
             "lifecycle_stage": frozenset({"active"})},
    "logged_models": {"status": frozenset({0, 1}), "lifecycle_stage": frozenset({"active"})},
    "model_versions": {"current_stage": frozenset({None, "None"})},
    "experiments": {"lifecycle_stage": frozenset({"active"})},
}  # fmt: skip
"""What a server has of what it was sent in a later step than the thing itself: an import that was
stopped in between goes on, though nothing is remembered of it."""

_SET_BY_SERVERS = ("mlflow.",)
"""How tags begin that MLflow sets by itself: that a target has one more is nobody's edit."""


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
    disputed: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    touched: set[tuple[str, str]] = field(default_factory=set)
    sent: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    @property
    def is_empty(self) -> bool:
        """Whether the target stays as it is."""
        return not (self.inserts or self.updates or self.removals)


@dataclass(frozen=True)
class _Row:
    """A row of one side: its values, the digest of its key, and of each column."""

    values: Mapping[str, Any]
    key_digest: int
    digests: Mapping[str, int]


@dataclass
class RowPlanner:
    """Holds rows against each other and against what was last sent, and decides.

    Attributes:
        base: What was last sent.
        wish: What is asked for.
        book: Where actions go.
        completes: Whether what a target lacks, and nothing is remembered of, may be a transfer that
            was stopped: it is then gone on with. So it is where a transfer takes many steps.
        new: Units that the target lacks, by table: what belongs to them comes along.
        absent: Units that stay away from the target, by table: nothing that belongs to them comes.
        is_newer: Whether the target's unit was changed later than the source's.
        immutable: Tables whose rows a target cannot change once they are there.
        undeletes: Restore what the target has only marked as deleted.
        mends: Whether a row that the target lacks, or has less of, is sent whoever lost it.
        is_limit: Whether a column (table, name, the source's value) differs because of what the
            kind of target cannot be told.
        fixed: Columns that never change, by table: a row with others is another thing.
        refused: Units of the target that are another thing: nothing of the source's goes there.
        refuses: Why the target cannot take a row as the source has it, or "".
    """

    base: Base
    wish: Wish
    book: ActionBook
    completes: bool = False
    new: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    absent: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    is_newer: Callable[[str, str], bool] = lambda _table, _key: False
    immutable: frozenset[str] = frozenset()
    undeletes: bool = False
    mends: Callable[[str, Values, Values | None], bool] = lambda _table, _mine, _theirs: False
    is_limit: Callable[[str, str, object], bool] = lambda _table, _column, _value: False
    fixed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    refused: set[tuple[str, str]] = field(default_factory=set)
    refuses: Callable[[str, Values], str] = lambda _table, _row: ""
    plan: RowPlan = field(default_factory=RowPlan)

    def take(self, sides: Sides, sift: Callable[[Found], Found] = lambda found: found) -> None:
        """Plan what becomes of the rows of a table.

        Args:
            sides: The table.
            sift: Gives those of some differences that are any.
        """
        pending: Found = []
        compare_streams(sides.pair.table, sides.of_source(), sides.of_target(), pending.append)
        pending = sift(pending)
        for start in range(0, len(pending), _AT_ONCE):
            self._decide(sides, pending[start : start + _AT_ONCE])

    # --- One chunk of differences ----------------------------------------------------------------

    def _decide(self, sides: Sides, found: list[Difference]) -> None:
        table = sides.pair.table
        keys = {_key(table, one): one for one in found}
        first = table.key[0]
        values = {key[0] for key in keys}
        among = None if None in values else Among(first, tuple(sorted(values)))
        mine = _rows(table, sides.of_source(among), keys)
        theirs = _rows(table, sides.of_target(among), keys)
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
            base = _base_row(groups.get(group_name(table, row.values)), row.key_digest)
            is_known = base is not None or (owner in known and owner[0] != table.name)
            last = _base_row(refused.get(group_name(table, row.values)), row.key_digest)
            sided = _Sided(table, key, owner, mine.get(key), theirs.get(key), base, is_known, last)
            self._one(sided)

    def _one(self, row: _Sided) -> None:
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

    def _only_here(self, row: _Sided) -> None:
        """A row that the target lacks: new at the source, or taken away at the target."""
        if not row.is_unit and row.owner[1] in self.new.get(row.owner[0], ()):
            self.plan.sent[row.table.name].add(row.mine.key_digest if row.mine else ABSENT)
            return
        if self._is_of_absent(row):
            return
        digest = row.whole(row.mine)
        state = state_of(digest, ABSENT, row.base_digest(row.mine))
        outcome = decide(state, self.wish, is_newer=self._is_newer(row))
        was_refused = row.was_refused(row.mine)
        if state is State.SOURCE_CHANGED and was_refused:
            state = State.UNKNOWN
        is_loose = state in {State.UNKNOWN, State.SOURCE_CHANGED} and row.table.name in ROWWISE
        mends = row.mine is not None and self.mends(row.table.name, row.mine.values, None)
        if is_loose or mends or (state is State.UNKNOWN and self.completes):
            outcome = Outcome.SEND
        change = (Change(row.field, None, row.shown(row.mine)),)
        if outcome is Outcome.SEND and row.mine is not None:
            if why := self.refuses(row.table.name, row.mine.values):
                self._stays(row, Outcome.CONFLICT, change, why, None)
                return
            kind = ActionKind.CREATE if row.is_unit else ActionKind.UPDATE
            why = _PUT_BACK if state in _EDITED else ""
            if was_refused:
                kind, why = ActionKind.LEAVE_OUT, NOT_TAKEN
            self._note(row, kind, change, why)
            if row.is_unit:
                self.new[row.table.name].add(row.owner[1])
            if not self.completes:
                self.plan.inserts[row.table.name][row.key] = row.owner
            self.plan.touched.add(row.owner)
            return
        why = {
            State.SOURCE_CHANGED: "it is new at the source",
            State.TARGET_EDITED: "somebody removed it at the target",
            State.BOTH_CHANGED: "somebody removed it at the target, and the source changed it",
            State.UNKNOWN: "the target does not have it",
        }[state]
        self._stays(row, outcome, change, why, None)

    def _is_of_absent(self, row: _Sided) -> bool:
        """Whether a row belongs to something that stays away from the target."""
        kind, name = row.owner
        if not row.is_unit and name in self.absent.get(kind, ()):
            return True
        models = self.absent.get("registered_models", ())
        if not models or row.table.name not in OF_MODELS or row.mine is None:
            return False
        is_model = row.table.name == "registered_models"
        return not is_model and key_text(name.split("\x1f")[:2]) in models

    def _only_there(self, row: _Sided) -> None:
        """A row that the source lacks: added at the target, or removed at the source."""
        state = state_of(ABSENT, row.whole(row.theirs), row.base_digest(row.theirs))
        change = (Change(row.field, row.shown(row.theirs), None),)
        if state in {State.UNKNOWN, State.TARGET_EDITED}:
            is_nobodys = state is State.UNKNOWN and self.completes
            if not row.is_servers_own and not is_nobodys:
                self.book.add(
                    Action(ActionKind.KEEP, row.unit, row.name, change, "only the target has it")
                )
            return
        if state is State.SOURCE_CHANGED and row.is_unit and not self.wish.deletes:
            why = "the source has it no more; --delete removes it"
            self._stays(row, Outcome.KEEP, change, why, row.theirs)
            return
        outcome = decide(state, self.wish)
        if outcome is Outcome.SEND:
            kind = ActionKind.DELETE if row.is_unit else ActionKind.UPDATE
            self._note(row, kind, change, _over({state}))
            self.plan.removals[row.table.name].append((row.table.key, row.key))
            self.plan.touched.add(row.owner)
            return
        why = (
            "the source has it no more"
            if state is State.SOURCE_CHANGED
            else "the source has it no more, and somebody changed it at the target"
        )
        self._stays(row, outcome, change, why, row.theirs)

    def _differing(self, row: _Sided, mine: _Row, theirs: _Row) -> None:
        """A row that both have, column by column."""
        states = {
            name: state_of(digest, theirs.digests[name], row.base_column(name))
            for name, digest in mine.digests.items()
            if digest != theirs.digests[name]
            and not self.is_limit(row.table.name, name, mine.values[name])
        }
        if _is_deleted_version(row, mine) and row.is_known:
            # What becomes of things that were sent, and are gone, is told with all others.
            self.refused.add(row.owner)
            self.plan.disputed[row.table.name].add(mine.key_digest)
            return
        if others := self.fixed.get(row.table.name, frozenset()) & states.keys():
            self.refused.add(row.owner)
            some = {name: states[name] for name in sorted(others)}
            keeps = all(decide(state, self.wish) is Outcome.KEEP for state in some.values())
            outcome = Outcome.KEEP if keeps else Outcome.CONFLICT
            self._columns_stay(row, outcome, some, "it is another one of that name")
            return
        by_outcome: dict[Outcome, dict[str, State]] = defaultdict(dict)
        for name, outcome in self._outcomes(row, states, theirs).items():
            by_outcome[outcome][name] = states[name]
        sent = by_outcome.pop(Outcome.SEND, {})
        if sent and (why := self.refuses(row.table.name, mine.values)):
            self._columns_stay(row, Outcome.CONFLICT, sent, why)
        elif sent and Outcome.CONFLICT in by_outcome:
            # Half of a change may be worse than none.
            by_outcome[Outcome.CONFLICT] |= dict.fromkeys(sent, State.SOURCE_CHANGED)
        elif sent:
            changes = row.changes(sent)
            kind = kind_of_update(row.table.name, frozenset(sent))
            self._note(row, kind, changes, _over(_telling(sent)))
            self.plan.updates[row.table.name][row.key] = {name: mine.values[name] for name in sent}
            self.plan.touched.add(row.owner)
        for outcome, columns in by_outcome.items():
            why = _over(_telling(columns)) or State.SOURCE_CHANGED.value
            if outcome is Outcome.CONFLICT and row.table.name in self.immutable:
                why += "; MLflow's REST API has no way to change it"
            self._columns_stay(row, outcome, columns, why)

    def _columns_stay(
        self, row: _Sided, outcome: Outcome, columns: Mapping[str, State], why: str
    ) -> None:
        """Some columns of a row stay as they are in the target."""
        theirs = row.theirs
        values = {} if theirs is None else {name: theirs.values[name] for name in columns}
        self._stays(row, outcome, row.changes(columns), why, theirs, values)

    def _outcomes(
        self, row: _Sided, states: Mapping[str, State], theirs: _Row
    ) -> dict[str, Outcome]:
        """What is done about each column that differs; times follow what they are the times of."""
        found = {name: self._of_column(row, name, state, theirs) for name, state in states.items()}
        main = {found[name] for name in states.keys() - FOLLOW}
        if len(main) == 1:
            found |= dict.fromkeys(states.keys() & FOLLOW, main.pop())
        return found

    def _of_column(self, row: _Sided, column: str, state: State, theirs: _Row) -> Outcome:
        """What is done about a column that differs."""
        if state is State.UNKNOWN and self._is_unfinished(row, column, theirs):
            return Outcome.SEND
        mine = row.mine.values if row.mine is not None else {}
        is_deleted = column in LIFECYCLE.get(row.table.name, ()) and (
            mine.get("lifecycle_stage") == "active"
            and theirs.values.get("lifecycle_stage") == "deleted"
        )
        if is_deleted and self.undeletes:
            return Outcome.SEND
        if state is State.TARGET_EDITED and self.mends(row.table.name, mine, theirs.values):
            return Outcome.SEND
        outcome = decide(state, self.wish, is_newer=self._is_newer(row))
        is_fixed = outcome is Outcome.SEND and row.table.name in self.immutable
        return Outcome.CONFLICT if is_fixed else outcome

    def _is_unfinished(self, row: _Sided, column: str, theirs: _Row) -> bool:
        first = _FIRST_VALUES.get(row.table.name, {}).get(column, frozenset())
        return self.completes and theirs.values[column] in first

    def _is_newer(self, row: _Sided) -> bool:
        return self.wish.unknown == "ours" and self.is_newer(*row.owner)

    # --- What comes of it -------------------------------------------------------------------------

    def _note(self, row: _Sided, kind: ActionKind, changes: tuple[Change, ...], why: str) -> None:
        if row.mine is not None:
            self.plan.sent[row.table.name].add(row.mine.key_digest)
        self.book.add(Action(kind, row.unit, row.name, changes, why))

    def _stays(  # noqa: PLR0917 -- what is told of it
        self,
        row: _Sided,
        outcome: Outcome,
        changes: tuple[Change, ...],
        why: str,
        theirs: _Row | None,
        values: dict[str, Any] | None = None,
    ) -> None:
        """The target's stays."""
        plan, name = self.plan, row.table.name
        kind = ActionKind.CONFLICT if outcome is Outcome.CONFLICT else ActionKind.KEEP
        action = Action(kind, row.unit, row.name, changes, why)
        self.book.add(action)
        if outcome is Outcome.CONFLICT:
            telling = [c for c in changes if c.field not in FOLLOW] or changes
            said = ", ".join(
                f"{c.field} is {_short(c.new)} at the source and {_short(c.old)} at the target"
                for c in telling
            )
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


_VALUES = ("value", "param_value", "tag_value")
"""Columns that hold what a row says."""


@dataclass(frozen=True)
class _Sided:
    """A row on all sides, and what it is called."""

    table: Table
    key: Key
    owner: tuple[str, str]
    mine: _Row | None
    theirs: _Row | None
    base: Mapping[str, int] | None
    is_known: bool
    refused: Mapping[str, int] | None = None

    def was_refused(self, row: _Row | None) -> bool:
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
        return tuple(Change(self.column(name), old[name], new[name]) for name in columns)

    def shown(self, row: _Row | None) -> object:
        """What people are shown of a row: its value, if it has one."""
        if row is None:
            return None
        rest = [name for name in row.values if name not in self.table.key]
        named = next((name for name in _VALUES if name in rest), None)
        if named is not None:
            return row.values[named]
        return row.values[rest[0]] if len(rest) == 1 else f"{len(rest)} columns"

    @property
    def is_servers_own(self) -> bool:
        """Whether it is a tag that MLflow or mlporter itself sets on a copy."""
        column = marks.TAG_TABLES.get(self.table.name)
        row = self.mine or self.theirs
        if column is None or row is None:
            return False
        return str(row.values[column]).startswith((marks.OURS, *_SET_BY_SERVERS))

    def whole(self, row: _Row | None) -> int:
        """One digest for a row that is there."""
        return ABSENT if row is None else hash(tuple(row.digests.items())) or 1

    def base_digest(self, like: _Row | None) -> int | None:
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


_EDITED = frozenset({State.TARGET_EDITED, State.BOTH_CHANGED})
_PUT_BACK = "somebody removed it at the target, and it is put back"


def _is_deleted_version(row: _Sided, mine: _Row) -> bool:
    """Whether the source has deleted a version that the target still has."""
    return row.table.name == "model_versions" and mine.values["current_stage"] == DELETED_STAGE


def _telling(columns: Mapping[str, State]) -> set[State]:
    """The states of columns, but for times that follow others."""
    return {state for name, state in columns.items() if name not in FOLLOW} or {*columns.values()}


def _over(states: set[State]) -> str:
    """What is said of values that the source's come over: that somebody may have made them."""
    return "; ".join(sorted(state.value for state in states - {State.SOURCE_CHANGED}))


def _short(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"  # noqa: PLR2004 -- one line of a terminal


def _key(table: Table, difference: Difference) -> Key:
    return tuple(difference.key[name] for name in table.key)


def _base_row(group: Group | None, key: int) -> Mapping[str, int] | None:
    return None if group is None else group.row(key)


def _rows(
    table: Table, batches: Iterator[pa.RecordBatch], wanted: Mapping[Key, object]
) -> dict[Key, _Row]:
    """The rows with some keys."""
    found: dict[Key, _Row] = {}
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
            found[keys[at[number]]] = _Row(row, int(whole[number]), digests)
    return found
