"""The portable directory: layout, manifest, parts, blobs, lock, check (docs/bundle-format.md)."""

from __future__ import annotations

from mlporter.bundle.blobs import BlobStore, Stored
from mlporter.bundle.check import Finding, VerifyReport, verify_bundle
from mlporter.bundle.manifest import Manifest, load_manifest
from mlporter.bundle.reader import BundleSource
from mlporter.bundle.state import Mode
from mlporter.bundle.writer import BundleWriter, ManifestInfo

__all__ = [
    "BlobStore",
    "BundleSource",
    "BundleWriter",
    "Finding",
    "Manifest",
    "ManifestInfo",
    "Mode",
    "Stored",
    "VerifyReport",
    "load_manifest",
    "verify_bundle",
]
