"""What the snapshots of a repository name: parts of tables, and file contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.artifacts.disk.scratch import Scratch
from mlporter.bundle.tables.read_parts import read_part
from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue.tables.own import ARTIFACTS
from mlporter.closing import closed_on_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.repository.documents import Snapshot
    from mlporter.repository.repository import Repository

__all__ = ["Used"]


class Used:
    """Parts and contents that some snapshots name, in a temporary file.

    A part that several snapshots name is read once. Contents of rows that a later layer replaced
    count too, as long as the part is there that names them.
    """

    def __init__(self, repository: Repository, snapshots: Iterable[Snapshot]) -> None:
        """Look through the manifests of these snapshots, and their lists of files.

        Raises:
            BundleDamagedError: one of them is damaged; then nobody can tell what is needed.
        """
        self._scratch = Scratch(
            "CREATE TABLE parts (sha256 TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID",
            "CREATE TABLE contents (sha256 TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID",
        )
        with closed_on_error(self._scratch):
            for snapshot in snapshots:
                self._take(repository, snapshot)

    def _take(self, repository: Repository, snapshot: Snapshot) -> None:
        manifest = repository.manifest(snapshot)
        for name, entry in manifest.tables.items():
            for part in entry.parts:
                if self.has_part(part.sha256):
                    continue
                if name == ARTIFACTS.name:
                    columns = ("sha256", "size")
                    for batch in read_part(repository.parts, ARTIFACTS, part, columns):
                        rows = python_rows(batch, columns)
                        self._scratch.run_many("INSERT OR IGNORE INTO contents VALUES (?, ?)", rows)
                self._scratch.run("INSERT INTO parts VALUES (?, ?)", part.sha256, part.bytes)

    def has_part(self, sha256: str) -> bool:
        """Whether a part is named."""
        return self._scratch.one("SELECT 1 FROM parts WHERE sha256=?", sha256) is not None

    def has_content(self, sha256: str) -> bool:
        """Whether a content is named."""
        return self._scratch.one("SELECT 1 FROM contents WHERE sha256=?", sha256) is not None

    def parts(self) -> Iterator[tuple[str, int]]:
        """SHA-256 and bytes of every part, sorted."""
        yield from self._scratch.rows("SELECT sha256, size FROM parts ORDER BY sha256")

    def contents(self) -> Iterator[tuple[str, int]]:
        """SHA-256 and bytes of every content, sorted."""
        yield from self._scratch.rows("SELECT sha256, size FROM contents ORDER BY sha256")

    def close(self) -> None:
        """Free the temporary space."""
        self._scratch.close()
