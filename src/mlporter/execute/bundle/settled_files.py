"""Files of a server that need not be asked for again: of whoever had ended, and looks as it did.

A server tells nowhere when a file was logged: to know, each owner's folder is listed by a request.
Of an owner that had ended before an earlier snapshot was begun, that looks the same as in it, and
of which nothing was left out there, the list of files and their contents are taken from that
snapshot. What is overlooked so is a file that was added later, replaced or removed, without any
other change of the owner: so it is said for how many owners this was done.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from heapq import merge
from typing import TYPE_CHECKING, Any

from mlporter.bundle.tables.layers import owner_columns
from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue.file_owners import FILE_OWNERS
from mlporter.catalogue.tables.own import ARTIFACTS, FILE_STAMPS, LEFT_OUT, POINT_MARKS
from mlporter.execute.bundle.changes import changed_owners
from mlporter.stores.protocols import ArtifactFile
from mlporter.stores.rows.version_locations import rows_of, version_owner_id
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.bundle.upon_earlier import Earlier
    from mlporter.catalogue.file_owners import FileOwners
    from mlporter.catalogue.types import Table
    from mlporter.stores.protocols import Source
    from mlporter.stores.rows.spool import RowSpool

__all__ = ["MARGIN", "SettledFiles", "settled_files"]

MARGIN = 3_600_000
"""Milliseconds before an earlier snapshot in which an owner may have ended late by another clock,
or may still have got its last files."""

_TAGS = {
    "logged_models": "logged_model_tags",
    "model_versions": "model_version_tags",
    "trace_info": "trace_tags",
}
"""The table whose rows show, beside an owner's own row, that something about it changed."""

_SPANS = "mlflow.trace.spansLocation"
_IN_DATABASE = "TRACKING_STORE"

_NAMES = {
    "run": "run",
    "logged_model": "logged model",
    "model_version": "model version",
    "trace": "trace",
    "trace_archive": "archived trace",
}


class SettledFiles:
    """The files of owners that are as in an earlier snapshot, as far as anything shows.

    Attributes:
        owners: Their ids by kind.
    """

    def __init__(self, earlier: Earlier, owners: dict[str, set[str]]) -> None:
        self._earlier = earlier
        self.owners = owners
        self._not_listed: Counter[str] = Counter()

    def is_settled(self, kind: str, owner: str) -> bool:
        """Whether an owner's files are taken from the earlier snapshot."""
        return owner in self.owners.get(kind, ())

    def is_asked_for(self, kind: str, owner: str) -> bool:
        """Whether an owner's files are listed: a `mlporter.stores.protocols.Keep`."""
        is_settled = self.is_settled(kind, owner)
        self._not_listed[kind] += is_settled
        return not is_settled

    @property
    def not_listed(self) -> int:
        """Owners whose files would have been listed."""
        return self._not_listed.total()

    def together_with(self, listed: Iterable[ArtifactFile]) -> Iterator[ArtifactFile]:
        """All files in order: those that were listed, and those of the earlier snapshot."""
        return merge(listed, self._files(), key=_order)

    def _files(self) -> Iterator[ArtifactFile]:
        stamps = _rows(self._earlier, FILE_STAMPS)
        stamp = next(stamps, None)
        for kind, owner, path, size, sha256 in _rows(self._earlier, ARTIFACTS):
            if not self.is_settled(kind, owner):
                continue
            key = _key(kind, owner, path)
            while stamp is not None and _key(*stamp[:3]) < key:
                stamp = next(stamps, None)
            known = stamp[3] if stamp is not None and _key(*stamp[:3]) == key else ""
            yield ArtifactFile(kind, owner, path, size, sha256, stamp=known)

    @property
    def note(self) -> str | None:
        """What people read of it, once all files were asked for."""
        counts = {name: self._not_listed[kind] for kind, name in _NAMES.items()}
        named = [plural(count, name) for name, count in counts.items() if count]
        if not named:
            return None
        return (
            f"Files of {', '.join(named)} were not listed again: they had ended before the last "
            "snapshot and look as they did. What was added, replaced or removed there since, with "
            "nothing else changed, is not in this snapshot; --full or --reread looks at all."
        )


