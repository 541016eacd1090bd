"""Model versions whose files the target holds already, as those of a run or a logged model.

Tracking and registry may be two places, of which the first was copied before. Alone, the second
does not know whose files those of its versions are: MLflow's layout says it, and the target shows
whether it is so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.copying import hash_stream
from mlporter.artifacts.listing import files_of
from mlporter.artifacts.uris.allowed_hosts import Hosts
from mlporter.artifacts.uris.ownership import FileOwner, Where, find_file_owners
from mlporter.artifacts.uris.uri_text import UriMap, uri_below
from mlporter.catalogue.file_owners import FILE_OWNERS
from mlporter.errors import MlporterError
from mlporter.stores.addresses.environment import PROCESS, TRACKING_URI, Environment
from mlporter.stores.artifact_places.places import Places
from mlporter.stores.artifact_places.recorded_files import recorded_places
from mlporter.stores.protocols import Among, Wrapped
from mlporter.stores.rows.version_locations import (
    locations_of,
    owner_roots,
    rows_of,
    version_owner_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.artifacts.places import Place
    from mlporter.artifacts.uris.ownership import Root, VersionKey
    from mlporter.stores.protocols import ArtifactFile, Keep, Report, Source
    from mlporter.stores.rows.version_locations import TableReader

__all__ = ["WithExistingFiles", "with_existing_files"]

_LAYOUT = (
    ("logged_model", re.compile(r"(.*/models/(m-[0-9a-f]{32})/artifacts)(?:/(.*))?")),
    ("run", re.compile(r"(.*/([0-9a-f]{32})/artifacts)(?:/(.*))?")),
)
"""How MLflow lays out the files of what is in an experiment: its root, its id, what is below."""


@dataclass(frozen=True)
class _Held:
    """A version's files, if they are where they seem to be."""

    root: str
    file_owner: FileOwner


class WithExistingFiles(Wrapped):
    """A source that knows where runs and logged models of the target lay, before they came there.

    Args:
        inner: The source.
        known: Of some of these their kinds, ids and artifact roots as the source names them.
        versions: Owner ids of the versions that have their files there.
    """

    def __init__(self, inner: Source, known: Iterable[Root], versions: frozenset[str]) -> None:
        super().__init__(inner)
        self._known = tuple(known)
        self._versions = versions

    @property
    def known_roots(self) -> tuple[Root, ...]:
        """Roots of what is in the target, as they were before."""
        return self._known

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know: whose files some versions have, too."""
        count = len(self._versions)
        which = "1 model version are" if count == 1 else f"{count} model versions are"
        said = f"Files of {which} in the target already, as those of runs and logged models."
        return (*self.inner.notes, said)

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every artifact file that the target does not hold."""

        def lacks(kind: str, owner: str) -> bool:
            is_held = kind == "model_version" and owner in self._versions
            return not is_held and (keep is None or keep(kind, owner))

        return self.inner.files(report, lacks)


def with_existing_files(
    source: Source,
    target: TableReader,
    uri_map: tuple[str, ...] = (),
    environment: Environment = PROCESS,
) -> Source:
    """The source, with what the target holds of its versions' files already.

    Every file is there, byte for byte, in the place of the run or logged model that the layout
    names; else a version keeps files of its own.
    """
    held = _named(source)
    there = _places_there(target, held.values())
    held = {key: found for key, found in held.items() if _owner(found) in there}
    if not held:
        return source
    elsewhere = _with_other_files(target, held)
    held = {key: found for key, found in held.items() if key not in elsewhere}
    parsed = UriMap.parse(uri_map)

    def hosts() -> Hosts:
        recorded = recorded_places(target, parsed)
        return Hosts.of(None, parsed.targets, recorded, tracking=environment.get(TRACKING_URI))

    places = Places(base=Path.cwd(), uri_map=parsed, hosts=hosts, environment=environment)
    same = _with_same_files(source, held, there, places)
    if not same:
        return source
    roots = {(*_owner(held[key]), held[key].root) for key in same}
    return WithExistingFiles(
        source, sorted(roots), frozenset(version_owner_id(key) for key in same)
    )


def _owner(held: _Held) -> tuple[str, str]:
    return held.file_owner.owner_kind, held.file_owner.owner_id


def _named(source: Source) -> dict[VersionKey, _Held]:
    """Versions that seem to have files of their own, and whose the layout says they are."""
    found = {}
    for key, location in locations_of(source).items():
        if location.where is not Where.OWN or location.uri is None:
            continue
        for kind, pattern in _LAYOUT:
            if matched := pattern.fullmatch(location.uri.rstrip("/")):
                root, owner, rest = matched.groups()
                found[key] = _Held(root, FileOwner(kind, owner, rest or ""))
                break
    return found


def _places_there(target: TableReader, held: Iterable[_Held]) -> dict[tuple[str, str], str]:
    """Where the target has the files of the owners that it knows."""
    owners: dict[str, set[str]] = {}
    for found in held:
        owners.setdefault(found.file_owner.owner_kind, set()).add(found.file_owner.owner_id)
    places = {}
    for kind, ids in owners.items():
        entry = FILE_OWNERS[kind]
        columns, among = (entry.key, entry.place), Among(entry.key, tuple(sorted(ids)))
        for batch in target.read(entry.table, columns, among):
            for owner, uri in zip(*batch.to_pydict().values(), strict=True):
                if uri:
                    places[kind, owner] = uri
    return places


def _with_other_files(target: TableReader, held: dict[VersionKey, _Held]) -> set[VersionKey]:
    """Versions that the target has already, with other files than those: they stay as they are."""
    rows = {
        (workspace or "default", name, version): uri or source
        for workspace, name, version, uri, source in rows_of(
            target,
            "model_versions",
            ("workspace", "name", "version", "storage_location", "source"),
        )
    }
    uris = {key: uri for key, uri in rows.items() if key in held and uri}
    file_owners = find_file_owners(set(uris.values()), owner_roots(target))
    return {key for key, uri in uris.items() if file_owners.get(uri) != held[key].file_owner}


def _with_same_files(
    source: Source,
    held: dict[VersionKey, _Held],
    there: dict[tuple[str, str], str],
    places: Places,
) -> set[VersionKey]:
    """Versions of which the target has every file."""
    keys = {version_owner_id(key): key for key in held}
    files: dict[VersionKey, list[ArtifactFile]] = {}
    lost: set[str] = set()

    def is_asked(kind: str, owner: str) -> bool:
        return kind == "model_version" and owner in keys

    for file in source.files(
        lambda item: lost.add(item.id) if not item.expected else None, is_asked
    ):
        files.setdefault(keys[file.owner_id], []).append(file)
    same = set()
    for key, found in files.items():
        file_owner = held[key].file_owner
        place = uri_below(there[file_owner.owner_kind, file_owner.owner_id], file_owner.rest)
        if version_owner_id(key) not in lost and _holds(places, place, source, found):
            same.add(key)
    return same


def _holds(places: Places, uri: str, source: Source, files: list[ArtifactFile]) -> bool:
    """Whether a place has these files; one that cannot be looked at is taken to have none."""
    try:
        place = places.open(uri)
        sizes = {file.path: file.size for file in files_of(place.list())}
        if any(sizes.get(file.path) != file.size for file in files):
            return False
        return all(_is_same(place, source, file) for file in files)
    except (MlporterError, OSError):
        return False


def _is_same(place: Place, source: Source, file: ArtifactFile) -> bool:
    with place.open(file.path) as one:
        found, _ = hash_stream(one)
    if file.sha256 is not None:
        return found == file.sha256
    with source.open_file(file) as other:
        return found == hash_stream(other)[0]
