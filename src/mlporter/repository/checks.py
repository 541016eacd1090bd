"""``verify`` of a repository: every snapshot is whole, every object what its name says."""

from __future__ import annotations

import hashlib
import random
from contextlib import closing
from typing import TYPE_CHECKING

from mlporter.bundle.checks.findings import VerifyReport
from mlporter.bundle.checks.looked import look, who_reads
from mlporter.bundle.checks.parts import look_at_all
from mlporter.bundle.folder.layout import blob_path, name_in, pack_path
from mlporter.errors import BundleDamagedError, MlporterError
from mlporter.repository.layout import PARTS, SNAPSHOT, SNAPSHOTS, part_object, snapshot_path
from mlporter.repository.objects import object_tasks
from mlporter.repository.rows import SnapshotTable
from mlporter.repository.used import Used
from mlporter.workers.in_order import answers_in_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.bundle.checks.findings import Progress, VerifyMode
    from mlporter.repository.documents import Snapshot
    from mlporter.repository.repository import Repository
    from mlporter.workers.task_pool import TaskPool

__all__ = ["verify_repository"]


def verify_repository(  # noqa: PLR0913 -- all but two go by name
    repository: Repository,
    mode: VerifyMode = "full",
    *,
    only: str | None = None,
    fraction: float = 1.0,
    seed: int | None = None,
    workers: int = 4,
    pool: TaskPool | None = None,
    on_progress: Progress | None = None,
) -> VerifyReport:
    """Check a repository, or one snapshot; goes on after what is wrong and lists all of it.

    Args:
        repository: Which; closed afterwards.
        only: The name of a snapshot: only what it names is looked at, and every row of it is read.
        mode: "full" reads every byte; "sample" a share of the objects; "quick" names and sizes,
            and the documents.
        fraction: Share of the objects that "sample" reads.
        seed: Makes the choice of "sample" the same again.
        workers: Objects that are read at a time.
        pool: Who reads them, if not so many threads; only this process reads what is encrypted.
        on_progress: Called with bytes read so far and bytes to be read.

    Raises:
        UnreachableError: it cannot be listed.
    """
    where = repository.storage.name
    report = VerifyReport(where if only is None else f"{where}@{only}", mode, on_progress)
    report.bundle_id = repository.about.repository_id
    chosen = random.Random(seed)  # noqa: S311 -- a sample, not a secret
    with closing(repository):
        check = _Check(repository, report, only)
        try:
            repository.load_index()
        except BundleDamagedError as error:
            report.add("index", "index", str(error))
        check.snapshots()
        if mode == "quick":
            return report
        read = (lambda: True) if mode == "full" else (lambda: chosen.random() < fraction)
        pool = who_reads(repository.storage, pool, workers)
        if only is not None and mode == "full":
            check.rows(pool)
        check.contents(read, pool)
    return report


class _Check:
    def __init__(self, repository: Repository, report: VerifyReport, only: str | None) -> None:
        self._repository = repository
        self._only = only
        self._storage = repository.storage
        self._report = report
        self._sizes: dict[str, int] = {}
        self._whole: list[Snapshot] = []

    def snapshots(self) -> None:
        """Documents, and that every object that they name is there with the right size."""
        for folder in ("packs", "blobs", PARTS):
            self._sizes |= {found.path: found.size for found in self._storage.walk(folder)}
        names: dict[str, set[str]] = {}
        for found in self._storage.walk(SNAPSHOTS):
            _, name, document = found.path.split("/", 2)
            names.setdefault(name, set()).add(document)
        for name in sorted(names):
            if SNAPSHOT in names[name] and self._only in {None, name}:
                self._snapshot(name)
        try:
            used = Used(self._repository, self._whole)
        except MlporterError as error:
            self._report.add(PARTS, "content", str(error))
            return
        with closing(used):
            self._named(used)

    def _snapshot(self, name: str) -> None:
        path = snapshot_path(name)
        self._report.snapshots += 1
        try:
            snapshot = self._repository.snapshot(name)
            manifest = self._repository.manifest(snapshot)
        except MlporterError as error:
            self._report.add(path, "snapshot", str(error))
            return
        for summary in manifest.summaries:
            self._summary(snapshot_path(name, summary.path), summary.sha256)
        missing = False
        for entry in manifest.tables.values():
            self._report.tables += 1
            for part in entry.parts:
                found = self._sizes.get(part_object(part.sha256))
                if found is None or (not self._is_sealed and found != part.bytes):
                    what = "is missing" if found is None else f"has {found:,} bytes"
                    detail = f"{what}; {name} names it, with {part.bytes:,} bytes"
                    self._report.add(part_object(part.sha256), "part", detail)
                    missing = True
        if not missing:
            self._whole.append(snapshot)

    @property
    def _is_sealed(self) -> bool:
        """Whether sizes as stored are not those of what is read: it is encrypted."""
        return bool(self._repository.about.recipients)

    def _summary(self, path: str, sha256: str) -> None:
        try:
            with self._storage.open(path) as file:
                if hashlib.sha256(file.read()).hexdigest() != sha256:
                    self._report.add(path, "sha256", "does not match the manifest")
        except MlporterError as error:
            self._report.add(path, "unreadable", str(error))

    def _named(self, used: Used) -> None:
        """Every content that is named has a place, and every object is named by something."""
        packs = set()
        for sha256, size in used.contents():
            self._report.files += 1
            found = self._repository.index.find(sha256)
            path = "" if found is None else _place(sha256, found.pack)
            if found is None or found.size != size or path not in self._sizes:
                detail = "is named by a snapshot, and in no pack or blob"
                self._report.add(path or blob_path(sha256), "content", detail)
                continue
            packs.add(path)
        unnamed = {path for path in self._sizes if not self._is_named(path, used, packs)}
        if self._only is None:
            self._report.unreferenced = len(unnamed)
            self._report.unreferenced_bytes = sum(self._sizes[path] for path in unnamed)
            return
        self._sizes = {path: size for path, size in self._sizes.items() if path not in unnamed}

    @staticmethod
    def _is_named(path: str, used: Used, packs: set[str]) -> bool:
        name = name_in(path)
        return used.has_part(name) if path.startswith(f"{PARTS}/") else path in packs

    def rows(self, pool: TaskPool) -> None:
        """Every row of a snapshot: decoded, in order, and as many as it says."""
        for snapshot in self._whole:
            entries = self._repository.manifest(snapshot).tables
            tables = [SnapshotTable(self._storage, name, entries, self._report) for name in entries]
            look_at_all(pool, tables)
            for table in tables:
                table.finish()

    def contents(self, read: Callable[[], bool], pool: TaskPool) -> None:
        """Read objects, several at a time, and hold each against its name."""
        chosen = [path for path in sorted(self._sizes) if read()]
        self._report.blobs += len(self._sizes)
        self._report.expect(sum(self._sizes[path] for path in chosen))
        tasks = object_tasks(self._storage, ((path, self._sizes[path]) for path in chosen))
        for looked in answers_in_order(pool, look, tasks, failed=lambda found: found.has_problems):
            self._report.blobs_read += looked.blobs_read
            self._report.read(looked.bytes_read)
            for problem in looked.problems:
                self._report.add(*problem)
            for path, sha256, offset in looked.members:
                found = self._repository.index.find(sha256)
                if found and found.pack == name_in(path) and found.offset != offset:
                    detail = f"the index has {sha256} at another place"
                    self._report.add(path, "index", detail)


def _place(sha256: str, pack: str) -> str:
    return pack_path(pack) if pack else blob_path(sha256)
