"""The actions that a plan consists of, and the book that keeps them: on disk, counted in memory."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from mlporter.compare.report import json_safe

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import IO

__all__ = ["FOLLOW", "NAMED", "NOT_KNOWN", "Action", "ActionBook", "ActionKind", "Change"]
__all__ += ["kind_of_update", "sum_of"]

NAMED = 1000
"""How many actions of a plan a result names; the book, and a plan file, hold all."""

_IN_MEMORY = 1 << 20
_SHOWN = 200
"""Characters of a value that an action shows."""


class _NotKnown:
    """That nobody knows what was last sent, or that it is too large or too secret to be kept."""

    def __repr__(self) -> str:
        return "not known"


NOT_KNOWN: Final = _NotKnown()


class ActionKind(str, Enum):
    """What becomes of a unit."""

    CREATE = "create"
    UPDATE = "update"
    MOVE = "move"
    """An alias, a stage, a lifecycle or a name."""
    DELETE = "delete"
    KEEP = "keep"
    """Somebody edited it at the target, or it is only in the target: it stays as it is there."""
    CONFLICT = "conflict"
    LEAVE_OUT = "leave out"
    """The target did not take it as it is; it is tried again."""
    CHECK = "check"
    """A gate of a promotion: what it wants, and what was found."""


_MOVES = frozenset(
    {
        ("registered_model_aliases", "version"),
        ("model_versions", "current_stage"),
        ("experiments", "name"),
        ("experiments", "lifecycle_stage"),
        ("runs", "lifecycle_stage"),
        ("logged_models", "lifecycle_stage"),
    }
)
FOLLOW = frozenset({"deleted_time", "last_updated_time", "last_update_time"})
FOLLOW |= {"last_updated_timestamp_ms"}
"""Columns that change along with a move, and say nothing more."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field: what the target has, and what it gets (or would, had it not been edited).

    Attributes:
        field: Its name.
        old: The target's.
        new: The source's.
        sent: What was last sent; `NOT_KNOWN` where nobody knows.
    """

    field: str
    old: object
    new: object
    sent: object = NOT_KNOWN

    @property
    def is_third(self) -> bool:
        """Whether what was last sent is known, and neither what the target nor the source has."""
        return self.sent is not NOT_KNOWN and self.sent not in (self.old, self.new)

    def as_dict(self) -> dict[str, object]:
        """As it stands in a line of a plan file."""
        found = {"field": self.field, "old": _shown(self.old), "new": _shown(self.new)}
        return found if self.sent is NOT_KNOWN else {**found, "sent": _shown(self.sent)}

    @classmethod
    def from_dict(cls, line: dict[str, Any]) -> Change:
        """What a line of a plan file says."""
        return cls(line["field"], line["old"], line["new"], line.get("sent", NOT_KNOWN))


@dataclass(frozen=True, slots=True)
class Action:
    """What becomes of one unit, or of one field of it.

    Attributes:
        kind: What is done.
        unit: The table of the unit: ``runs``, ``model_versions``, ``registered_model_aliases`` ….
        id: What it is known by in the source; parts of a key are joined by ``/``.
        changes: Field by field, as far as it is there.
        why: A reason for people, where there is one.
    """

    kind: ActionKind
    unit: str
    id: str
    changes: tuple[Change, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        """One line for people."""
        said = ", ".join(map(_in_words, self.changes))
        rest = ": ".join(part for part in (said, self.why) if part)
        return f"{self.unit} {self.id!r}" + (f": {rest}" if rest else "")

    @classmethod
    def from_dict(cls, line: dict[str, Any]) -> Action:
        """What a line of a plan file says."""
        changes = tuple(map(Change.from_dict, line["changes"]))
        return cls(ActionKind(line["action"]), line["unit"], line["id"], changes, line["why"])

    def as_dict(self) -> dict[str, Any]:
        """As a line of a plan file."""
        return {
            "action": self.kind.value,
            "unit": self.unit,
            "id": self.id,
            "changes": [change.as_dict() for change in self.changes],
            "why": self.why,
        }


def _in_words(change: Change) -> str:
    last = f" (last sent: {change.sent!r})" if change.is_third else ""
    return f"{change.field}: {change.old!r} -> {change.new!r}{last}"


def _shown(value: object) -> object:
    return value[:_SHOWN] if isinstance(value, str) else json_safe(value)


def kind_of_update(table: str, columns: frozenset[str]) -> ActionKind:
    """Whether new values of some columns are a move, or a change of what the unit says."""
    said = columns - FOLLOW
    is_move = bool(said) and all((table, column) in _MOVES for column in said)
    return ActionKind.MOVE if is_move else ActionKind.UPDATE


def sum_of(line: bytes) -> int:
    """What a line adds to the digest of a plan."""
    return int.from_bytes(sha256(line).digest(), "big")


@dataclass
class ActionBook:
    """All actions of a plan, as JSON lines in a file without a name; counts and the first of them.

    Attributes:
        counts: How many, by unit and kind.
        first: The first `NAMED` that are more than a creation of what never was there.
    """

    counts: Counter[tuple[str, ActionKind]] = field(default_factory=Counter)
    first: list[Action] = field(default_factory=list)
    _lines: IO[bytes] | None = None
    _sum: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add(self, action: Action) -> None:
        """Note an action."""
        line = json.dumps(action.as_dict(), sort_keys=True, ensure_ascii=False).encode()
        with self._lock:
            self.counts[action.unit, action.kind] += 1
            is_told = action.kind is not ActionKind.CREATE or action.why
            if is_told and len(self.first) < NAMED:
                self.first.append(action)
            if self._lines is None:
                self._lines = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 -- `close`
            self._lines.write(line + b"\n")
            # A sum does not depend on the order, in which threads have no say.
            self._sum += sum_of(line)

    def create(self, unit: str, ids: Iterable[str], put_back: Collection[str] = ()) -> None:
        """Note what is made anew; some of it is `put_back`: it was sent before, and removed."""
        for id_ in ids:
            why = "it was removed at the target, and is put back" if id_ in put_back else ""
            self.add(Action(ActionKind.CREATE, unit, id_.replace("\x1f", "/"), why=why))

    @property
    def digest(self) -> str:
        """The same for the same actions, in whatever order."""
        return f"{self._sum % (1 << 256):064x}"

    @property
    def total(self) -> int:
        """All actions."""
        return sum(self.counts.values())

    def of(self, kind: ActionKind) -> int:
        """How many of a kind."""
        return sum(count for (_, found), count in self.counts.items() if found is kind)

    def lines(self) -> Iterator[bytes]:
        """The actions as JSON lines, in the order they were noted."""
        if self._lines is not None:
            self._lines.seek(0)
            yield from self._lines

    def close(self) -> None:
        """Forget them."""
        if self._lines is not None:
            self._lines.close()
