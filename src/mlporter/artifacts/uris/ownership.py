"""Whose files a URI names: a run's, a logged model's, or nobody's.

A model version points at files by `storage_location` or `source`, and they mostly lie inside a
run's or a logged model's artifact root. Then the version owns no files of its own, and its URI
is rewritten when its owner's root is. This module finds the owner while the roots stream by:
memory grows with the URIs asked for, not with the runs in the registry.

How MLflow resolves a version: `get_model_version_download_uri` is `storage_location or source`;
`models:/m-…` is the logged model's artifact location; `models:/name/2` is that version's download
URI; `runs:/<id>/path` is the path below the run's artifact URI.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from mlporter.artifacts.uris.uri_text import Canonical, canonical, scheme_of, uri_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = [
    "FileOwner",
    "Location",
    "Root",
    "VersionKey",
    "VersionRow",
    "Where",
    "find_file_owners",
    "locate_versions",
]

Root = tuple[str, str, str]
"""Owner kind (``run``, ``logged_model``, …), owner id, artifact root URI."""
VersionKey = tuple[str, str, int]
"""Workspace, registered model name, version."""

PLACEHOLDER_SOURCES = ("dummy-source", "prompt-template")
"""What MLflow writes as source of a version that has no files (prompts, skipped numbers)."""
REDACTED_SOURCE = "REDACTED-SOURCE-PATH"
DELETED_STAGE = "Deleted_Internal"
_MODEL_ID = re.compile(r"m-[0-9A-Za-z]+$")
_PLAIN = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:(?://[A-Za-z0-9._-]*)?)?((?:/[A-Za-z0-9_][A-Za-z0-9._-]*){2,})"
)
"""A root with nothing in it that is spelt in more than one way: its path ends as it does. There
are many roots, and taking each of them apart takes long."""
MAX_HOPS = 32
"""How many copies of copies (`models:/name/version`) are followed."""


@dataclass(frozen=True, slots=True)
class FileOwner:
    """The owner in whose artifact root a URI lies, and the path below that root ("" for itself)."""

    owner_kind: str
    owner_id: str
    rest: str


@dataclass(frozen=True, slots=True)
class VersionRow:
    """What of a model version says where its files are. `stage` is `current_stage`."""

    workspace: str
    name: str
    version: int
    source: str | None
    storage_location: str | None
    run_id: str | None = None
    is_prompt: bool = False
    stage: str | None = None

    @property
    def key(self) -> VersionKey:
        """Workspace, name, version."""
        return (self.workspace, self.name, self.version)


class Where(str, Enum):
    """Where a model version's files lie."""

    ANCHORED = "anchored"
    """Inside the root of a run or a logged model, whose files they are."""
    OWN = "own"
    """Elsewhere: they are the version's own (owner kind ``model_version``)."""
    NONE = "none"
    """It has no files, or names something that is not there; see `Location.reason`."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a model version's files lie.

    Attributes:
        where: See `Where`.
        file_owner: The owner and the path below its root, where anchored.
        uri: The URI of its own files, where they are its own.
        reason: Why there is no place: ``prompt``, ``deleted``, ``empty``, ``placeholder`` (all
            sound: there are no files), or ``missing`` (names a run, logged model or version that
            does not exist), ``cycle``, ``unknown`` (a ``models:`` URI by alias or stage, or of no
            known form), which the caller should report.
    """

    where: Where
    file_owner: FileOwner | None = None
    uri: str | None = None
    reason: str = ""

    @property
    def is_sound(self) -> bool:
        """False where files were named that cannot be found."""
        return self.reason not in ("missing", "cycle", "unknown")