def settled_files(source: Source, earlier: Earlier, marks: RowSpool | None) -> SettledFiles:
    """Find the owners whose files are taken from an earlier snapshot.

    Args:
        source: The server.
        earlier: The snapshot, of the same server.
        marks: How runs look now, as rows of ``point_marks``.
    """
    sides = _Sides(source, earlier, marks)
    found: dict[str, set[str]] = {}
    for kind, owners in FILE_OWNERS.items():
        table = next((table for table in source.tables if table.name == owners.table), None)
        if table is not None:
            found[kind] = sides.unchanged(table, _at_rest(source, table, owners, earlier.began))
    _drop_lacking(found, earlier, _without_spans(source, found))
    return SettledFiles(earlier, {kind: ids for kind, ids in found.items() if ids})


def _at_rest(source: Source, table: Table, owners: FileOwners, began: int) -> set[str]:
    """Owners that had ended some time before."""
    key = (owners.key,) if owners.key else table.key
    status = (owners.status,) if owners.status else ()
    found: set[str] = set()
    for row in rows_of(source, table.name, (*key, *status, *owners.ended)):
        times = row[len(key) + len(status) :]
        if None in row or sum(times) >= began - MARGIN:
            continue
        if not status or row[len(key)] not in owners.at_work:
            found.add(version_owner_id(row[:3]) if len(key) > 1 else row[0])
    return found


@dataclass(frozen=True)
class _Sides:
    """A server as it is now, and an earlier snapshot of it."""

    source: Source
    earlier: Earlier
    marks: RowSpool | None

    def unchanged(self, table: Table, owners: set[str]) -> set[str]:
        """Those of some owners that look as they did; none, if nobody can tell."""
        changed = self._changed_runs() if table.name == "runs" else self._changed(table)
        if changed is None:
            return set()
        if len(owner_columns(table)) == 1:
            return owners - changed
        models = {name.replace("\0", "/", 1) for name in changed}  # all versions of each
        return {owner for owner in owners if owner.rpartition("/")[0] not in models}

    def _changed_runs(self) -> set[str] | None:
        if self.marks is None or POINT_MARKS.name not in self.earlier.entries:
            return None
        then = self.earlier.tables.read(POINT_MARKS)
        return changed_owners(self.marks.read(), then, POINT_MARKS.key)

    def _changed(self, owned: Table) -> set[str] | None:
        names = {owned.name, _TAGS[owned.name]}
        changed: set[str] = set()
        for table in (table for table in self.source.tables if table.name in names):
            entry = self.earlier.entries.get(table.name)
            if entry is None or entry.table(table.name).schema != table.schema:
                return None
            then = self.earlier.tables.read(table)
            found = changed_owners(self.source.read(table.name), then, owner_columns(owned))
            if found is None:
                return None
            changed |= found
        return changed


def _without_spans(source: Source, found: dict[str, set[str]]) -> set[str]:
    """Traces that have a file, or will have: their spans are not in the database."""
    traces = found.get("trace", set())
    if not traces:
        return set()
    rows = rows_of(source, "trace_tags", ("request_id", "key", "value"))
    return traces - {trace for trace, *tag in rows if tag == [_SPANS, _IN_DATABASE]}


def _drop_lacking(found: dict[str, set[str]], earlier: Earlier, expected: set[str]) -> None:
    """Leave out whose files the earlier snapshot has not, or not all.

    Args:
        found: The owners.
        earlier: The snapshot.
        expected: Traces that are to have a file.
    """
    for kind, owner, *_ in _rows(earlier, LEFT_OUT):
        for whose in found if kind == "artifact" else (kind,):
            found.get(whose, set()).discard(owner)
    for kind, owner, _, size, sha256 in _rows(earlier, ARTIFACTS):
        if kind == "trace":
            expected.discard(owner)
        if owner in found.get(kind, ()) and not earlier.has_content(sha256, size):
            found[kind].discard(owner)
    if "trace" in found:
        found["trace"] -= expected


def _rows(earlier: Earlier, table: Table) -> Iterator[tuple[Any, ...]]:
    if table.name in earlier.entries:
        for batch in earlier.tables.read(table):
            yield from python_rows(batch)


def _order(file: ArtifactFile) -> tuple[bytes, ...]:
    return _key(file.owner_kind, file.owner_id, file.path)


def _key(*names: str) -> tuple[bytes, ...]:
    return tuple(name.encode() for name in names)
