from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlporter.bundle.blobs import BlobStore
from mlporter.errors import BundleDamagedError, UnreachableError

HELLO = hashlib.sha256(b"hello").hexdigest()


@pytest.fixture
def store(tmp_path):
    return BlobStore(tmp_path / "blobs")


def add(store, content):
    """Add a content for good."""
    stored = store.add(io.BytesIO(content))
    store.sync()
    return stored


def test_a_content_is_stored_once_under_its_hash(store):
    assert add(store, b"hello") == (HELLO, 5, True)
    assert add(store, b"hello") == (HELLO, 5, False)
    assert store.path_of(HELLO).read_bytes() == b"hello"
    assert [path.name for path in store.path.rglob("*")] == [HELLO[:2], HELLO]
    assert list(store.iterate()) == [(HELLO, 5)]


def test_an_empty_store_has_nothing(store):
    assert list(store.iterate()) == []
    assert not store.has(HELLO, 5)


def test_a_blob_of_the_wrong_size_is_replaced(store):
    add(store, b"hello")
    store.path_of(HELLO).write_bytes(b"hel")
    assert add(store, b"hello").is_new
    assert store.path_of(HELLO).read_bytes() == b"hello"


def test_what_breaks_while_it_is_read_leaves_nothing(store):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell():
                raise OSError("the network is gone")
            return super().read(size)

    with pytest.raises(OSError, match="the network is gone"):
        store.add(Broken(b"hello"))
    assert list(store.path.iterdir()) == []


def test_many_threads_may_add_the_same(store):
    contents = [bytes([i % 7]) * 100_000 for i in range(70)]
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda content: store.add(io.BytesIO(content)), contents))
    store.sync()
    assert len({found.sha256 for found in added}) == 7
    assert len(list(store.iterate())) == 7
    for found in added:
        with store.open(found.sha256, found.size) as file:
            assert hashlib.sha256(file.read()).hexdigest() == found.sha256


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=8))
def test_reading_in_any_steps_gives_the_content(tmp_path_factory, content, steps):
    store = BlobStore(tmp_path_factory.mktemp("blobs"))
    sha256, size, _ = add(store, content)
    with store.open(sha256, size) as file:
        assert b"".join(file.read(step) for step in steps) + file.read() == content


@pytest.mark.parametrize("changed", [b"jello", b"hellO"])
def test_a_changed_blob_never_ends(store, changed):
    add(store, b"hello")
    store.path_of(HELLO).write_bytes(changed)
    with store.open(HELLO) as file, pytest.raises(BundleDamagedError, match="not match its name"):
        file.read()


def test_the_last_bytes_of_a_changed_blob_are_not_handed_out(store):
    content = os.urandom(3 * 2**20)
    sha256, size, _ = add(store, content)
    store.path_of(sha256).write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with store.open(sha256, size) as file:
        assert len(file.read(2**20)) == 2**20
        with pytest.raises(BundleDamagedError):
            file.read(2 * 2**20)


@pytest.mark.parametrize("changed", [b"hell", b"hello!", b""])
def test_another_size_is_found_at_once(store, changed):
    add(store, b"hello")
    store.path_of(HELLO).write_bytes(changed)
    with pytest.raises(BundleDamagedError, match="bytes, not 5"):
        store.open(HELLO, 5)


def test_a_missing_blob_is_named(store):
    with pytest.raises(BundleDamagedError, match=f"{HELLO} is missing"):
        store.open(HELLO)


def test_links_are_not_followed(store, tmp_path):
    (tmp_path / "secret").write_bytes(b"hello")
    store.path_of(HELLO).parent.mkdir(parents=True)
    store.path_of(HELLO).symlink_to(tmp_path / "secret")
    assert not store.has(HELLO, 5)
    with pytest.raises(BundleDamagedError, match="is a symbolic link"):
        store.open(HELLO)
    with pytest.raises(BundleDamagedError, match="is not a blob"):
        list(store.iterate())


@pytest.mark.parametrize("name", ["../../etc/passwd", HELLO.upper(), HELLO[:-1], f"{HELLO}\n", ""])
def test_names_are_hashes_and_nothing_else(store, name):
    with pytest.raises(ValueError, match="not a SHA-256"):
        store.path_of(name)


def test_what_waits_for_its_name_is_there_and_is_not_taken_twice(store):
    assert store.add(io.BytesIO(b"hello")).is_new
    assert not store.add(io.BytesIO(b"hello")).is_new
    assert store.has(HELLO, 5)
    assert not store.path_of(HELLO).exists()
    store.sync()
    assert store.path_of(HELLO).read_bytes() == b"hello"


@pytest.mark.parametrize("count", [3, 2_500])
def test_many_get_their_names_together(store, count):
    """More than wait at a time, and so few that each is synced by itself."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: store.add(io.BytesIO(b"%d" % i)), range(count)))
    store.sync()
    names = {hashlib.sha256(b"%d" % i).hexdigest() for i in range(count)}
    assert {name for name, _ in store.iterate()} == names
    assert {path.name for path in store.path.rglob("*") if path.is_file()} == names


def test_what_cannot_be_made_durable_gets_no_name(store, monkeypatch):
    def fail(folder, files):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mlporter.bundle.blobs.sync_files", fail)
    store.add(io.BytesIO(b"hello"))
    with pytest.raises(UnreachableError, match="No space left"):
        store.sync()
    assert [path for path in store.path.rglob("*") if path.is_file()] == []
    assert not store.has(HELLO, 5)
