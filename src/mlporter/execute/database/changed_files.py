"""Artifact files of what both sides have: those of runs that went on, and that somebody changed.

Only owners that changed, that are still at work, or of which nothing is remembered are looked at.
What is new goes with the transaction, as files of new owners do. What takes the place of another
file is written right after it: that cannot be taken back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.copying import hash_stream
from mlporter.artifacts.listing import files_of
from mlporter.artifacts.places import Written
from mlporter.artifacts.uris.ownership import Where
from mlporter.artifacts.uris.uri_text import local_path
from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue.file_owners import FILE_OWNERS
from mlporter.errors import LeftOut, MlporterError
from mlporter.execute.database.target_files import Bound
from mlporter.execute.files.artifact_files import SourceFileError, open_guarded
from mlporter.plan.policy import Conflict
from mlporter.plan.side_reader import unit_keys
from mlporter.plan.three_sides.file_plan import FileChange, FilePlanner, OwnerSides
from mlporter.plan.three_sides.files import FILES, Sent, SentRows, content_of, mark_of
from mlporter.plan.three_sides.sent import sent_files
from mlporter.plan.three_sides.sent.sent_files import Owner, group_of, owners_sent
from mlporter.plan.three_sides.sides import ABSENT
from mlporter.stores.protocols import Among, elsewhere
from mlporter.stores.rows.version_locations import locations_of, rows_of, version_owner_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlporter.artifacts.places import Changeable
    from mlporter.execute.database.prepared import Prepared
    from mlporter.execute.database.target_files import TargetFiles
    from mlporter.plan.policy import Policy
    from mlporter.plan.three_sides.actions import ActionBook
    from mlporter.plan.three_sides.sent.base import Base
    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["ChangedFiles", "SentFiles"]

_FAILURES = (SourceFileError, OSError, MlporterError)
_GOES_ON = ("logged_model", "run")
"""Whose files may go on once they were sent."""
_TRACE_TAGS = {"trace": "mlflow.artifactLocation", "trace_archive": "mlflow.trace.archiveLocation"}
"""Tags that say where files of a trace lie. They are looked at where the trace changed."""
_OTHER_SIZE = 2
"""The largest content that is none: see `mlporter.plan.three_sides.files.content_of`."""
_AT_ONCE = 2_000


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
    _files: SentRows = field(default_factory=SentRows)

    def note(self, file: ArtifactFile, written: Written) -> None:
        """A file that is there now."""
        owner = (file.owner_kind, file.owner_id)
        if owner != self._owner:
            self.flush()
            self._owner = owner
        content = content_of(written.sha256)
        self._files.add(file.path, Sent(mark_of(file), content, written.size))

    def flush(self) -> None:
        """No more files of the last owner come."""
        owner = self._owner
        if owner is not None and owner[0] in FILE_OWNERS and owner[1] not in self.failed:
            sent_files.keep_rows(self.base, owner, self._files, {})
        self._owner, self._files = None, SentRows()

    def without_files(self, work: Prepared) -> None:
        """Remember of new owners that had no files that they had none."""
        self.flush()
        for kind in _GOES_ON:
            for some in _chunks(work.new_owners(kind)):
                for key in sorted(set(some) - self.failed - owners_sent(self.base, kind, some)):
                    sent_files.keep_sent(self.base, (kind, key), (), {})


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    left = iter(keys)
    while some := list(islice(left, _AT_ONCE)):
        yield some


@dataclass
class ChangedFiles:
    """What becomes of files of owners that both sides have.

    Attributes:
        work: What is copied.
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
    replaces: list[FileChange] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    elsewhere: int = 0
    _roots: dict[Owner, str] = field(default_factory=dict)

    @property
    def source(self) -> Source:
        """All of the source, in the target's terms."""
        return self.work.whole

    @cached_property
    def planner(self) -> FilePlanner:
        """Decides file by file."""
        policy = self.policy
        return FilePlanner(
            self.base,
            self.book,
            policy.wish,
            policy.leaves_out,
            policy.is_full,
            _FAILURES,
            _unreadable,
        )

    # --- Which owners are looked at ---------------------------------------------------------------

    def plan(self) -> None:
        """Look at them, and decide file by file."""
        places = self._roots = {
            owner: uri for owner, uri in self._places().items() if self._may_write(owner, uri)
        }
        if not places:
            return
        unread: set[str] = set()

        def report(item: LeftOut) -> None:
            unread.add(item.id)
            self.left_out.append(item)

        def keep(kind: str, owner: str) -> bool:
            if kind not in FILE_OWNERS:
                return False
            return (kind, self._called(kind, owner)) in places

        without = dict(places)
        found = self.source.files(report, keep)
        for owner, files in groupby(found, lambda file: (file.owner_kind, file.owner_id)):
            mine = {file.path: file for file in files}
            root = without.pop(owner)
            if owner[1] not in unread:
                self._of_owner(owner, root, mine)
        for owner, root in without.items():
            if owner[1] not in unread:
                self._of_owner(owner, root, {})
        self.left_out += self.planner.left_out
        self.work.merge.conflicts += [Conflict(*one) for one in self.planner.conflicts]

    def _called(self, kind: str, owner: str) -> str:
        """What an owner is called in the target, by its own id or by the source's."""
        if kind == "model_version":
            return owner
        return self.work.merge.ids.of(FILE_OWNERS[kind].table).get(owner, owner)

    def _places(self) -> dict[Owner, str]:
        """Where the target has the files of owners that may have other ones now."""
        found: dict[Owner, str] = {}
        for kind in _GOES_ON:
            keys = self._that_went_on(kind)
            there = self.work.places_there(kind, frozenset(keys)) if keys else {}
            found |= {(kind, key): uri for key, uri in there.items()}
        return found | self._of_versions() | self._of_traces()

    def _that_went_on(self, kind: str) -> set[str]:
        owners = FILE_OWNERS[kind]
        both = self._both(owners.table)
        if self.policy.is_full:
            return both
        states = rows_of(self.work.origin, owners.table, (owners.key, owners.status))
        at_work = {self._called(kind, key) for key, state in states if state in owners.at_work}
        return both & (at_work | self._open(kind, both))

    def _of_versions(self) -> dict[Owner, str]:
        """Versions that have files of their own on both sides."""
        if "model_versions" not in {table.name for table in self.work.plan.tables}:
            return {}
        touched = {key.replace("\x1f", "/") for key in self._touched("model_versions")}
        both = {key.replace("\x1f", "/") for key in self._both("model_versions")}
        if not both:
            return {}
        mine, theirs = self._own(self.source), self._own(self.work.target)
        both &= mine.keys() & theirs.keys()
        looked_at = (
            both if self.policy.is_full else both & (touched | self._open("model_version", both))
        )
        return {("model_version", key): theirs[key] for key in looked_at}

    @staticmethod
    def _own(reader: Source | object) -> dict[str, str]:
        """Where versions have files of their own, by the ids of these owners."""
        return {
            version_owner_id(key): location.uri
            for key, location in locations_of(reader).items()  # type: ignore[arg-type]
            if location.where is Where.OWN and location.uri
        }

    def _of_traces(self) -> dict[Owner, str]:
        """Traces that changed, or all: their files come all at once, as a rule."""
        found: dict[Owner, str] = {}
        if "trace_info" not in {table.name for table in self.work.plan.tables}:
            return found
        touched = self._touched("trace_info")
        is_any = (
            self.policy.is_full or touched or any(key.startswith("trace") for key in self._noted)
        )
        both = self._both("trace_info") if is_any else set()
        for kind, tag in _TRACE_TAGS.items():
            noted = {key for key in both if group_of((kind, key)) in self._noted}
            some = both if self.policy.is_full else both & (touched | noted)
            for keys in _chunks(sorted(some)):
                among = Among("request_id", tuple(keys))
                columns = ("request_id", "key", "value")
                for batch in self.work.target.read("trace_tags", columns, among):
                    rows = python_rows(batch)
                    found |= {(kind, id_): uri for id_, key, uri in rows if key == tag and uri}
        return found

    def _both(self, table: str) -> set[str]:
        """What both sides have of a kind, by the target's keys."""
        merge = self.work.merge
        ids, skipped = merge.ids.of(table), merge.skipped.get(table)
        new = merge.new.get(table, frozenset())
        mine = {key: ids.get(key, key) for key in unit_keys(self.work.origin, table)}
        if table == "model_versions":
            mine = {key: self._version_there(key) for key in mine}
        return {
            there
            for here, there in mine.items()
            if there not in new and not (skipped is not None and skipped.has(here))
        }

    def _version_there(self, key: str) -> str:
        ids = self.work.merge.ids
        workspace, name, version = key.split("\x1f")
        return "\x1f".join((ids.workspace(workspace), ids.model(workspace, name), version))

    @cached_property
    def _noted(self) -> dict[str, str]:
        return self.base.noted(FILES)

    def _touched(self, table: str) -> set[str]:
        return {key for name, key in self.work.merge.touched if name == table}

    def _open(self, kind: str, both: set[str]) -> set[str]:
        """Those that changed, that were not settled, or of which nothing is remembered."""
        chunks = _chunks(sorted(both))
        known = {key for some in chunks for key in owners_sent(self.base, kind, some)}
        unsettled = {key for key in both if group_of((kind, key)) in self._noted}
        return self._touched(FILE_OWNERS[kind].table) | unsettled | (both - known)

    def _may_write(self, owner: Owner, uri: str) -> bool:
        """Whether files lie where the user said that they are to be: a row may name any place."""
        if _is_below(uri, self.files.root):
            return True
        if not owners_sent(self.base, owner[0], [owner[1]]):
            self.elsewhere += 1
        else:
            why = "its files lie in another place than --artifact-root, and are not looked at"
            self.left_out.append(LeftOut(*owner, "", "outside", f"{why}: {uri}"))
        return False

    # --- File by file -----------------------------------------------------------------------------

    def _of_owner(self, owner: Owner, root: str, mine: dict[str, ArtifactFile]) -> None:
        try:
            place = self.files.open(root)
            theirs = {file.path: file.size for file in files_of(place.list())}
        except MlporterError as error:
            self.left_out.append(LeftOut(*owner, "", "unreachable", str(error)))
            return
        sides = OwnerSides(owner, mine, theirs, self._hash_source, partial(_hash, place))
        for change in self.planner.of_owner(sides):
            if change.there == ABSENT and change.file is not None:
                self.sends.append((change.file, root))
            else:
                self.replaces.append(change)

    def _hash_source(self, file: ArtifactFile) -> str:
        if file.sha256 is not None:
            return file.sha256
        with open_guarded(self.source, file) as stream:
            return hash_stream(stream)[0]

    # --- Carrying it out --------------------------------------------------------------------------

    def note(self, file: ArtifactFile, written: Written) -> None:
        """A new file that is there now."""
        sent = Sent(mark_of(file), content_of(written.sha256), written.size)
        self.planner.carried((file.owner_kind, file.owner_id), file.path, sent)

    def remember(self) -> None:
        """Remember what both sides have now of the owners that were looked at."""
        sends = (((file.owner_kind, file.owner_id), file.path) for file, _ in self.sends)
        lacking = {owner for owner, path in sends if not self.planner.has(owner, path)}
        self.planner.remember(lacking | {change.owner for change in self.replaces})

    def replace(self, report: Callable[[LeftOut], None]) -> list[Written]:
        """Let files take the place of others, if these are still what they were: those that did."""
        done: list[Written] = []
        failed: list[FileChange] = []
        for one in self.replaces:
            try:
                written, why = self._replace(one)
            except _FAILURES as error:
                written, why = None, str(error)
            if why:
                failed.append(one)
                report(LeftOut("artifact", one.owner[1], one.path, "conflict", why))
                continue
            done += filter(None, [written])
            file = one.file
            sent = None if file is None else Sent(mark_of(file), one.content, file.size)
            self.planner.carried(one.owner, one.path, sent)
        self.replaces = failed
        return done

    def _replace(self, one: FileChange) -> tuple[Written | None, str]:
        """What took the place of a file, and why it is not as was planned, or ""."""
        place: Changeable = self.files.open(self._roots[one.owner])
        written = self._replaced_by_storage(one)
        if written is None and one.there > _OTHER_SIZE:
            sha256 = _hash(place, one.path)
            if one.file is not None and content_of(sha256) == one.content:
                written = Written(sha256, one.file.size, created=False)
            elif content_of(sha256) != one.there:
                return None, "it was edited at the target while this was running"
        if one.file is None:
            return None, "it could not be removed" if place.remove([one.path]) else ""
        if written is None:
            with open_guarded(self.source, one.file) as stream:
                written = place.replace(one.path, stream)
        if content_of(written.sha256) != one.content:
            return (
                written,
                "it changed while it was being read; the next run sees what is there now",
            )
        return written, ""

    def _replaced_by_storage(self, one: FileChange) -> Written | None:
        """What the storage copied itself, if the target's is what was planned with; else None."""
        file = one.file
        if file is None or one.there <= _OTHER_SIZE:
            return None
        return self.files.replace_by_storage(
            Bound(file, self._roots[one.owner]),
            partial(open_guarded, self.source, file),
            lambda: elsewhere(self.source, file),
            lambda sha256: content_of(sha256) == one.there,
        )


def _unreadable(owner: Owner, path: str, error: Exception) -> LeftOut:
    return LeftOut("artifact", owner[1], path, "unreadable", str(error))


def _hash(place: Changeable, path: str) -> str:
    with place.open(path) as stream:
        return hash_stream(stream)[0]


def _is_below(uri: str, root: str) -> bool:
    """Whether an artifact root is the target's, or in it."""
    path, base = local_path(uri, Path.cwd()), local_path(root, Path.cwd())
    if path is not None and base is not None:
        return path.resolve().is_relative_to(base.resolve())
    return ".." not in uri.split("/") and f"{uri.rstrip('/')}/".startswith(f"{root.rstrip('/')}/")
