"""What becomes of the files of owners that both sides have: the same for every kind of target.

Who changed a file is told from three sides (`mlporter.plan.three_sides.files`). What is decided
stands in the plan, file by file; executors carry it out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING

from mlporter.catalogue.file_owners import FILE_OWNERS
from mlporter.errors import LeftOut
from mlporter.plan.three_sides.actions import Action, ActionKind, Change
from mlporter.plan.three_sides.files import FILES, FileSides, Sent, content_of, mark_of
from mlporter.plan.three_sides.sent.sent_files import files_sent, group_of, keep_sent
from mlporter.plan.three_sides.sides import ABSENT, Outcome, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlporter.plan.three_sides.actions import ActionBook
    from mlporter.plan.three_sides.sent.base import Base
    from mlporter.plan.three_sides.sent.sent_files import Owner
    from mlporter.plan.three_sides.sides import Digest, Wish
    from mlporter.stores.protocols import ArtifactFile

__all__ = ["FileChange", "FilePlanner", "OwnerSides"]

_REMOVED = {
    True: "it is gone from the source; --delete removes it",
    False: "it is gone from the source, and files are not removed from a server",
}


_PERHAPS_CUT = frozenset({State.UNKNOWN, State.BOTH_CHANGED})
"""A part of what the source has now is nobody's edit, but what a stopped transfer left."""


@dataclass(frozen=True)
class OwnerSides:
    """The files of an owner that both sides have.

    Attributes:
        owner: What it is remembered by.
        mine: The source's, by path.
        theirs: The bytes of the target's, by path.
        read_source: The SHA-256 of a file of the source, as it would be sent.
        read_target: That of the target's, by path.
        size_of: The bytes of a file of the source, as it would be sent.
        is_part: Whether what the target has is the beginning of a file of the source.
        sha256_of: The SHA-256 of a file of the source as it would be sent, where that is known.
    """

    owner: Owner
    mine: Mapping[str, ArtifactFile]
    theirs: Mapping[str, int]
    read_source: Callable[[ArtifactFile], str]
    read_target: Callable[[str], str]
    size_of: Callable[[ArtifactFile], int] = lambda file: file.size
    is_part: Callable[[ArtifactFile, int], bool] = lambda _file, _size: False
    sha256_of: Callable[[ArtifactFile], str | None] = lambda file: file.sha256

    @property
    def paths(self) -> list[str]:
        """Of all files."""
        return sorted(self.mine.keys() | self.theirs.keys())


@dataclass(frozen=True)
class FileChange:
    """A file that the target gets, or loses.

    Attributes:
        owner: Whose it is.
        path: Below the owner's root.
        there: What the target had when this was decided; `ABSENT` if it had none.
        file: The source's; None takes the target's away.
        content: What it will be.
    """

    owner: Owner
    path: str
    there: Digest
    file: ArtifactFile | None
    content: Digest


