"""``SHA256SUMS``: the sums of all but blobs, as ``sha256sum`` writes and checks them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlporter.bundle.folder.layout import MANIFEST

if TYPE_CHECKING:
    from mlporter.bundle.documents.manifest import Manifest

__all__ = ["sums_bytes", "sums_of"]


def sums_of(manifest: Manifest, manifest_data: bytes) -> dict[str, str]:
    """The SHA-256 (hex) that each file but blobs and ``SHA256SUMS`` itself must have, by path."""
    sums = {MANIFEST: hashlib.sha256(manifest_data).hexdigest()}
    sums |= {summary.path: summary.sha256 for summary in manifest.summaries}
    for table in manifest.tables.values():
        sums |= {part.path: part.sha256 for part in table.parts}
    return sums


def sums_bytes(sums: dict[str, str]) -> bytes:
    """The one and only bytes of ``SHA256SUMS``: sorted by path, two spaces, lower case."""
    return "".join(f"{sums[path]}  {path}\n" for path in sorted(sums)).encode()
