"""What a snapshot takes from an earlier one over the same pool, and leaves for the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from mlporter.artifacts.disk.scratch import Scratch
from mlporter.bundle.documents.left_out_log import batches_of
from mlporter.bundle.documents.manifest_entries import table_entry
from mlporter.bundle.tables.layers import LayeredTables, replaced_batches
from mlporter.bundle.tables.parts import PartWriter
from mlporter.bundle.tables.read_parts import PartsInFolder
from mlporter.catalogue.tables.own import FILE_STAMPS, REPLACED
from mlporter.errors import MlporterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

    from mlporter.artifacts.listing import ArtifactFile
    from mlporter.bundle.blobs import Stored
    from mlporter.bundle.contents.taking import Taken, Taker
    from mlporter.bundle.documents.manifest_entries import PartEntry, TableEntry
    from mlporter.bundle.tables.read_parts import PartFiles
    from mlporter.catalogue.types import Table

__all__ = ["Contents", "Earlier", "UponEarlier"]


_AT_ONCE = 1_000
"""Stamps that are put away together."""


class Contents(Protocol):
    """Where file contents go: into the bundle, or into a pool of many bundles."""

    def has(self, sha256: str, size: int) -> bool:
        """Whether a content is there."""

    def add(self, stream: BinaryIO) -> Stored:
        """Take a content."""

    def taker_elsewhere(self) -> Taker | None:
        """What takes contents for `took` in other processes; None if they cannot write here."""

    def took(self, taken: Taken) -> Stored:
        """Keep what another process took."""

    def sync(self) -> None:
        """Make all contents durable."""


@dataclass(frozen=True)
class Earlier:
    """What a bundle is written upon: an earlier one, whose parts and contents are reused.

    Attributes:
        entries: Its tables.
        tables: Reads them.
        files: Where its parts are.
        known: The SHA-256 (hex) of a file that it holds, if the source's is known to be the same.
        began: When it was begun, in milliseconds since 1970.
        has_content: Whether a content of that SHA-256 and size is there.
    """

    entries: Mapping[str, TableEntry]
    tables: LayeredTables
    files: PartFiles
    known: Callable[[ArtifactFile], str | None] = lambda _: None
    began: int = 0
    has_content: Callable[[str, int], bool] = lambda _sha256, _size: False


class UponEarlier:
    """Of a bundle whose contents lie in a pool: what it shares with an earlier one, if any.

    The bundle itself is nobody's: whoever has the pool moves its parts there, and syncs them.
    """

    def __init__(self, root: Path, earlier: Earlier | None) -> None:
        """Of the bundle that is written in `root`."""
        self._root = root
        self._earlier = earlier
        self.replaced: dict[str, dict[int, set[str]]] = {}
        self._noted: list[tuple[str, ...]] = []
        self._stamps = Scratch(
            "CREATE TABLE stamps (kind TEXT, id TEXT, path TEXT, stamp TEXT,"
            " PRIMARY KEY (kind, id, path)) WITHOUT ROWID"
        )

    def keep(self, table: Table) -> TableEntry:
        """A table as the earlier bundle has it."""
        earlier = self._need()
        self.replaced[table.name] = dict(earlier.tables.owners(table.name))
        return earlier.entries[table.name]

    def layer(
        self,
        table: Table,
        batches: Iterable[pa.RecordBatch],
        owners: Iterable[str],
        rows: Callable[[], int],
    ) -> TableEntry:
        """Write all rows of some owners upon what the earlier bundle has; `rows` tells of all."""
        earlier = self._need()
        below = earlier.entries[table.name]
        writer = PartWriter(self._root, table, first=len(below.parts), durable=False)
        parts = writer.write(batches)
        entry = table_entry(table, parts, below, rows())
        replaced = dict(earlier.tables.owners(table.name))
        self.replaced[table.name] = replaced | {entry.layers: set(owners)}
        return entry

    def _need(self) -> Earlier:
        if self._earlier is None:
            raise MlporterError("there is no earlier bundle to build upon", subject=str(self._root))
        return self._earlier

    def known(self, file: ArtifactFile) -> str | None:
        """The SHA-256 (hex) of a file that the earlier bundle holds, if it is the same."""
        return self._earlier.known(file) if self._earlier else None

    def note(self, file: ArtifactFile) -> None:
        """Note by what a file is known again."""
        if file.stamp:
            self._noted.append((file.owner_kind, file.owner_id, file.path, file.stamp))
            if len(self._noted) >= _AT_ONCE:
                self._write_stamps()

    def _write_stamps(self) -> None:
        rows, self._noted = self._noted, []
        self._stamps.run_many("INSERT OR REPLACE INTO stamps VALUES (?, ?, ?, ?)", rows)

    def tables(self) -> Iterator[tuple[Table, Iterator[pa.RecordBatch]]]:
        """What the next bundle over the same pool will want to know."""
        self._write_stamps()
        rows = self._stamps.rows("SELECT * FROM stamps ORDER BY kind, id, path")
        yield FILE_STAMPS, batches_of(rows, FILE_STAMPS.schema)
        if any(self.replaced.values()):
            yield REPLACED, replaced_batches(self.replaced)

    @property
    def files(self) -> PartFiles:
        """Where the parts are that were written now or before."""
        return _Staged(self._root, self._earlier.files if self._earlier else None)

    def close(self) -> None:
        """Free temporary space."""
        self._stamps.close()


class _Staged:
    """Parts that were written just now, or that an earlier bundle has."""

    def __init__(self, root: Path, earlier: PartFiles | None) -> None:
        self.name = str(root)
        self._root = root
        self._earlier = earlier

    def open(self, part: PartEntry) -> BinaryIO:
        """The file of a part."""
        if self._earlier is not None and not (self._root / part.path).is_file():
            return self._earlier.open(part)
        return PartsInFolder(self._root).open(part)
