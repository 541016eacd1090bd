"""Blobs in object storage: hashed piece by piece, and never kept on this machine for it."""

from __future__ import annotations

import hashlib
import pickle
from contextlib import closing
from io import BytesIO

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from mlporter.bundle.contents.index import ContentIndex
from mlporter.bundle.contents.packs import SMALL
from mlporter.bundle.contents.pool import ContentPool
from mlporter.bundle.contents.stored_blobs import StoredBlobs
from mlporter.bundle.storage import hashing
from mlporter.bundle.storage.local import LocalStorage
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


def test_what_another_process_begins_in_a_pool_lies_where_it_is_removed_with_the_rest(tmp_path):
    staged = tmp_path / "staged"
    staged.mkdir()

    class Watched(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            begun.extend(path.parent for path in tmp_path.rglob(".tmp-*"))
            return super().read(size)

    begun = []
    with closing(ContentIndex()) as index:
        pool = ContentPool(LocalStorage(tmp_path / "kept"), index)
        pool.scratch = staged
        taker = pickle.loads(pickle.dumps(pool.taker_elsewhere()))  # noqa: S301 -- ours
        taken = taker.take(Watched(b"large" * SMALL))
        assert pool.took(taken).is_new
        assert pool.has(taken.sha256, taken.size)
        again = taker.take(BytesIO(b"large" * SMALL))
        assert not pool.took(again).is_new
    assert set(begun) == {staged}
    assert list(staged.iterdir()) == []
