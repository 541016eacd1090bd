"""Verify: every artifact has its blob, every blob its artifact, and each is what its name says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.files import hash_stream
from mlporter.bundle.folder.layout import MANIFEST, blob_path, is_safe_path, what_is_wrong
from mlporter.bundle.tables.scratch import Scratch
from mlporter.catalogue.tables.own import ARTIFACTS
from mlporter.errors import BundleDamagedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.bundle.blobs import BlobStore
    from mlporter.bundle.checks.findings import VerifyReport
    from mlporter.bundle.documents.manifest import Manifest

__all__ = ["ArtifactCheck"]


_AT_A_TIME = 1_000


class ArtifactCheck:
    """Holds rows of ``artifacts`` against blobs. Both are kept in a temporary file."""

    def __init__(self, report: VerifyReport, manifest: Manifest, blobs: BlobStore) -> None:
        """Check the blobs in `blobs`, which may belong to other bundles too."""
        self._report = report
        self._totals = manifest.artifacts
        self._blobs = blobs
        self._bytes = 0
        self._lost = False
        self._all_seen = False
        self._seen: list[tuple[str, int]] = []
        self._scratch = Scratch(
            "CREATE TABLE named (sha256 TEXT, size INTEGER, PRIMARY KEY (sha256, size))"
            " WITHOUT ROWID",
            "CREATE TABLE blobs (sha256 TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID",
        )

    def saw(self, sha256: str, size: int) -> None:
        """Take a blob that lies in the bundle."""
        self._report.blobs += 1
        self._seen.append((sha256, size))
        if len(self._seen) >= _AT_A_TIME:
            self._note_seen()

    def _note_seen(self) -> None:
        seen, self._seen = self._seen, []
        self._scratch.run_many("INSERT INTO blobs VALUES (?, ?)", seen)

    def take(self, path: str, batch: pa.RecordBatch) -> None:
        """Take rows of ``artifacts``, from the part at `path`."""
        named = []
        columns = ("owner_kind", "owner_id", "path", "size", "sha256")
        rows = zip(*(batch[name].to_pylist() for name in columns), strict=True)
        for owner_kind, owner_id, name, size, sha256 in rows:
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

    def lost(self, table: str) -> None:
        """Say that some rows of a table could not be read."""
        self._lost = self._lost or table == ARTIFACTS.name

    def check_stored(self) -> None:
        """Without a look at the rows: as many blobs, and bytes in them, as the manifest says."""
        self._note_seen()
        self._check_totals("blobs", files=None)

    def check_named(self) -> None:
        """Every row has its blob, of the right size; every blob has a row; the totals are right."""
        self._note_seen()
        if self._lost:
            return
        # Those that the walk has seen need no second look; blobs of a pool it has not seen.
        query = "SELECT sha256, size FROM named EXCEPT SELECT sha256, size FROM blobs"
        self._all_seen = True
        for sha256, size in self._scratch.rows(query):
            self._all_seen = False
            if not self._blobs.has(sha256, size):
                detail = f"is missing, a link, or has not the {size:,} bytes that artifacts says"
                self._report.add(blob_path(sha256), "blob", detail)
        query = "SELECT sha256 FROM blobs EXCEPT SELECT sha256 FROM named"
        for (sha256,) in self._scratch.rows(query):
            self._report.add(blob_path(sha256), "unreferenced", "no artifact is this blob")
        self._check_totals("named", files=(self._report.files, self._bytes))

    def check_contents(self, choice: Iterator[bool] | None) -> None:
        """Read blobs that artifacts name, or that lie in the bundle: all, or as `choice` says."""
        found = "blobs"
        if not self._all_seen:
            found = (
                "(SELECT sha256, max(size) AS size"
                " FROM (SELECT * FROM blobs UNION SELECT * FROM named) GROUP BY sha256)"
            )
        if choice is not None:
            rows = self._scratch.rows(f"SELECT sha256, size FROM {found} ORDER BY sha256")  # noqa: S608
            picked = (row for row, yes in zip(rows, choice, strict=False) if yes)
            found = "chosen"
            self._scratch.run(
                "CREATE TABLE chosen (sha256 TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID"
            )
            self._scratch.run_many("INSERT INTO chosen VALUES (?, ?)", picked)
        total = self._scratch.one(f"SELECT coalesce(sum(size), 0) FROM {found}")  # noqa: S608
        self._report.expect(total[0] if total else 0)
        for (sha256,) in self._scratch.rows(f"SELECT sha256 FROM {found} ORDER BY sha256"):  # noqa: S608
            self._check_content(sha256)

    def close(self) -> None:
        """Free the temporary space."""
        self._scratch.close()

    def _check_content(self, sha256: str) -> None:
        path = blob_path(sha256)
        try:
            with self._blobs.open_raw(sha256) as file, disk_errors(self._blobs.path, "read"):
                found = hash_stream(file, self._report.read)
        except BundleDamagedError:
            return  # missing or a link: named already
        except UnreachableError as error:
            self._report.add(path, "unreadable", error.message)
            return
        self._report.blobs_read += 1
        if found != sha256:
            self._report.add(path, "sha256", "does not match its name")

    def _check_totals(self, table: str, files: tuple[int, int] | None) -> None:
        # `table` is one of the two made above.
        query = f"SELECT count(*), coalesce(sum(size), 0) FROM {table}"  # noqa: S608
        found = self._scratch.one(query)
        if found != (self._totals.blobs, self._totals.blob_bytes):
            detail = "artifacts: the number of blobs, or of their bytes, does not match"
            self._report.add(MANIFEST, "totals", detail)
        if files is not None and files != (self._totals.files, self._totals.bytes):
            detail = "artifacts: files or bytes do not match the table"
            self._report.add(MANIFEST, "totals", detail)
