"""Verify, first part: the right files are there, and ``SHA256SUMS`` says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.bundle.documents.manifest import sums_bytes
from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.files import Entry, check_size, hash_stream, walk
from mlporter.bundle.folder.layout import (
    BLOB_PATH,
    MAX_MANIFEST_BYTES,
    PACK_PATH,
    SIGNATURE,
    SUMS,
    WORK,
)
from mlporter.bundle.storage.local import LocalStorage
from mlporter.errors import BundleDamagedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.bundle.checks.findings import VerifyReport
    from mlporter.bundle.documents.manifest import Manifest
    from mlporter.bundle.documents.manifest_entries import SummaryEntry
    from mlporter.bundle.storage.protocol import Storage

__all__ = ["check_names", "check_sizes", "check_summaries", "check_sums"]

_LINES_SHOWN = 20


def check_names(
    storage: Storage,
    expected: set[str],
    report: VerifyReport,
    saw_blob: Callable[[str, int], None],
    saw_pack: Callable[[str, int], None] | None,
) -> None:
    """Every expected file is there, as a file, and nothing else but blobs and packs is.

    `saw_blob` and `saw_pack` get the SHA-256 and size of each of them; without `saw_pack` the
    bundle has no packs. Empty folders mean nothing.
    """
    missing = set(expected)
    for entry in _entries(storage):
        if entry.path.split("/")[0] == WORK:
            continue
        if entry.kind == "link":
            report.add(entry.path, "symlink", "is a symbolic link")
        elif entry.kind == "other":
            report.add(entry.path, "unexpected", "is not a regular file")
        elif entry.kind == "file" and BLOB_PATH.fullmatch(entry.path):
            saw_blob(entry.path.rpartition("/")[2], entry.size)
        elif saw_pack and entry.kind == "file" and (pack := PACK_PATH.fullmatch(entry.path)):
            saw_pack(pack[2], entry.size)
        elif entry.kind == "file" and entry.path not in {*expected, SIGNATURE}:
            report.add(entry.path, "unexpected", "is not a file of this bundle")
        missing.discard(entry.path)
    for path in sorted(missing):
        report.add(path, "missing", "is not there")


def check_sums(storage: Storage, sums: dict[str, str], report: VerifyReport) -> None:
    """``SHA256SUMS`` is, byte for byte, what the manifest makes it."""
    expected = sums_bytes(sums)
    try:
        found = storage.read(SUMS, len(expected) + MAX_MANIFEST_BYTES)
    except (BundleDamagedError, UnreachableError) as error:
        report.add(SUMS, "unreadable", error.message)
        return
    if found != expected:
        for detail in _differences(found, expected)[:_LINES_SHOWN]:
            report.add(SUMS, "sums", detail)


def check_summaries(storage: Storage, manifest: Manifest, report: VerifyReport) -> None:
    """``experiments.yaml`` and ``models.yaml`` have the sizes and sums of the manifest."""
    for summary in manifest.summaries:
        _check_summary(storage, summary, report)


def _check_summary(storage: Storage, summary: SummaryEntry, report: VerifyReport) -> None:
    path = summary.path
    try:
        with storage.open(path) as file, disk_errors(f"{storage.name}/{path}", "read"):
            check_size(storage.name, path, file, summary.bytes)
            if hash_stream(file) != summary.sha256:
                report.add(path, "sha256", "does not match the manifest")
    except BundleDamagedError as error:
        report.add(path, "size", error.message)
    except UnreachableError as error:
        report.add(path, "unreadable", error.message)


def check_sizes(storage: Storage, manifest: Manifest, report: VerifyReport) -> None:
    """Every part has the size that the manifest gives it."""
    for entry in manifest.tables.values():
        report.tables += 1
        for part in entry.parts:
            report.parts += 1
            try:
                found = storage.size(part.path)
            except UnreachableError as error:
                report.add(part.path, "unreadable", error.message)
                continue
            if found != part.bytes:
                has = "is missing" if found is None else f"has {found:,} bytes, not {part.bytes:,}"
                report.add(part.path, "size", has)


def _entries(storage: Storage) -> Iterator[Entry]:
    """Everything that is there; in a folder also what is no file."""
    if isinstance(storage, LocalStorage):
        yield from walk(storage.root)
        return
    for found in storage.walk():
        yield Entry(found.path, "file", found.size)


def _differences(found: bytes, expected: bytes) -> list[str]:
    lines = found.decode(errors="replace").splitlines()
    right = expected.decode().splitlines()
    lacking = sorted(set(right) - set(lines))
    foreign = sorted(set(lines) - set(right))
    return [
        *(f"lacks the line {line!r}" for line in lacking),
        *(f"has an unexpected line {line[:200]!r}" for line in foreign),
    ] or ["has its lines in a different order, or different line endings"]
