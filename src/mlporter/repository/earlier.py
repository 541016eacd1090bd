"""An earlier snapshot as what the next one is written upon."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.scratch import Scratch
from mlporter.bundle.tables.layers import LayeredTables
from mlporter.bundle.tables.rows import python_rows
from mlporter.bundle.upon_earlier import Earlier
from mlporter.catalogue.tables.own import ARTIFACTS, FILE_STAMPS
from mlporter.errors import BundleDamagedError, UnsupportedError
from mlporter.repository.layout import part_object

if TYPE_CHECKING:
    from contextlib import ExitStack

    from mlporter.artifacts.listing import ArtifactFile
    from mlporter.bundle.documents.manifest import Manifest
    from mlporter.repository.documents import Snapshot
    from mlporter.repository.repository import Repository

__all__ = ["earlier_of", "has_parts", "last_of"]


def last_of(repository: Repository, place: str) -> tuple[Snapshot, Manifest] | None:
    """The newest snapshot of a registry that can be read, with its manifest.

    What is damaged is noted in the repository: a new snapshot is made all the same, upon an older
    one.
    """
    for found in repository.whole_newest_first():
        if found.place != place:
            continue
        try:
            return found, repository.manifest(found)
        except (BundleDamagedError, UnsupportedError) as error:
            repository.note(found.name, error)
    return None


def has_parts(repository: Repository, earlier: Earlier) -> bool:
    """Whether all parts of tables that a snapshot names are there."""
    objects = (part_object(p.sha256) for entry in earlier.entries.values() for p in entry.parts)
    return all(repository.storage.size(path) is not None for path in objects)


def earlier_of(
    repository: Repository,
    last: tuple[Snapshot, Manifest],
    stack: ExitStack,
    *,
    reread: bool,
) -> Earlier:
    """What a snapshot gives to the next one of the same registry.

    Args:
        repository: The repository; its index is loaded.
        last: The earlier snapshot, and its manifest.
        stack: Closes what is needed meanwhile.
        reread: Every file is read again, also one that looks as it did.
    """
    snapshot, manifest = last
    tables = LayeredTables(repository.parts, manifest.tables)
    earlier = Earlier(
        manifest.tables,
        tables,
        repository.parts,
        began=int(snapshot.time.timestamp() * 1000),
        has_content=repository.contents.has,
    )
    if reread or FILE_STAMPS.name not in manifest.tables:
        return earlier
    files = _KnownFiles(tables)
    stack.callback(files.close)
    return replace(earlier, known=files.known)


class _KnownFiles:
    """The files of a snapshot by whose they are, path, size and stamp."""

    def __init__(self, tables: LayeredTables) -> None:
        self._scratch = Scratch(
            "CREATE TABLE files (kind TEXT, id TEXT, path TEXT, size INTEGER, sha256 TEXT,"
            " PRIMARY KEY (kind, id, path)) WITHOUT ROWID",
            "CREATE TABLE stamps (kind TEXT, id TEXT, path TEXT, stamp TEXT,"
            " PRIMARY KEY (kind, id, path)) WITHOUT ROWID",
        )
        for table, statement in (
            (ARTIFACTS, "INSERT INTO files VALUES (?, ?, ?, ?, ?)"),
            (FILE_STAMPS, "INSERT INTO stamps VALUES (?, ?, ?, ?)"),
        ):
            for batch in tables.read(table):
                self._scratch.run_many(statement, python_rows(batch, table.schema.names))

    def known(self, file: ArtifactFile) -> str | None:
        if not file.stamp:
            return None
        found = self._scratch.one(
            "SELECT sha256 FROM files JOIN stamps USING (kind, id, path)"
            " WHERE kind=? AND id=? AND path=? AND size=? AND stamp=?",
            file.owner_kind,
            file.owner_id,
            file.path,
            file.size,
            file.stamp,
        )
        return found[0] if found else None

    def close(self) -> None:
        self._scratch.close()
