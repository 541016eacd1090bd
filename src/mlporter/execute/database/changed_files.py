"""Artifact files of what both sides have: those of runs that went on, and that somebody changed.

Only owners that changed, that are still at work, or of which nothing is remembered are looked at.
What is new goes with the transaction, as files of new owners do. What takes the place of another
file is written right after it: that cannot be taken back.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.disk.copying import hash_stream
from mlporter.artifacts.uris.uri_text import local_path
from mlporter.errors import LeftOut, MlporterError
from mlporter.execute.artifact_files import SourceFileError, open_guarded
from mlporter.plan.policy import Conflict
from mlporter.plan.side_reader import unit_keys
from mlporter.plan.three_sides.actions import Action, ActionKind, Change
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
from mlporter.plan.three_sides.sides import ABSENT, Outcome, State
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.artifacts.places import Changeable, Written
    from mlporter.execute.database.prepare import Prepared
    from mlporter.execute.database.target_files import TargetFiles
    from mlporter.plan.policy import Policy
    from mlporter.plan.three_sides.actions import ActionBook
    from mlporter.plan.three_sides.base import Base
    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["ChangedFiles", "Replacing", "SentFiles"]

Owner = tuple[str, str]
"""The kind and the target's id of whose files they are."""

_KINDS = {"run": ("runs", "run_uuid"), "logged_model": ("logged_models", "model_id")}
"""Whose files may go on once they were sent."""
_AT_WORK: dict[str, frozenset[Any]] = {
    "run": frozenset({"RUNNING", "SCHEDULED"}),
    "logged_model": frozenset({0, 1}),
}
_AT_ONCE = 2_000


def _group(owner: Owner) -> str:
    return "\x1f".join(owner)


@dataclass(frozen=True)
class Replacing:
    """A file of the target that another one takes the place of, or none.

    Attributes:
        owner: Whose it is.
        root: Where the owner's files lie.
        path: Below it.
        there: What was there when this was decided.
        file: The source's; None removes the target's.
        content: What it will be.
    """

    owner: Owner
    root: str
    path: str
    there: int
    file: ArtifactFile | None
    content: int


@dataclass
class SentFiles:
    """Remembers files as they are sent: owner by owner, in the order they come.

    Attributes:
        base: Where to.
        failed: Ids of owners of which a file could not be read: they are looked at again.
    """

    base: Base
    failed: set[str] = field(default_factory=set)
    _owner: Owner | None = None
    _files: dict[str, Sent] = field(default_factory=dict)

    def note(self, file: ArtifactFile, written: Written) -> None:
        """A file that is there now."""
        owner = (file.owner_kind, file.owner_id)
        if owner != self._owner:
            self.flush()
            self._owner = owner
        content = content_of(written.sha256)
        self._files[file.path] = Sent(mark_of(file), content, written.size)

    def flush(self) -> None:
        """No more files of the last owner come."""
        owner = self._owner
        if owner is not None and owner[0] in _KINDS and owner[1] not in self.failed:
            self.base.put(FILES, COLUMNS, _group(owner), pack(self._files, {}))
        self._owner, self._files = None, {}

    def without_files(self, work: Prepared) -> None:
        """Remember of new owners that had no files that they had none."""
        self.flush()
        for kind, (table, _) in _KINDS.items():
            new = work.new_keys(table) - self.failed
            for some in _chunks(sorted(new)):
                names = [_group((kind, key)) for key in some]
                known = self.base.groups(FILES, names)
                for name in names:
                    if name not in known:
                        self.base.put(FILES, COLUMNS, name, b"")


def _chunks(keys: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]


