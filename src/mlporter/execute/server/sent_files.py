"""Files on a server that were sent before: who changed them since, and what is remembered."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from mlporter.plan.three_sides.files import (
    COLUMNS,
    FILES,
    FileSides,
    Sent,
    content_of,
    mark_of,
    pack,
    unpack,
)
from mlporter.plan.three_sides.sides import Outcome, State
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.plan.policy import Policy
    from mlporter.plan.three_sides.base import Base
    from mlporter.stores.protocols import ArtifactFile

__all__ = ["SentFiles"]

_TABLES = {"run": "runs", "logged_model": "logged_models"}
_AT_WORK = {"run": ("RUNNING", "SCHEDULED", None), "logged_model": (0, 1, None)}


@dataclass
class SentFiles:
    """What is remembered of files of runs and logged models, and what becomes of them.

    Attributes:
        base: What was last sent.
        policy: What is asked for.
    """

    base: Base
    policy: Policy
    _known: dict[tuple[str, str], dict[int, Sent] | None] = field(default_factory=dict)
    _now: dict[tuple[str, str], dict[str, Sent]] = field(default_factory=dict)
    _doubtful: set[tuple[str, str]] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def settled(
        self, context: ServerContext, touched: Collection[tuple[str, str]]
    ) -> frozenset[tuple[str, str]]:
        """Owners (kind and id) whose files need no look, as nothing of theirs seems to change."""
        if not self.policy.is_quick or not self.base.is_known:
            return frozenset()
        found = set()
        for kind, table in _TABLES.items():
            column = "run_uuid" if kind == "run" else "model_id"
            if not context.has(table):
                continue
            stages = dict(rows_of(context.source, table, (column, "status")))
            known = self.base.groups(FILES, [_group(kind, key) for key in stages])
            found |= {
                (kind, key)
                for key, status in stages.items()
                if _group(kind, key) in known
                and status not in _AT_WORK[kind]
                and (table, key) not in touched
            }
        return frozenset(found)

    def _sent(self, owner: tuple[str, str]) -> dict[int, Sent] | None:
        with self._lock:
            if owner not in self._known:
                group = self.base.groups(FILES, [_group(*owner)]).get(_group(*owner))
                self._known[owner] = None if group is None else unpack(group)
            return self._known[owner]

    def outcome(
        self,
        file: ArtifactFile,
        size: int,
        there: int | None,
        read_source: Callable[[], str],
        read_target: Callable[[], str],
    ) -> tuple[State, Outcome]:
        """Who changed a file since it was sent, and what is done about it.

        Args:
            file: The source's.
            size: Its bytes, as they would be sent.
            there: The bytes of the server's; None if it has none.
            read_source: Its SHA-256, as it would be sent.
            read_target: That of the server's.
        """
        known = self._sent((file.owner_kind, file.owner_id))
        sent = None if known is None else known.get(FileSides.key(file.path))
        if known is None and there in {None, size}:
            # Of what was sent by somebody else, or not remembered, the size says enough.
            return State.UNKNOWN, Outcome.SEND
        if sent is not None and not self._may_differ(file, sent, size) and there == sent.size:
            return State.SAME, Outcome.SEND
        sides = FileSides(file.path, file, there, sent, known is not None, read_source, read_target)
        state, outcome, _, _ = sides.outcome(self.policy.wish)
        return state, outcome

    def _may_differ(self, file: ArtifactFile, sent: Sent, size: int) -> bool:
        """Whether the source's file may be another one than was sent."""
        mark = mark_of(file)
        if mark and sent.mark:
            return mark != sent.mark
        step = self.policy.step
        return size != sent.size or (step is not None and step.full)

    def note(self, file: ArtifactFile, digest: str | None, size: int) -> None:
        """A file is on the server as the source has it.

        Args:
            file: The source's.
            digest: The SHA-256 of what is there; None where it was not read: as it was sent.
            size: Its bytes.
        """
        owner = (file.owner_kind, file.owner_id)
        known = self._sent(owner) or {}
        older = known.get(FileSides.key(file.path))
        if digest is None and older is None:
            content = content_of(file.sha256) if file.sha256 is not None else 0
        else:
            content = older.content if digest is None and older else content_of(digest or "")
        with self._lock:
            if not content:
                self._doubtful.add(owner)
                return
            self._now.setdefault(owner, {})[file.path] = Sent(mark_of(file), content, size)

    def leave(self, kind: str, owner: str) -> None:
        """A file of an owner is not on the server as the source has it."""
        with self._lock:
            self._doubtful.add((kind, owner))

    def remember(self, owners: Collection[tuple[str, str]]) -> None:
        """Remember what is on the server now.

        Args:
            owners: Those that were looked at; of the others what was known stays.
        """
        for owner in sorted(owners):
            if owner[0] not in _TABLES:
                continue
            now, known = self._now.get(owner, {}), self._sent(owner)
            if owner in self._doubtful and known is None:
                continue  # it is looked at again
            older = {} if known is None else known
            self.base.put(FILES, COLUMNS, _group(*owner), pack(now, older))


def _group(kind: str, owner: str) -> str:
    return f"{kind}\x1f{owner}"
