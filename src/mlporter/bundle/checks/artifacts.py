"""Verify: every artifact has its content, every content its artifact, each is what its name says.

A content is a blob, or lies in a pack, where the table ``contents`` says.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.scratch import Scratch
from mlporter.bundle.checks.looked import (
    LookAtPack,
    LookAtPlaces,
    Looked,
    blob_tasks,
    look,
    pack_tasks,
)
from mlporter.bundle.contents.index import contents_rows
from mlporter.bundle.contents.index import what_is_wrong as what_is_wrong_with_place
from mlporter.bundle.folder.layout import (
    MANIFEST,
    TABLES,
    blob_path,
    is_safe_path,
    pack_path,
    what_is_wrong,
)
from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue.tables.own import ARTIFACTS, CONTENTS
from mlporter.workers.in_order import answers_in_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.bundle.checks.findings import VerifyReport
    from mlporter.bundle.checks.looked import Blobs, Task
    from mlporter.bundle.documents.manifest import Manifest
    from mlporter.bundle.storage.protocol import Storage
    from mlporter.workers.task_pool import TaskPool

__all__ = ["ArtifactCheck"]


_AT_A_TIME = 1_000
_NOT_READ = ("unreadable", "")
_WHERE = f"{TABLES}/{CONTENTS.name}"

_SCRATCH = (
    # What artifacts names, the blobs and packs that are there, and what contents says.
    "CREATE TABLE named (sha256 TEXT, size INTEGER, PRIMARY KEY (sha256, size)) WITHOUT ROWID",
    "CREATE TABLE blobs (sha256 TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID",
    "CREATE TABLE packs (sha256 TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID",
    """CREATE TABLE places (sha256 TEXT PRIMARY KEY, pack TEXT, start INTEGER, size INTEGER)
    WITHOUT ROWID""",
    # What must lie alone: all that is in no pack.
    """CREATE VIEW alone AS SELECT sha256, size FROM named WHERE NOT EXISTS
    (SELECT 1 FROM places WHERE places.sha256 = named.sha256 AND pack <> '')""",
)


class ArtifactCheck:
    """Holds rows of ``artifacts`` against contents. Both are kept in a temporary file.

    Attributes:
        pool: Who reads contents.
    """

    def __init__(
        self,
        report: VerifyReport,
        manifest: Manifest,
        blobs: Blobs,
        storage: Storage,
        pool: TaskPool,
    ) -> None:
        """Check the packs in `storage` and `blobs`, which may belong to others too."""
        self.pool = pool
        self._report = report
        self._totals = manifest.artifacts
        self._has_packs = manifest.has_packs
        self._blobs = blobs
        self._storage = storage
        self._bytes = 0
        self._lost = False
        self._all_seen = False
        self._seen: list[tuple[str, int]] = []
        self._scratch = Scratch(*_SCRATCH)

    def saw(self, sha256: str, size: int) -> None:
        """Take a blob that lies in the bundle."""
        self._report.blobs += 1
        self._seen.append((sha256, size))
        if len(self._seen) >= _AT_A_TIME:
            self._note_seen()

    def saw_pack(self, sha256: str, size: int) -> None:
        """Take a pack that lies in the bundle."""
        self._report.packs += 1
        self._scratch.run("INSERT INTO packs VALUES (?, ?)", sha256, size)

    def _note_seen(self) -> None:
        seen, self._seen = self._seen, []
        self._scratch.run_many("INSERT INTO blobs VALUES (?, ?)", seen)

    def take(self, path: str, batch: pa.RecordBatch) -> None:
        """Take rows of ``artifacts``, from the part at `path`."""
        named = []
        columns = ("owner_kind", "owner_id", "path", "size", "sha256")
        for owner_kind, owner_id, name, size, sha256 in python_rows(batch, columns):
            wrong = what_is_wrong(owner_kind, name, size, sha256)
            if wrong:
                kind = "content" if is_safe_path(name) else "unsafe-path"
                whose = f"{owner_kind:.60} {owner_id:.200}: {name!r:.300}"
                self._report.add(path, kind, f"{whose} {wrong}")
            else:
                named.append((sha256, size))
            self._bytes += size
        self._report.files += batch.num_rows
        self._scratch.run_many("INSERT OR IGNORE INTO named VALUES (?, ?)", named)

    def take_contents(self, path: str, batch: pa.RecordBatch) -> None:
        """Take rows of ``contents``, from the part at `path`."""
        places = []
        for row in contents_rows(batch):
            if wrong := what_is_wrong_with_place(*row):
                self._report.add(path, "content", f"{row[0]!r:.100} {wrong}")
            else:
                places.append(row)
                self._report.blobs += bool(row[1])
        self._scratch.run_many("INSERT OR IGNORE INTO places VALUES (?, ?, ?, ?)", places)

    def lost(self, table: str) -> None:
        """Say that some rows of a table could not be read."""
        self._lost = self._lost or table in {ARTIFACTS.name, CONTENTS.name}

    def check_stored(self) -> None:
        """Without a look at the rows: as many files, and bytes in them, as the manifest says."""
        self._note_seen()
        totals = self._totals
        alone = (totals.blobs - totals.packed, totals.blob_bytes - totals.packed_bytes)
        self._check_total("blobs", alone)
        self._check_total("packs", (totals.packs, totals.pack_bytes))
        self._report.blobs += totals.packed

    def check_named(self) -> None:
        """Every row has its content, of the right size; every content a row; totals are right."""
        self._note_seen()
        if self._lost:
            return
        # Those that the walk has seen need no second look; blobs of a pool it has not seen.
        query = "SELECT sha256, size FROM alone EXCEPT SELECT sha256, size FROM blobs"
        self._all_seen = True
        for sha256, size in self._scratch.rows(query):
            self._all_seen = False
            if not self._blobs.has(sha256, size):
                detail = f"is missing, a link, or has not the {size:,} bytes that artifacts says"
                self._report.add(blob_path(sha256), "blob", detail)
        query = "SELECT sha256 FROM blobs EXCEPT SELECT sha256 FROM alone"
        for (sha256,) in self._scratch.rows(query):
            self._report.add(blob_path(sha256), "unreferenced", "no artifact is this blob")
        if self._has_packs:
            self._check_places()
        totals = self._totals
        self._check_total("named", (totals.blobs, totals.blob_bytes))
        self._check_total("packs", (totals.packs, totals.pack_bytes))
        packed = "(SELECT * FROM places WHERE pack <> '')"
        self._check_total(packed, (totals.packed, totals.packed_bytes))
        if (self._report.files, self._bytes) != (totals.files, totals.bytes):
            detail = "artifacts: files or bytes do not match the table"
            self._report.add(MANIFEST, "totals", detail)

    def _check_places(self) -> None:
        """``contents`` names what ``artifacts`` names, and the packs that are there."""
        query = "SELECT sha256, size FROM named EXCEPT SELECT sha256, size FROM places"
        for sha256, size in self._scratch.rows(query):
            detail = f"does not say where the {size:,} bytes of {sha256} are, which artifacts names"
            self._report.add(_WHERE, "content", detail)
        query = "SELECT sha256 FROM places EXCEPT SELECT sha256 FROM named"
        for (sha256,) in self._scratch.rows(query):
            self._report.add(_WHERE, "unreferenced", f"no artifact is {sha256}")
        query = "SELECT pack FROM places WHERE pack <> '' EXCEPT SELECT sha256 FROM packs"
        for (pack,) in self._scratch.rows(query):
            self._report.add(pack_path(pack), "missing", "is not there, or a link")
        query = "SELECT sha256 FROM packs EXCEPT SELECT pack FROM places"
        for (pack,) in self._scratch.rows(query):
            self._report.add(pack_path(pack), "unreferenced", "no content is in this pack")

    def check_contents(self, choice: Iterator[bool] | None) -> None:
        """Read blobs and packs that are named, or in the bundle: all, or contents by `choice`."""
        blobs = "blobs"
        if not self._all_seen:
            blobs = (
                "(SELECT sha256, max(size) AS size"
                " FROM (SELECT * FROM blobs UNION SELECT * FROM alone) GROUP BY sha256)"
            )
        places = "SELECT pack, sha256, start, size FROM places WHERE pack <> ''"
        if choice is None:
            self._expect(blobs)
            self._expect("packs")
        else:
            every = f"SELECT '' AS pack, sha256, 0 AS start, size FROM {blobs} UNION ALL {places}"  # noqa: S608
            rows = self._scratch.rows(f"SELECT * FROM ({every}) ORDER BY sha256")  # noqa: S608
            picked = (row for row, yes in zip(rows, choice, strict=False) if yes)
            self._scratch.run(
                "CREATE TABLE chosen (pack TEXT, sha256 TEXT, start INTEGER, size INTEGER)"
            )
            self._scratch.run_many("INSERT INTO chosen VALUES (?, ?, ?, ?)", picked)
            self._expect("chosen")
            blobs, places = "chosen WHERE pack = ''", "SELECT * FROM chosen WHERE pack <> ''"
        here = Looked()
        alone = self._scratch.rows(f"SELECT sha256, size FROM {blobs} ORDER BY sha256")  # noqa: S608
        packed = self._scratch.rows(f"{places} ORDER BY pack, start")
        kind = LookAtPack if choice is None else LookAtPlaces
        tasks: Iterator[Task] = chain(
            blob_tasks(self._blobs, self._storage.name, alone),
            pack_tasks(kind, self._storage, packed, here),
        )
        for looked in answers_in_order(
            self.pool, look, tasks, failed=lambda found: found.has_problems
        ):
            self._take_looked(looked)
        self._take_looked(here)

    def _take_looked(self, looked: Looked) -> None:
        self._report.blobs_read += looked.blobs_read
        self._report.read(looked.bytes_read)
        for problem in looked.problems:
            self._report.add(*problem)

    def _expect(self, table: str) -> None:
        total = self._scratch.one(f"SELECT coalesce(sum(size), 0) FROM {table}")  # noqa: S608
        self._report.expect(total[0] if total else 0)

    def close(self) -> None:
        """Free the temporary space."""
        self._scratch.close()

    def _check_total(self, table: str, expected: tuple[int, int]) -> None:
        # `table` is one of those made above.
        query = f"SELECT count(*), coalesce(sum(size), 0) FROM {table}"  # noqa: S608
        if self._scratch.one(query) != expected:
            what = "packs" if "pack" in table else "blobs"
            detail = f"artifacts: the number of {what}, or of their bytes, does not match"
            self._report.add(MANIFEST, "totals", detail)
