"""`relocate`: the files of a database have moved, and its URIs follow."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.uris.uri_text import UriMap, local_path
from mlporter.catalogue.tables.own import skill_owner_id
from mlporter.errors import ExitCode, ReadBackError, RefusedError, UnsupportedError, UsageError
from mlporter.execute.database.rewrite import Remap
from mlporter.notebooks import Shown
from mlporter.plan.misfits import MAX_REASONS, Demands, misfits
from mlporter.progress import OnProgress, Phases, silent
from mlporter.redaction import redact
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.addresses.locating import locate
from mlporter.stores.database.source import DatabaseSource
from mlporter.stores.database.target import DatabaseTarget, open_database_target
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut
    from mlporter.stores.addresses.address import Address, Place

__all__ = ["Relocated", "relocate"]

_DATABASES = (AddressKind.SQLITE, AddressKind.POSTGRESQL, AddressKind.MYSQL)
_SHOWN = 1000
_DEAD = 3
"""After so many places that cannot be reached, no more old ones are asked."""


_READING = "reading URIs"
_LOOKING = "looking for files"
_WRITING = "writing"


@dataclass(frozen=True, slots=True)
class Change:
    """A place that is written otherwise: the row by its key, the column, old and new, redacted."""

    table: str
    key: tuple[str, ...]
    column: str
    old: str
    new: str


@dataclass(frozen=True)
class Relocated(Shown):
    """What `relocate` changed, or would.

    Attributes:
        address: The database, redacted.
        changed: How many values.
        tables: Of which how many in each table.
        first: The first of them.
        dry_run: Whether nothing was written.
        looked: Whether the files were looked for in their new places.
        missing: Of a dry run: the owners whose files are not there. It would be refused.
        misfits: Of a dry run: values too long for the database. Likewise.
    """

    address: str
    changed: int
    tables: dict[str, int]
    first: tuple[Change, ...]
    dry_run: bool
    looked: bool
    missing: tuple[str, ...] = ()
    misfits: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """4 if it would be refused."""
        return ExitCode.REFUSED if self.missing or self.misfits else ExitCode.OK

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {**asdict(self), "exit_code": int(self.exit_code)}


def relocate(
    database: Place,
    uri_map: Sequence[str],
    *,
    dry_run: bool = False,
    check: bool = True,
    workers: int = 4,
    source_env: str | None = None,
    on_progress: OnProgress = silent,
) -> Relocated:
    """Rewrite the artifact URIs of a database to where the files are now, in one transaction.

    No file is touched. Memory grows with the number of URIs that change.

    Args:
        database: Its address.
        uri_map: ``FROM=TO`` pairs; the longest FROM that a URI lies in wins.
        dry_run: Show what would change, and write nothing.
        check: Look for the files in their new places first.
        workers: How many places are looked at at a time.
        source_env: What the names of the database's own variables begin with, such as ``DEV_``.
        on_progress: Called with how far it is.

    Raises:
        UsageError: no pair was given, or it is no database.
        RefusedError: files are missing in the new place, a URI is too long, or the schema is
            another release's; nothing was written.
        UnreachableError: the database cannot be reached; nothing was written.
    """
    place = locate(database, source_env)
    if place.kind not in _DATABASES:
        raise UnsupportedError(
            "is not a database, and only a database's URIs can be changed in place",
            subject=str(place),
            hint="name it as sqlite:///name.db, postgresql://user@host/name or mysql://…",
        )
    pairs = UriMap.parse(uri_map)
    if not pairs.pairs:
        raise UsageError("say what was moved where", hint="--map-uri OLD=NEW")
    looking, writing = [_LOOKING] if check else [], [] if dry_run else [_WRITING]
    phases = Phases(on_progress, (_READING, *looking, *writing))
    phases.begin(_READING)
    source = DatabaseSource(place, uri_map=tuple(uri_map), workers=workers, older=False)
    try:
        revision = source.description.revision
        changes = list(_changes(source, pairs))
        long = _misfits(source, pairs) if place.kind is not AddressKind.SQLITE else ()
        if check:
            phases.begin(_LOOKING)
        missing = _missing(source, place, changes, on_progress) if check else ()
    finally:
        source.close()
    result = _result(place, changes, dry_run=dry_run, looked=check)
    if dry_run:
        return Relocated(**{**_fields(result), "missing": missing, "misfits": long})
    if missing or long:
        raise RefusedError(
            "files are not where the new URIs would say, or a URI is too long",
            subject=str(place),
            hint="copy the files first, correct --map-uri, or skip this check with --no-check",
            reasons=_first(missing + long),
        )
    if changes:
        phases.begin(_WRITING)
        _write(place, revision, pairs, changes)
    return result


def _fields(result: Relocated) -> dict[str, Any]:
    return {name: getattr(result, name) for name in Relocated.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class _Change:
    table: Table
    key: tuple[object, ...]
    column: str
    old: str
    new: str

    @property
    def shown(self) -> Change:
        key = tuple(str(part) for part in self.key)
        return Change(self.table.name, key, self.column, redact(self.old), redact(self.new))


def _changes(source: DatabaseSource | DatabaseTarget, pairs: UriMap) -> Iterator[_Change]:
    remap = Remap(pairs)
    for table in source.tables:
        columns = [p.column for p in table.places if p.column in table.by_name]
        if not columns:
            continue
        wheres = [p.where[0] for p in table.places if p.where]
        names = tuple(dict.fromkeys((*table.key, *columns, *wheres)))
        for batch in source.read(table.name, names):
            [new] = remap.apply(table, iter([batch]))
            if new is batch:
                continue
            for before, after in zip(batch.to_pylist(), new.to_pylist(), strict=True):
                key = tuple(before[name] for name in table.key)
                for column in dict.fromkeys(columns):
                    if before[column] != after[column]:
                        yield _Change(table, key, column, before[column], after[column])


def _misfits(source: DatabaseSource, pairs: UriMap) -> tuple[str, ...]:
    remap = Remap(pairs)
    reasons: list[str] = []
    for table in source.tables:
        if table.places:
            demands = Demands.of(table, strict=True)
            reasons += misfits(table, remap.apply(table, source.read(table.name)), demands)
    return tuple(reasons)


_OWNERS = {
    "runs": "run",
    "logged_models": "logged_model",
    "trace_tags": "trace",
    "model_versions": "model_version",
    "skill_versions": "skill_version",
}


_OF_VERSIONS = frozenset({"model_version", "skill_version"})
"""What may have its files in the place of something else."""


def _missing(
    source: DatabaseSource, place: Address, changes: list[_Change], on_progress: OnProgress
) -> tuple[str, ...]:
    """What has no files in its new place, and should: `source` looks where the pairs say.

    A run may have no files; one that has some in its old place was left behind.
    """
    base = place.path.absolute().parent if place.path else None
    olds = {_owner(c): c.old for c in changes if c.table.name in _OWNERS}
    found: dict[tuple[str, str], str] = {}
    seen: set[tuple[str, str]] = set()

    def report(item: LeftOut) -> None:
        if not item.expected:
            found[item.kind, item.id] = f"{item.kind} {item.id}: {item.detail or item.reason}"

    files = source.files(report, lambda kind, owner: (kind, owner) in olds)
    for count, file in enumerate(files, 1):
        seen.add((file.owner_kind, file.owner_id))
        on_progress("looking for artifacts", count, None, "files")
    away = {}
    for (kind, owner), old in olds.items():
        if (kind, owner) in seen or kind in _OF_VERSIONS:
            continue
        if local_path(old, base) is None:
            away[kind, owner] = old
        elif left := _left_behind(old, base):
            found.setdefault((kind, owner), f"{kind} {owner}: {left}")
    for (kind, owner), old in _left_in_stores(place, away).items():
        found.setdefault((kind, owner), f"{kind} {owner}: its files are still at {redact(old)}")
    return tuple(found.values())


def _first(reasons: tuple[str, ...]) -> tuple[str, ...]:
    more = len(reasons) - MAX_REASONS
    return (*reasons[:MAX_REASONS], *((f"and {more} more",) if more > 0 else ()))


def _left_in_stores(place: Address, olds: dict[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """Which owners have files in their old places, in object stores and behind servers.

    A place that cannot be reached may be gone for good: after some of these, no more are asked.
    """
    if not olds:
        return {}
    gone = 0
    found: dict[tuple[str, str], str] = {}

    def report(item: LeftOut) -> None:
        nonlocal gone
        gone += item.reason == "unreachable"

    source = DatabaseSource(place, workers=1, older=False)
    try:
        wanted = source.files(report, lambda *owner: owner in olds and gone < _DEAD)
        for file in wanted:
            owner = file.owner_kind, file.owner_id
            found[owner] = olds[owner]
    finally:
        source.close()
    return found


def _left_behind(uri: str, base: Path | None) -> str:
    """What keeps an owner from being said to have no files: those in its old place, or ""."""
    path = local_path(uri, base)
    try:
        with os.scandir(path or "") as entries:
            return f"its files are still at {redact(uri)}" if any(True for _ in entries) else ""
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return f"nobody can say whether files are still at {redact(uri)}: {error.strerror}"


def _owner(change: _Change) -> tuple[str, str]:
    kind = _OWNERS[change.table.name]
    if change.table.name == "trace_tags":
        kind = kind if "mlflow.artifactLocation" in change.key else "trace_archive"
        return kind, str(change.key[0])
    if kind == "skill_version":
        workspace, organization, name, version = change.key
        return kind, skill_owner_id(str(workspace), str(organization), str(name), version)
    return kind, "/".join(str(part) for part in change.key)


def _write(place: Address, revision: str, pairs: UriMap, planned: list[_Change]) -> None:
    target = open_database_target(place, revision)
    try:
        # Read anew: now nobody else can change what is read.
        changes = list(_changes(target, pairs))
        _check_same(changes, planned, place)
        for change in changes:
            target.update(change.table, change.key, ((change.column, change.new),))
        _check(target, changes, place)
        target.commit()
    except BaseException:
        target.rollback()
        raise
    source = DatabaseSource(place, older=False)
    try:
        _check(source, changes, place, hint=_COMMITTED)
    finally:
        source.close()


_COMMITTED = (
    "the new URIs were written; somebody else may have changed them since: "
    "`mlporter show` lists them"
)


def _check_same(changes: list[_Change], planned: list[_Change], place: Address) -> None:
    if changes != planned:
        raise RefusedError(
            "was changed while its files were being checked",
            subject=str(place),
            hint="nothing was written; run it again",
        )


def _check(
    source: DatabaseSource | DatabaseTarget,
    changes: list[_Change],
    place: Address,
    hint: str = "nothing was kept: the URIs are as they were",
) -> None:
    """Read back what was changed."""
    expected = {(c.table.name, c.key, c.column): c.new for c in changes}
    for table in {c.table.name: c.table for c in changes}.values():
        columns = tuple(dict.fromkeys(c.column for c in changes if c.table is table))
        for batch in source.read(table.name, (*table.key, *columns)):
            for row in batch.to_pylist():
                key = tuple(row[name] for name in table.key)
                for column in columns:
                    if expected.pop((table.name, key, column), row[column]) != row[column]:
                        subject = f"{place} table {table.name} {key}"
                        raise ReadBackError("reads back otherwise", subject=subject, hint=hint)
    if expected:
        what = f"{plural(len(expected), 'changed value')} cannot be read back"
        raise ReadBackError(what, subject=str(place), hint=hint)


def _result(place: Address, changes: list[_Change], *, dry_run: bool, looked: bool) -> Relocated:
    tables: dict[str, int] = {}
    for change in changes:
        tables[change.table.name] = tables.get(change.table.name, 0) + 1
    first = tuple(change.shown for change in changes[:_SHOWN])
    return Relocated(str(place), len(changes), tables, first, dry_run, looked)
