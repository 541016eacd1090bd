"""What becomes of files that owners have on both sides, planned before anything is written."""

from __future__ import annotations

from functools import cached_property, partial
from itertools import groupby
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mlporter.catalogue.file_owners import FILE_OWNERS
from mlporter.errors import LeftOut, OutsideError
from mlporter.execute.files.artifact_files import SourceFileError
from mlporter.execute.server.shared.worker_pool import WorkerPool
from mlporter.plan.three_sides.file_plan import FilePlanner, OwnerSides
from mlporter.plan.three_sides.files import FILES
from mlporter.plan.three_sides.sent.sent_files import files_sent, group_of, owners_sent
from mlporter.stores.rest.answers import REFUSED, reason_of
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mlporter.execute.server.owner_files import OwnedFiles, ServerOwner
    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.plan.three_sides.file_plan import FileChange
    from mlporter.plan.three_sides.sent.memory import Memory
    from mlporter.plan.three_sides.sent.sent_files import Owner
    from mlporter.stores.protocols import ArtifactFile

__all__ = ["RENAMED", "PlannedFiles"]

RENAMED = "MLflow's proxy would write it under another name"
_AT_ONCE = 2_000


class PlannedFiles:
    """Plans files of runs, logged models, versions and traces that the server has already.

    Args:
        context: The import.
        owned: Finds their places.
        memory: What was last sent, and where actions go.

    Attributes:
        planner: Decides file by file.
        changes: What the server gets, by the kind of owner.
        there: How many files are there already, and their bytes.
    """

    def __init__(self, context: ServerContext, owned: OwnedFiles, memory: Memory) -> None:
        self._context = context
        self._owned = owned
        self._base = memory.base
        self.planner = FilePlanner(
            memory.base,
            memory.book,
            context.policy.wish,
            context.policy.leaves_out,
            context.policy.is_full,
            (SourceFileError, OutsideError, *REFUSED),
            _explained,
            by_size=True,
            removes=False,
        )
        self.changes: dict[str, list[tuple[ServerOwner, FileChange]]] = {}
        self.there: list[int] = []
        self._planned: set[Owner] = set()
        self._owners: dict[Owner, ServerOwner] = {}
        self._settled: frozenset[Owner] = frozenset()
        self._lock = Lock()

    def run(self, touched: Collection[tuple[str, str]]) -> None:
        """Plan them.

        Args:
            touched: What changes in the tables: table and key.
        """
        self._settled = self._find_settled(frozenset(touched))
        found = self._context.source.files(self._context.left_out.add, self._is_looked_at)
        with WorkerPool(self._context.workers) as pool:
            for key, files in groupby(found, lambda file: (file.owner_kind, file.owner_id)):
                pool.do(partial(self._of_owner, self._owners.pop(key), list(files)))
            for key, owner in sorted(self._owners.items()):
                if files_sent(self._base, key):  # the source has none of them any more
                    pool.do(partial(self._of_owner, owner, []))
            self._owners.clear()
        for item in self.planner.left_out:
            self._context.left_out.add(item)

    @property
    def are_settled(self) -> bool:
        """Whether no owner's files would be looked at again as long as no row changes."""
        settled = self._find_settled(frozenset())
        return not any(
            (kind, id_) not in settled and (kind != "model_version" or self._is_there(kind, id_))
            for kind, owners in FILE_OWNERS.items()
            if self._context.has(owners.table)
            for id_ in self._ids_of(kind)
        )

    def is_planned(self, kind: str, id_: str) -> bool:
        """Whether files of an owner are looked at here, or need no look."""
        return (kind, id_) in self._planned or (kind, id_) in self._settled

    def _is_looked_at(self, kind: str, id_: str) -> bool:
        if kind not in FILE_OWNERS or (kind, id_) in self._settled:
            return False
        owner = self._owned.owner(kind, id_) if self._is_there(kind, id_) else None
        if owner is None:
            return False
        self._planned.add((kind, id_))
        self._owners[kind, id_] = owner
        return True

    def _is_there(self, kind: str, id_: str) -> bool:
        """Whether the server has an owner already."""
        if kind == "model_version":
            return id_ in self._context.version_roots
        if FILE_OWNERS[kind].table == "trace_info":
            return id_ in self._traces
        return id_ in self._context.ids.of(FILE_OWNERS[kind].table)

    @cached_property
    def _traces(self) -> frozenset[str]:
        rows = rows_of(self._context.there, "trace_info", ("request_id",))
        return frozenset(trace for (trace,) in rows)

    # --- Which owners are looked at ---------------------------------------------------------------

    def _find_settled(self, touched: frozenset[tuple[str, str]]) -> frozenset[Owner]:
        """Owners whose files need no look, as nothing of theirs seems to change."""
        if not self._context.policy.is_quick or not self._base.is_known:
            return frozenset()
        noted = self._base.noted(FILES)
        found: set[Owner] = set()
        for kind, owners in FILE_OWNERS.items():
            if not self._context.has(owners.table):
                continue
            ids = list(self._at_rest(kind))
            for start in range(0, len(ids), _AT_ONCE):
                known = owners_sent(self._base, kind, ids[start : start + _AT_ONCE])
                found |= {
                    (kind, id_)
                    for id_ in known
                    if group_of((kind, id_)) not in noted
                    and (owners.table, _unit(kind, id_)) not in touched
                }
        return frozenset(found)

    def _at_rest(self, kind: str) -> Iterable[str]:
        """Owners that are not at work any more."""
        owners = FILE_OWNERS[kind]
        if not owners.status:
            return self._ids_of(kind)
        rows = rows_of(self._context.source, owners.table, (owners.key, owners.status))
        return (id_ for id_, status in rows if status not in owners.at_work)

    def _ids_of(self, kind: str) -> Iterable[str]:
        """All owners of a kind."""
        owners, source = FILE_OWNERS[kind], self._context.source
        if kind == "model_version":
            columns = ("workspace", "name", "version")
            rows = rows_of(source, owners.table, columns)
            return (f"{workspace or 'default'}/{name}/{number}" for workspace, name, number in rows)
        return (id_ for (id_,) in rows_of(source, owners.table, (owners.key,)))

    # --- File by file -----------------------------------------------------------------------------

    def _of_owner(self, owner: ServerOwner, files: list[ArtifactFile]) -> None:
        key = owner.key
        try:
            theirs = owner.there()
        except (OutsideError, *REFUSED) as error:
            for file in files:
                self._context.leave("artifact", key[1], file.path, _reason(error), error.message)
            self.planner.failed(key)
            return
        mine = {file.path: file for file in files}
        for path in [path for path in mine if owner.places.is_renamed(owner.root, path)]:
            self._context.leave("artifact", key[1], path, "refused", RENAMED)
            self.planner.failed(key)
            theirs = {name: size for name, size in theirs.items() if name != unquote(path)}
            del mine[path]
        owned = self._owned
        sides = OwnerSides(
            key,
            mine,
            theirs,
            owned.hash,
            owner.hash,
            owned.size,
            partial(owned.is_part, owner),
            owned.sha256,
        )
        self._take(owner, mine, self.planner.of_owner(sides))

    def _take(
        self, owner: ServerOwner, mine: Mapping[str, ArtifactFile], changes: list[FileChange]
    ) -> None:
        elsewhere = {change.path for change in changes} | self.planner.staying(owner.key)
        there = [self._owned.size(file) for path, file in mine.items() if path not in elsewhere]
        with self._lock:
            self.there += there
            self.changes.setdefault(owner.kind, []).extend((owner, one) for one in changes)


def _unit(kind: str, id_: str) -> str:
    """The key of an owner as a unit of a plan."""
    if kind != "model_version":
        return id_
    workspace, rest = id_.split("/", 1)
    return "\x1f".join((workspace, *rest.rsplit("/", 1)))


def _reason(error: Exception) -> str:
    return "outside" if isinstance(error, OutsideError) else reason_of(error)  # type: ignore[arg-type]


def _explained(owner: Owner, path: str, error: Exception) -> LeftOut:
    is_source = isinstance(error, SourceFileError)
    reason = "unreadable" if is_source else _reason(error)
    return LeftOut("artifact", owner[1], path, reason, getattr(error, "message", str(error)))
