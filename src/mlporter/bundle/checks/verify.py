"""``verify``: holds a bundle against docs/bundle-format.md and lists all that is wrong."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.bundle.blobs import BlobStore
from mlporter.bundle.checks.artifacts import ArtifactCheck
from mlporter.bundle.checks.files import check_names, check_sizes, check_summaries, check_sums
from mlporter.bundle.checks.findings import Finding, Progress, VerifyMode, VerifyReport
from mlporter.bundle.checks.looked import who_reads
from mlporter.bundle.checks.tables import check_tables
from mlporter.bundle.contents.stored_blobs import StoredBlobs
from mlporter.bundle.documents.manifest import parse_manifest, sums_of
from mlporter.bundle.folder.layout import BLOBS, MANIFEST, MAX_MANIFEST_BYTES, SUMS
from mlporter.bundle.folder.state import check_finished
from mlporter.bundle.storage.bundle_place import check_there
from mlporter.bundle.storage.local import LocalStorage
from mlporter.errors import BundleDamagedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.bundle.checks.looked import Blobs
    from mlporter.bundle.storage.protocol import Storage
    from mlporter.workers.task_pool import TaskPool

__all__ = ["Finding", "Progress", "VerifyMode", "VerifyReport", "verify_bundle"]


def verify_bundle(  # noqa: PLR0913 - all but two go by name
    place: str | os.PathLike[str] | Storage,
    mode: VerifyMode = "full",
    *,
    fraction: float = 0.1,
    seed: int | None = None,
    blobs: BlobStore | None = None,
    workers: int = 4,
    pool: TaskPool | None = None,
    on_progress: Progress | None = None,
) -> VerifyReport:
    """Check a bundle; goes on after what is wrong and lists all of it.

    Args:
        place: The bundle: its directory, or where it is in object storage.
        mode: "full" reads every byte, decodes every row and follows every reference. "sample"
            reads all parts, but only some contents, and follows no reference. "quick" reads neither
            parts nor contents: manifest, summaries, sums, names and sizes only.
        fraction: Share of the contents that "sample" reads, from 0 to 1.
        seed: Makes the choice of "sample" the same again.
        blobs: The pool that the blobs are in, if not in the bundle.
        workers: Contents that are read at a time.
        pool: Who reads them and the parts of tables, if not so many threads.
        on_progress: Called with bytes read so far and bytes to be read.

    Raises:
        UnreachableError: there is no such directory, or it cannot be listed.
        UsageError: it is not a bundle, or `fraction` is no share.
        BundleUnfinishedError: its export was interrupted.
        BundleInUseError: it is being written.
        UnsupportedError: it is of a later format version.
    """
    storage = LocalStorage(Path(place)) if isinstance(place, (str, os.PathLike)) else place
    if not 0 <= fraction <= 1:
        raise UsageError(f"the share to read must be from 0 to 1, not {fraction}")
    if isinstance(storage, LocalStorage):
        check_finished(storage.root)
    else:
        check_there(storage)
    report = VerifyReport(storage.name, mode, on_progress)
    try:
        data = storage.read(MANIFEST, MAX_MANIFEST_BYTES)
        manifest = parse_manifest(data)
    except BundleDamagedError as error:
        for detail in error.reasons or (error.message,):
            report.add(MANIFEST, "manifest", detail)
        return report
    report.bundle_id = manifest.bundle_id
    own = blobs or _own_blobs(storage)
    readers = who_reads(storage, pool, workers)
    artifacts = ArtifactCheck(report, manifest, own, storage, readers)
    try:
        sums = sums_of(manifest, data)
        saw_pack = artifacts.saw_pack if manifest.has_packs else None
        check_names(storage, {*sums, SUMS}, report, artifacts.saw, saw_pack)
        check_sums(storage, sums, report)
        check_summaries(storage, manifest, report)
        if mode == "quick":
            check_sizes(storage, manifest, report)
            if blobs is None:
                artifacts.check_stored()
            return report
        report.expect(sum(table.bytes for table in manifest.tables.values()))
        check_tables(storage, manifest, report, artifacts, follow=mode == "full")
        artifacts.check_named()
        whole = mode == "full" or fraction == 1
        artifacts.check_contents(None if whole else _choice(fraction, seed))
    finally:
        artifacts.close()
    return report


def _own_blobs(storage: Storage) -> Blobs:
    """Contents of a bundle that lie alone."""
    if isinstance(storage, LocalStorage):
        return BlobStore(storage.root / BLOBS)
    return StoredBlobs(storage)


def _choice(fraction: float, seed: int | None) -> Iterator[bool]:
    """For each content in turn, whether a sample has it."""
    choose = random.Random(seed)  # noqa: S311 - a sample, not a secret
    while True:
        yield choose.random() < fraction