@dataclass
class FilePlanner:
    """Decides file by file, and knows what both sides have in the end.

    Attributes:
        base: What was last sent.
        wish: What is asked for.
        leaves_out: Whether what is in conflict is left out and named, and the rest goes on.
        full: Whether everything is read, and not only what seems to have changed.
        book: Where actions go.
        failures: What is raised where a file cannot be read.
        explain: What is said then: of an owner, a path, and the failure.
        by_size: Whether contents of one size are taken for the same where nothing else is known:
            where to look means to fetch.
        removes: Whether the target's files can be taken away.
        conflicts: What nobody but people can decide, where that refuses all: table, name, why.
        left_out: What could not be decided, or is left as it is.
        unsettled: Owners whose files are not the same on both sides afterwards.
    """

    base: Base
    book: ActionBook
    wish: Wish
    leaves_out: bool
    full: bool
    failures: tuple[type[Exception], ...]
    explain: Callable[[Owner, str, Exception], LeftOut]
    by_size: bool = False
    removes: bool = True
    conflicts: list[tuple[str, str, str]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    unsettled: set[Owner] = field(default_factory=set)
    _agreed: dict[Owner, dict[str, Sent]] = field(default_factory=lambda: defaultdict(dict))
    _older: dict[Owner, dict[int, Sent]] = field(default_factory=lambda: defaultdict(dict))
    _unknown: set[Owner] = field(default_factory=set)
    _staying: dict[Owner, set[str]] = field(default_factory=lambda: defaultdict(set))
    _lock: Lock = field(default_factory=Lock)

    def of_owner(self, sides: OwnerSides) -> list[FileChange]:
        """Plan what becomes of the files of an owner: those that the target gets, or loses."""
        owner = sides.owner
        with self._lock:
            known = files_sent(self.base, owner)
            self._agreed[owner] = {}
        found = []
        for path in sides.paths:
            try:
                change = self._of_file(sides, path, known)
            except self.failures as error:
                self._stay_unsettled(owner, path, (known or {}).get(FileSides.key(path)))
                if known is None:
                    self._unknown.add(owner)
                self._leave(self.explain(owner, path, error))
                continue
            if change is not None:
                found.append(change)
        return found

    # --- One file ---------------------------------------------------------------------------------

    def _of_file(
        self, sides: OwnerSides, path: str, known: Mapping[int, Sent] | None
    ) -> FileChange | None:
        owner, file, there = sides.owner, sides.mine.get(path), sides.theirs.get(path)
        size = None if file is None else sides.size_of(file)
        sent = None if known is None else known.get(FileSides.key(path))
        if (
            file is not None
            and size is not None
            and self._seems_same(file, size, there, known, sent)
        ):
            digest = sides.sha256_of(file)
            content = None if digest is None else content_of(digest)
            self._agree(owner, file, size, content if sent is None else sent.content)
            return None
        as_sent = None if file is None or size is None else replace(file, size=size)
        one = FileSides(
            path,
            as_sent,
            there,
            sent,
            known is not None,
            lambda: sides.read_source(file) if file is not None else "",
            lambda: sides.read_target(path),
        )
        if self.by_size and known is None and there is None and file is not None:
            return self._send(one, file, State.UNKNOWN, ABSENT, ABSENT, owner)
        state, outcome, source, target = one.outcome(self.wish)
        if state is State.SAME:
            if file is not None and size is not None:
                self._agree(owner, file, size, source)
            return None
        if file is None and outcome is Outcome.SEND and not self.removes:
            outcome = Outcome.KEEP
        is_part = state in _PERHAPS_CUT and file is not None and there is not None
        if is_part and there < (size or 0) and sides.is_part(file, there):  # type: ignore[operator, arg-type]
            outcome = Outcome.SEND
        if outcome is Outcome.SEND:
            return self._send(one, file, state, source, target, owner)
        self._stays(owner, one, outcome, state, source)
        return None

    def _seems_same(
        self,
        file: ArtifactFile,
        size: int,
        there: int | None,
        known: Mapping[int, Sent] | None,
        sent: Sent | None,
    ) -> bool:
        """Whether a file need not be read, as far as sizes and times of change say."""
        if not self.by_size or there is None:
            return False
        if known is None:
            return there == size
        return sent is not None and there == sent.size and not self._may_differ(file, sent, size)

    def _may_differ(self, file: ArtifactFile, sent: Sent, size: int) -> bool:
        """Whether the source's file may be another one than was sent."""
        mark = mark_of(file)
        if mark and sent.mark:
            return mark != sent.mark
        return size != sent.size or self.full

    # --- What comes of it -------------------------------------------------------------------------

    def _agree(self, owner: Owner, file: ArtifactFile, size: int, content: Digest | None) -> None:
        """Both sides have a file; where nobody read it, it is not remembered which."""
        with self._lock:
            if content is None:
                self._unknown.add(owner)
            else:
                self._agreed[owner][file.path] = Sent(mark_of(file), content, size)

    def _send(  # noqa: PLR0917 -- a file on all sides
        self,
        one: FileSides,
        file: ArtifactFile | None,
        state: State,
        source: Digest,
        target: Digest,
        owner: Owner,
    ) -> FileChange:
        why = "" if state in {State.SOURCE_CHANGED, State.UNKNOWN} else state.value
        self._tell(ActionKind.UPDATE, owner, one, why)
        if target != ABSENT or file is None:
            self._remember_older(owner, one)
        return FileChange(owner, one.path, target, file, source)

    def _stays(
        self, owner: Owner, one: FileSides, outcome: Outcome, state: State, source: Digest
    ) -> None:
        """The target keeps its own, or has none."""
        self._stay_unsettled(owner, one.path, one.sent)
        if state is State.UNKNOWN and outcome is Outcome.CONFLICT:
            self._unknown.add(owner)
        elif state is State.UNKNOWN and one.source is not None:
            # From now on it counts as edited at the target.
            self._agree(owner, one.source, one.source.size, source)
        why = state.value
        if one.source is None:
            is_gone = state is State.SOURCE_CHANGED
            why = _REMOVED[self.removes] if is_gone else "it is only in the target"
        if outcome is Outcome.KEEP:
            self._tell(ActionKind.KEEP, owner, one, why)
            return
        self._tell(ActionKind.CONFLICT, owner, one, why)
        if self.leaves_out:
            said = f"{why}; the target keeps its own"
            self._leave(LeftOut("artifact", owner[1], one.path, "conflict", said))
        else:
            with self._lock:
                name = f"{owner[1]}/{one.path}"
                self.conflicts.append((FILES, name, f"the file: {why}"))

    def _tell(self, kind: ActionKind, owner: Owner, one: FileSides, why: str) -> None:
        size = None if one.source is None else one.source.size
        change = Change(f"artifacts.{one.path}", one.size, size)
        self.book.add(Action(kind, FILE_OWNERS[owner[0]].table, owner[1], (change,), why))

    def _leave(self, item: LeftOut) -> None:
        with self._lock:
            self.left_out.append(item)

    def _stay_unsettled(self, owner: Owner, path: str, sent: Sent | None) -> None:
        with self._lock:
            self.unsettled.add(owner)
            self._staying[owner].add(path)
            if sent is not None:
                self._older[owner][FileSides.key(path)] = sent

    def _remember_older(self, owner: Owner, one: FileSides) -> None:
        with self._lock:
            if one.sent is not None:
                self._older[owner][FileSides.key(one.path)] = one.sent

    # --- What both sides have in the end ----------------------------------------------------------

    @property
    def owners(self) -> set[Owner]:
        """Owners whose files were looked at."""
        return set(self._agreed)

    def carried(self, owner: Owner, path: str, sent: Sent | None) -> None:
        """A change was carried out: what the target has now; None if it has none."""
        with self._lock:
            self._older[owner].pop(FileSides.key(path), None)
            if sent is not None:
                self._agreed[owner][path] = sent

    def failed(self, owner: Owner) -> None:
        """Something of an owner could not be looked at, or sent: it is looked at again."""
        with self._lock:
            self.unsettled.add(owner)
            if owner not in self._agreed or files_sent(self.base, owner) is None:
                self._unknown.add(owner)

    def without_files(self, owner: Owner) -> None:
        """An owner is new, and files that it has come by and by."""
        with self._lock:
            self._agreed[owner] = {}

    def staying(self, owner: Owner) -> set[str]:
        """Paths of files of which each side keeps its own."""
        return self._staying[owner]

    def has(self, owner: Owner, path: str) -> bool:
        """Whether both sides are known to have a file."""
        return path in self._agreed[owner]

    def remember(self, pending: Iterable[Owner] = ()) -> None:
        """Remember what both sides have now of the owners that were looked at.

        Args:
            pending: Owners of which something is not there yet. Like those of which not all is the
                same they are looked at again the next time.
        """
        open_ = set(self.base.noted(FILES)) - {group_of(owner) for owner in self._agreed}
        open_ |= {group_of(owner) for owner in {*self.unsettled, *pending}}
        self.base.note(FILES, dict.fromkeys(open_, ""))
        for owner, files in self._agreed.items():
            # Of what it is not known which side changed, nobody knows it the next time either.
            if owner not in self._unknown:
                keep_sent(self.base, owner, files.items(), self._older.get(owner, {}))
