"""Blobs in object storage: hashed piece by piece, and never kept on this machine for it."""

from __future__ import annotations

import hashlib

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from mlporter.bundle.contents.stored_blobs import StoredBlobs
from mlporter.bundle.storage import hashing
from mlporter.bundle.storage.remote import RemoteStorage
from mlporter.errors import BundleDamagedError


class Bucket(MemoryFileSystem):
    """Object storage of this process, from which nothing is downloaded as a file."""

    cachable, store, pseudo_dirs = False, {}, [""]

    def get_file(self, rpath, *_, **__):
        pytest.fail(f"{rpath} was downloaded")


@pytest.mark.parametrize(("size", "pieces"), [(0, []), (10, [4, 4, 2]), (8, [4, 4])])
def test_a_blob_is_hashed_in_pieces(monkeypatch, size, pieces):
    storage = RemoteStorage(Bucket(), "/bundle", "memory")
    content = b"x" * size
    sha256 = hashlib.sha256(content).hexdigest()
    storage.put(f"blobs/{sha256[:2]}/{sha256}", content)
    monkeypatch.setattr(hashing, "_PIECE", 4)
    seen = []
    assert StoredBlobs(storage).hash(sha256, seen.append) == sha256
    assert seen == pieces


def test_a_blob_that_is_missing_is_damage():
    with pytest.raises(BundleDamagedError):
        StoredBlobs(RemoteStorage(Bucket(), "/bundle", "memory")).hash("ab" * 32, id)
