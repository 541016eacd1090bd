"""The contents that artifacts name, on disk: a bundle may have millions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.artifacts.disk.scratch import Scratch
from mlporter.bundle.tables.rows import python_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

__all__ = ["NamedContents"]


class NamedContents:
    """The SHA-256 and size in bytes of every content that rows of ``artifacts`` named."""

    def __init__(self) -> None:
        self._scratch = Scratch(
            "CREATE TABLE named (sha256 TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID"
        )

    def noting(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass rows of ``artifacts`` on, and remember which contents they name."""
        for batch in batches:
            named = python_rows(batch, ("sha256", "size"))
            self._scratch.run_many("INSERT OR IGNORE INTO named VALUES (?, ?)", named)
            yield batch

    def has(self, sha256: str) -> bool:
        """Whether an artifact has this content."""
        return self._scratch.one("SELECT 1 FROM named WHERE sha256=?", sha256) is not None

    def rows(self) -> Iterator[tuple[str, int]]:
        """SHA-256 and bytes of each, sorted."""
        return self._scratch.rows("SELECT sha256, size FROM named ORDER BY sha256")

    def totals(self) -> tuple[int, int]:
        """How many there are, and their bytes."""
        found = self._scratch.one("SELECT count(*), coalesce(sum(size), 0) FROM named")
        return (found[0], found[1]) if found else (0, 0)

    def close(self) -> None:
        """Forget them."""
        self._scratch.close()
