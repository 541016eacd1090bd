"""Verify, second part: every part is what the manifest says, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.bundle.checks.references import DANGLING, REFERENCE, ReferenceCheck
from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.files import check_size, hash_stream
from mlporter.bundle.folder.layout import MANIFEST, table_folder
from mlporter.bundle.folder.layout import TABLES as PARTS
from mlporter.bundle.tables.read_parts import decode_part
from mlporter.bundle.tables.rows import OrderCheck
from mlporter.bundle.tables.scratch import Scratch
from mlporter.catalogue import TABLES, USER_TABLES
from mlporter.catalogue.tables.own import ARTIFACTS, CONTENTS, LEFT_OUT
from mlporter.catalogue.types import Kind
from mlporter.errors import BundleDamagedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pyarrow as pa

    from mlporter.bundle.checks.artifacts import ArtifactCheck
    from mlporter.bundle.checks.findings import VerifyReport
    from mlporter.bundle.checks.references import Dangling
    from mlporter.bundle.documents.manifest import Manifest
    from mlporter.bundle.documents.manifest_entries import PartEntry
    from mlporter.bundle.storage.protocol import Storage
    from mlporter.catalogue.types import Table

__all__ = ["check_tables"]

_SHOWN = 100


def check_tables(
    storage: Storage,
    manifest: Manifest,
    report: VerifyReport,
    artifacts: ArtifactCheck,
    *,
    follow: bool,
) -> None:
    """Hash and decode every part, and check the order of its rows.

    With `follow`, every reference that MLflow's schema enforces must have its row.
    """
    tables = _in_order(manifest)
    counts = {name: entry.rows for name, entry in manifest.tables.items()}
    references = _References(tables if follow else (), counts)
    try:
        for table in tables:
            _TableCheck(storage, table, report, references, artifacts).run(manifest)
        references.report(report)
    finally:
        references.close()


_NAMES = ("kind", "id", "path", "reason")
_DANGLES = (REFERENCE, DANGLING)


class _References(ReferenceCheck):
    """References that have no row: reported by the export, and so no damage, or not."""

    def __init__(self, tables: Iterable[Table], counts: Mapping[str, int]) -> None:
        super().__init__(tables, counts)
        self._told = Scratch("CREATE TABLE told (name TEXT, path TEXT, PRIMARY KEY (name, path))")

    def take_left_out(self, batch: pa.RecordBatch) -> None:
        """Take what the export reported."""
        rows = zip(*(batch[name].to_pylist() for name in _NAMES), strict=True)
        named = ((id_, path) for kind, id_, path, why in rows if (kind, why) == _DANGLES)
        self._told.run_many("INSERT OR IGNORE INTO told VALUES (?, ?)", named)

    def _is_told(self, dangling: Dangling) -> bool:
        query = "SELECT 1 FROM told WHERE name = ? AND path = ?"
        return self._told.one(query, dangling.table, dangling.path) is not None

    def report(self, report: VerifyReport) -> None:
        """Report what dangles, the first of each reference: as the export did, or as damage."""
        counts: dict[tuple[str, tuple[str, ...]], int] = {}
        for found in self.dangling():
            if self._is_told(found):
                report.tell(found.table, str(found))
                continue
            which = (found.table, found.reference.columns)
            counts[which] = counts.get(which, 0) + 1
            if counts[which] <= _SHOWN:
                report.add(f"{PARTS}/{table_folder(found.table)}", "reference", str(found))
        for (table, columns), count in counts.items():
            if count > _SHOWN:
                detail = f"{', '.join(columns)}: {count - _SHOWN:,} more like it"
                report.add(f"{PARTS}/{table_folder(table)}", "reference", detail)

    def close(self) -> None:
        """Free the temporary space."""
        super().close()
        self._told.close()


class _TableCheck:
    """One table: its parts in order, and the order of keys across them."""

    def __init__(
        self,
        storage: Storage,
        table: Table,
        report: VerifyReport,
        references: _References,
        artifacts: ArtifactCheck,
    ) -> None:
        self._storage = storage
        self._table = table
        self._report = report
        self._references = references
        self._artifacts = artifacts
        self._order = OrderCheck(table.key, repeats=table.repeats)
        self._reasons: dict[str, int] = {}
        self._expected = 0

    def run(self, manifest: Manifest) -> None:
        sound = True
        for part in manifest.tables[self._table.name].parts:
            sound = self._check_part(part) and sound
            self._report.parts += 1
        self._report.tables += 1
        if not sound:
            # What refers to it, and what is counted from it, would only repeat the finding.
            self._references.lost(self._table.name)
            self._artifacts.lost(self._table.name)
        elif self._table.name == LEFT_OUT.name:
            self._check_left_out(manifest)

    def _check_part(self, part: PartEntry) -> bool:
        try:
            ordered = True
            for batch in self._batches(part):
                ordered = self._take(part, batch, ordered=ordered)
        except BundleDamagedError as error:
            self._report.add(part.path, "content", error.message)
            return False
        except UnreachableError as error:
            self._report.add(part.path, "unreadable", error.message)
            return False
        return True

    def _batches(self, part: PartEntry) -> Iterator[pa.RecordBatch]:
        where = self._storage.name
        with self._storage.open(part.path) as file:
            check_size(where, part.path, file, part.bytes)
            with disk_errors(f"{where}/{part.path}", "read"):
                found = hash_stream(file, self._report.read)
                file.seek(0)
            if found != part.sha256:
                raise BundleDamagedError("does not have the SHA-256 in the manifest")
            yield from decode_part(where, self._table, part, file)

    def _take(self, part: PartEntry, batch: pa.RecordBatch, *, ordered: bool) -> bool:
        """Look at the rows of a batch; returns whether the part is still in order."""
        wrong = self._order.first_wrong(batch)
        if wrong is not None and ordered:
            key = {name: batch.column(name)[wrong].as_py() for name in self._table.key}
            detail = f"a row does not follow the row before it by key: {str(key)[:300]}"
            self._report.add(part.path, "order", detail)
        self._report.rows += batch.num_rows
        if self._table.kind is Kind.OWN:
            self._report.own_rows += batch.num_rows
        self._references.take(self._table.name, batch)
        if self._table.name == ARTIFACTS.name:
            self._artifacts.take(part.path, batch)
        elif self._table.name == CONTENTS.name and self._table.kind is Kind.OWN:
            self._artifacts.take_contents(part.path, batch)
        elif self._table.name == LEFT_OUT.name:
            self._count(batch)
            self._references.take_left_out(batch)
        return ordered and wrong is None

    def _count(self, batch: pa.RecordBatch) -> None:
        for reason, expected in zip(
            batch["reason"].to_pylist(), batch["expected"].to_pylist(), strict=True
        ):
            self._reasons[reason] = self._reasons.get(reason, 0) + 1
            self._expected += expected

    def _check_left_out(self, manifest: Manifest) -> None:
        totals = manifest.left_out
        found = (sum(self._reasons.values()), self._expected, self._reasons)
        if found != (totals.total, totals.expected, dict(totals.by_reason)):
            detail = "left_out: the totals do not match the table"
            self._report.add(MANIFEST, "totals", detail)


def _in_order(manifest: Manifest) -> tuple[Table, ...]:
    """Tables of the bundle, each after those that it refers to."""
    known = [t.name for t in (*TABLES, *USER_TABLES) if t.name in manifest.tables]
    names = known + sorted(set(manifest.tables) - set(known))
    return tuple(manifest.tables[name].table(name) for name in names)