@dataclass
class ChangedFiles:
    """What becomes of files of owners that both sides have.

    Attributes:
        work: What is carried.
        files: Opens places of the target.
        base: What was last sent.
        policy: What is asked for.
        book: Where actions go.
        sends: New files, with the place of their owner.
        replaces: Files that others take the place of.
        left_out: What could not be decided, or looked at.
        elsewhere: How many owners have their files in another place than the artifact root.
    """

    work: Prepared
    files: TargetFiles
    base: Base
    policy: Policy
    book: ActionBook
    sends: list[tuple[ArtifactFile, str]] = field(default_factory=list)
    replaces: list[Replacing] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    elsewhere: int = 0
    _agreed: dict[Owner, dict[str, Sent]] = field(default_factory=lambda: defaultdict(dict))
    _older: dict[Owner, dict[int, Sent]] = field(default_factory=lambda: defaultdict(dict))
    _unsettled: set[Owner] = field(default_factory=set)

    @property
    def source(self) -> Source:
        """All of the source, in the target's terms."""
        return self.work.whole

    # --- Which owners are looked at ---------------------------------------------------------------

    def plan(self) -> None:
        """Look at them, and decide file by file."""
        places = {
            owner: uri for owner, uri in self._places().items() if self._may_write(owner, uri)
        }
        if not places:
            return
        ids = self.work.merge.ids
        unread: set[str] = set()

        def report(item: LeftOut) -> None:
            unread.add(item.id)
            self.left_out.append(item)

        def keep(kind: str, owner: str) -> bool:
            if kind not in _KINDS:
                return False
            return (kind, ids.of(_KINDS[kind][0]).get(owner, owner)) in places

        mine: dict[Owner, dict[str, ArtifactFile]] = {owner: {} for owner in places}
        for file in self.source.files(report, keep):
            mine[file.owner_kind, file.owner_id][file.path] = file
        for owner, found in mine.items():
            if owner[1] not in unread:
                self._of_owner(owner, places[owner], found)

    def _places(self) -> dict[Owner, str]:
        """Where the target has the files of owners that may have other ones now."""
        found: dict[Owner, str] = {}
        for kind, (table, _) in _KINDS.items():
            keys = self._looked_at(kind, table)
            there = self.work.places_there(kind, frozenset(keys)) if keys else {}
            found |= {(kind, key): uri for key, uri in there.items()}
        return found

    def _looked_at(self, kind: str, table: str) -> set[str]:
        ids = self.work.merge.ids.of(table)
        skipped = self.work.merge.skipped.get(table)
        mine = {ids.get(key, key): key for key in unit_keys(self.work.origin, table)}
        new = self.work.merge.new.get(table, frozenset())
        both = {
            there
            for there, here in mine.items()
            if there not in new and not (skipped is not None and skipped.has(here))
        }
        step = self.policy.step
        if step is not None and step.full:
            return both
        known = {key for some in _chunks(sorted(both)) for key in self._known(kind, some)}
        states = rows_of(self.work.origin, table, (_KINDS[kind][1], "status"))
        at_work = {ids.get(key, key) for key, status in states if status in _AT_WORK[kind]}
        touched = {key for name, key in self.work.merge.touched if name == table}
        noted = self.base.noted(FILES)
        unsettled = {key for key in both if _group((kind, key)) in noted}
        return both & (touched | at_work | unsettled | (both - known))

    def _known(self, kind: str, keys: list[str]) -> list[str]:
        groups = self.base.groups(FILES, [_group((kind, key)) for key in keys])
        return [key for key in keys if _group((kind, key)) in groups]

    def _may_write(self, owner: Owner, uri: str) -> bool:
        """Whether files lie where the user said that they are to be: a row may name any place."""
        if _is_below(uri, self.files.root):
            return True
        if not self.base.groups(FILES, [_group(owner)]):
            self.elsewhere += 1
        else:
            why = "its files lie in another place than --artifact-root, and are not looked at"
            self.left_out.append(LeftOut(*owner, "", "outside", f"{why}: {uri}"))
        return False

    # --- File by file -----------------------------------------------------------------------------

    def _of_owner(self, owner: Owner, root: str, mine: dict[str, ArtifactFile]) -> None:
        try:
            place = self.files.open(root)
            theirs = {file.path: file.size for file in place.list().files}
        except MlporterError as error:
            self.left_out.append(LeftOut(*owner, "", "unreachable", str(error)))
            return
        group = self.base.groups(FILES, [_group(owner)]).get(_group(owner))
        known = {} if group is None else unpack(group)
        self._agreed[owner] = {}
        for path in sorted({*mine, *theirs}):
            sides = FileSides(
                path,
                mine.get(path),
                theirs.get(path),
                known.get(FileSides.key(path)),
                group is not None,
                lambda path=path: self._hash_source(mine[path]),  # type: ignore[misc]
                lambda path=path: _hash(place, path),  # type: ignore[misc]
            )
            try:
                self._decide(owner, root, sides)
            except (SourceFileError, OSError, MlporterError) as error:
                self._remember_older(owner, sides)
                self._unsettled.add(owner)
                self.left_out.append(LeftOut("artifact", owner[1], path, "unreadable", str(error)))

    def _hash_source(self, file: ArtifactFile) -> str:
        if file.sha256 is not None:
            return file.sha256
        with open_guarded(self.source, file) as stream:
            return hash_stream(stream)[0]

    def _decide(self, owner: Owner, root: str, sides: FileSides) -> None:
        state, outcome, source, target = sides.outcome(self.policy.wish)
        file = sides.source
        if state is State.SAME and file is not None:
            self._agreed[owner][sides.path] = Sent(mark_of(file), source, file.size)
            return
        change = (
            Change(f"artifacts.{sides.path}", sides.size, None if file is None else file.size),
        )
        unit = _KINDS[owner[0]][0]
        if outcome is not Outcome.SEND:
            self._stays(owner, sides, outcome, change, state)
            return
        why = "" if state in {State.SOURCE_CHANGED, State.UNKNOWN} else state.value
        self.book.add(Action(ActionKind.UPDATE, unit, owner[1], change, why))
        if target == ABSENT and file is not None:
            self.sends.append((file, root))
        else:
            self._remember_older(owner, sides)
            self.replaces.append(Replacing(owner, root, sides.path, target, file, source))

    def _stays(
        self,
        owner: Owner,
        sides: FileSides,
        outcome: Outcome,
        change: tuple[Change, ...],
        state: State,
    ) -> None:
        self._remember_older(owner, sides)
        self._unsettled.add(owner)
        why = state.value
        if sides.source is None and state is State.SOURCE_CHANGED:
            why = "the source has it no more; --delete removes it"
        elif sides.source is None:
            why = "only the target has it"
        kind = ActionKind.CONFLICT if outcome is Outcome.CONFLICT else ActionKind.KEEP
        self.book.add(Action(kind, _KINDS[owner[0]][0], owner[1], change, why))
        if outcome is not Outcome.CONFLICT:
            return
        if self.policy.step is None:
            name = f"{owner[1]}/{sides.path}"
            self.work.merge.conflicts.append(Conflict(FILES, name, f"the file: {why}"))
        else:
            said = f"{why}; the target keeps its own"
            self.left_out.append(LeftOut("artifact", owner[1], sides.path, "conflict", said))

    def _remember_older(self, owner: Owner, sides: FileSides) -> None:
        if sides.sent is not None:
            self._older[owner][FileSides.key(sides.path)] = sides.sent

    # --- Carrying it out --------------------------------------------------------------------------

    def note(self, file: ArtifactFile, written: Written) -> None:
        """A new file that is there now."""
        sent = Sent(mark_of(file), content_of(written.sha256), written.size)
        self._agreed[file.owner_kind, file.owner_id][file.path] = sent

    def remember(self) -> None:
        """Remember what both sides have now of the owners that were looked at.

        Those of which not all is the same are looked at again the next time.
        """
        sends = [(file.owner_kind, file.owner_id) for file, _ in self.sends if self._lacks(file)]
        open_ = set(self.base.noted(FILES)) - {_group(owner) for owner in self._agreed}
        open_ |= {_group(owner) for owner in self._unsettled | {one.owner for one in self.replaces}}
        open_ |= set(map(_group, sends))
        self.base.note(FILES, dict.fromkeys(open_, ""))
        for owner, files in self._agreed.items():
            older = self._older.get(owner, {})
            self.base.put(FILES, COLUMNS, _group(owner), pack(files, older))

    def _lacks(self, file: ArtifactFile) -> bool:
        """Whether a file that was to be sent could not be read."""
        return file.path not in self._agreed[file.owner_kind, file.owner_id]

    def replace(self, report: Callable[[LeftOut], None]) -> int:
        """Let files take the place of others, if these are still what they were; how many did."""
        done, failed = 0, list[Replacing]()
        for one in self.replaces:
            try:
                why = self._replace(one)
            except (SourceFileError, OSError, MlporterError) as error:
                why = str(error)
            if why:
                failed.append(one)
                report(LeftOut("artifact", one.owner[1], one.path, "conflict", why))
                continue
            done += one.file is not None
            self._older[one.owner].pop(FileSides.key(one.path), None)
            if one.file is not None:
                sent = Sent(mark_of(one.file), one.content, one.file.size)
                self._agreed[one.owner][one.path] = sent
        self.replaces = failed
        return done

    def _replace(self, one: Replacing) -> str:
        place: Changeable = self.files.open(one.root)
        if content_of(_hash(place, one.path)) != one.there and one.there > 2:  # noqa: PLR2004
            return "somebody changed it at the target while this was at work"
        if one.file is None:
            return "it could not be removed" if place.remove([one.path]) else ""
        with open_guarded(self.source, one.file) as stream:
            written = place.replace(one.path, stream)
        if content_of(written.sha256) != one.content:
            return "it changed while it was read; what is there now is told the next time"
        return ""


def _hash(place: Changeable, path: str) -> str:
    with place.open(path) as stream:
        return hash_stream(stream)[0]


def _is_below(uri: str, root: str) -> bool:
    """Whether an artifact root is the target's, or in it."""
    path, base = local_path(uri, Path.cwd()), local_path(root, Path.cwd())
    if path is not None and base is not None:
        return path.resolve().is_relative_to(base.resolve())
    return ".." not in uri.split("/") and f"{uri.rstrip('/')}/".startswith(f"{root.rstrip('/')}/")
