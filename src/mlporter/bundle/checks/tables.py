"""Verify, second part: every part is what the manifest says, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.artifacts.disk.scratch import Scratch
from mlporter.bundle.checks.parts import LookAtPart, OrderOfParts, look_at_all, look_at_part
from mlporter.bundle.checks.references import DANGLING, REFERENCE, ReferenceCheck
from mlporter.bundle.folder.layout import MANIFEST, table_folder
from mlporter.bundle.folder.layout import TABLES as PARTS
from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue import TABLES, USER_TABLES
from mlporter.catalogue.tables.own import ARTIFACTS, CONTENTS, LEFT_OUT
from mlporter.catalogue.types import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from mlporter.bundle.checks.artifacts import ArtifactCheck
    from mlporter.bundle.checks.findings import VerifyReport
    from mlporter.bundle.checks.parts import LookedAtRows
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
        checks = [
            _TableCheck(
                storage,
                table,
                manifest.tables[table.name].parts,
                (report, references, artifacts),
            )
            for table in tables
        ]
        look_at_all(artifacts.pool, [check for check in checks if not check.is_read_here])
        for check in checks:
            if check.is_read_here:
                check.look()
            check.finish(manifest)
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
        rows = python_rows(batch, _NAMES)
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


_READ_HERE = frozenset({ARTIFACTS.name, CONTENTS.name, LEFT_OUT.name})
"""Tables of which every row is wanted here, if they are ours."""


class _TableCheck:
    """One table: its parts in order, and the order of keys across them."""

    def __init__(
        self,
        storage: Storage,
        table: Table,
        parts: Sequence[PartEntry],
        checks: tuple[VerifyReport, _References, ArtifactCheck],
    ) -> None:
        self._storage = storage
        self._table = table
        self._parts = parts
        self._report, self._references, self._artifacts = checks
        self._order = OrderOfParts(table)
        self._reasons: dict[str, int] = {}
        self._expected = 0
        self._taken = 0
        self._is_sound = True

    @property
    def is_read_here(self) -> bool:
        """Whether every row is wanted here."""
        name = self._table.name
        is_ours = name != CONTENTS.name or self._table.kind is Kind.OWN
        return name in _READ_HERE and is_ours

    def tasks(self) -> Iterator[LookAtPart]:
        """Its parts, to be looked at by anybody."""
        wanted = self._references.wanted(self._table.name)
        for part in self._parts:
            yield LookAtPart(self._storage, self._table, part, wanted)

    def look(self) -> None:
        """Look at all of it here."""
        for task in self.tasks():
            self.take(look_at_part(task, self._take_rows))

    def take(self, looked: LookedAtRows) -> None:
        """Take what was found in the next part."""
        part, report = self._parts[self._taken], self._report
        self._taken += 1
        report.parts += 1
        report.read(looked.bytes_read)
        report.rows += looked.rows
        if self._table.kind is Kind.OWN:
            report.own_rows += looked.rows
        if disorder := self._order.disorder(looked):
            detail = f"a row does not follow the row before it by key: {disorder}"
            report.add(part.path, "order", detail)
        self._references.take_found(self._table.name, looked.found)
        if looked.problem is not None:
            report.add(part.path, *looked.problem)
            self._is_sound = False

    def finish(self, manifest: Manifest) -> None:
        """All parts were taken."""
        self._report.tables += 1
        if not self._is_sound:
            # What refers to it, and what is counted from it, would only repeat the finding.
            self._references.lost(self._table.name)
            self._artifacts.lost(self._table.name)
        elif self._table.name == LEFT_OUT.name:
            self._check_left_out(manifest)

    def _take_rows(self, batch: pa.RecordBatch) -> None:
        """Look at rows of a table of ours."""
        path = self._parts[self._taken].path
        if self._table.name == ARTIFACTS.name:
            self._artifacts.take(path, batch)
        elif self._table.name == CONTENTS.name:
            self._artifacts.take_contents(path, batch)
        else:
            self._count(batch)
            self._references.take_left_out(batch)

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