@dataclass(frozen=True, slots=True)
class _Asked:
    """The owner that a version names by id (`kind`, `value`), or a URI (`kind` "")."""

    kind: str
    value: str
    rest: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found among the roots: owners by canonical (store, path), and ids asked for."""

    owners: dict[tuple[str, str], tuple[str, str]]
    ids: set[tuple[str, str]]


def find_file_owners(
    uris: Iterable[str], roots: Iterable[Root], base: Path | None = None
) -> dict[str, FileOwner]:
    """The owner of each URI that lies in some owner's root; the longest root wins.

    Args:
        uris: Artifact URIs; all are held, with their prefixes.
        roots: Every owner's root, streamed once; of two owners with the same root, the first by
            (kind, id) wins.
        base: What relative paths are relative to; None compares them as they are written.
    """
    places = {uri: canonical(uri, base) for uri in uris}
    seen = _look(roots, places.values(), frozenset(), base)
    file_owners = ((uri, _anchor(place, seen.owners)) for uri, place in places.items())
    return {uri: file_owner for uri, file_owner in file_owners if file_owner is not None}


def locate_versions(
    versions: Iterable[VersionRow], roots: Iterable[Root], base: Path | None = None
) -> dict[VersionKey, Location]:
    """Where the files of each model version lie; see `Location`.

    Args:
        versions: All versions of the registry (copies refer to each other); all are held.
        roots: The roots of every run and logged model, streamed once.
        base: What relative paths are relative to; None compares them as they are written.
    """
    rows = {row.key: row for row in versions}
    named = {key: _resolve(row, rows) for key, row in rows.items()}
    asked = [found for found in named.values() if isinstance(found, _Asked)]
    places = {ask.value: canonical(ask.value, base) for ask in asked if not ask.kind}
    ids = frozenset((ask.kind, ask.value) for ask in asked if ask.kind)
    seen = _look(roots, places.values(), ids, base)
    return {
        key: found if isinstance(found, Location) else _locate(found, places, seen)
        for key, found in named.items()
    }


def _look(
    roots: Iterable[Root],
    places: Iterable[Canonical],
    ids: frozenset[tuple[str, str]],
    base: Path | None,
) -> _Seen:
    prefixes = {prefix for place in places for prefix in _prefixes(place)}
    tails = {_tail(path) for _, path in prefixes}
    seen = _Seen({}, set())
    for kind, owner, root in roots:
        if (kind, owner) in ids:
            seen.ids.add((kind, owner))
        if not prefixes or not root:
            continue
        plain = _PLAIN.fullmatch(root)
        if plain is not None and _tail(plain[1]) not in tails:
            continue
        place = canonical(root, base)
        key = (place.store, place.path)
        if key in prefixes:
            seen.owners[key] = min(seen.owners.get(key, (kind, owner)), (kind, owner))
    return seen


def _tail(path: str) -> str:
    """The last two parts of a path."""
    return "/".join(path.rsplit("/", 2)[-2:])


def _prefixes(place: Canonical) -> list[tuple[str, str]]:
    """The place and all that it lies in, the longest first."""
    parts = place.path.split("/")
    paths = ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return [(place.store, path) for path in paths if path] + [(place.store, "")]


def _anchor(
    place: Canonical, owners: Mapping[tuple[str, str], tuple[str, str]]
) -> FileOwner | None:
    for store, path in _prefixes(place):
        owner = owners.get((store, path))
        rest = place.below(Canonical(store, path, place.local))
        if owner is not None and rest is not None:
            return FileOwner(*owner, rest)
    return None


def _locate(ask: _Asked, places: Mapping[str, Canonical], seen: _Seen) -> Location:
    if ask.kind:
        if (ask.kind, ask.value) not in seen.ids:
            return _nowhere("missing")
        return Location(Where.ANCHORED, FileOwner(ask.kind, ask.value, ask.rest))
    file_owner = _anchor(places[ask.value], seen.owners)
    if file_owner is None:
        return Location(Where.OWN, uri=uri_below(ask.value, ask.rest))
    rest = "/".join(part for part in (file_owner.rest, ask.rest) if part)
    return Location(Where.ANCHORED, FileOwner(file_owner.owner_kind, file_owner.owner_id, rest))


def _nowhere(reason: str) -> Location:
    return Location(Where.NONE, reason=reason)


def _resolve(row: VersionRow, rows: Mapping[VersionKey, VersionRow]) -> _Asked | Location:
    """Follow copies of copies until a version names a place or an owner."""
    rest = ""
    visited: set[VersionKey] = set()
    while row.key not in visited and len(visited) < MAX_HOPS:
        reason = _no_files(row)
        if reason:
            return _nowhere("missing" if visited else reason)
        visited.add(row.key)
        found = _parse(row.storage_location or row.source or "")
        if isinstance(found, Location):
            return found
        rest = "/".join(part for part in (found.rest, rest) if part)
        if found.kind != "model_version":
            return _Asked(found.kind, found.value, rest)
        name, _, version = found.value.rpartition("/")
        following = rows.get((row.workspace, name, int(version)))
        if following is None:
            return _nowhere("missing")
        row = following
    return _nowhere("cycle")


def _no_files(row: VersionRow) -> str:
    uri = row.storage_location or row.source
    if row.stage == DELETED_STAGE or row.source == REDACTED_SOURCE:
        return "deleted"
    if row.is_prompt:
        return "prompt"
    if not uri:
        return "empty"
    return "placeholder" if uri in PLACEHOLDER_SOURCES else ""


def _parse(uri: str) -> _Asked | Location:
    scheme = scheme_of(uri)
    if scheme not in ("runs", "models"):
        return _Asked("", uri)
    # "runs://profile@databricks/<id>": the authority says where the run is, not which it is.
    path = uri.partition(":")[2]
    path = path[2:].partition("/")[2] if path.startswith("//") else path.lstrip("/")
    head, _, rest = path.rstrip("/").partition("/")
    if not head or ".." in rest.split("/"):
        return _nowhere("unknown")
    if scheme == "runs":
        return _Asked("run", head, rest)
    second, _, below = rest.partition("/")
    if second.isdecimal():
        return _Asked("model_version", f"{head}/{second}", below)
    return _Asked("logged_model", head, rest) if _MODEL_ID.match(head) else _nowhere("unknown")
