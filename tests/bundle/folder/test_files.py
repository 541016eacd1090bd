from __future__ import annotations

import os

import pytest

from mlporter.bundle.folder.files import Entry, open_inside, read_inside, walk
from mlporter.errors import BundleDamagedError


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_bytes(b"12345")
    (root / "top").write_bytes(b"1")
    return root


def test_a_file_is_read(root):
    assert read_inside(root, "a/b/file", 5) == b"12345"


def test_a_longer_file_is_refused(root):
    with pytest.raises(BundleDamagedError, match="a/b/file is longer than 4 bytes"):
        read_inside(root, "a/b/file", 4)


def test_a_link_is_not_followed(root, tmp_path):
    (tmp_path / "secret").write_text("s3cret")
    (root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleDamagedError, match="link is a symbolic link"):
        open_inside(root, "link")


def test_a_folder_on_the_way_that_is_a_link_is_not_followed(root, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "file").write_text("s3cret")
    (root / "c").symlink_to(tmp_path)
    with pytest.raises(BundleDamagedError, match=": c is a symbolic link"):
        open_inside(root, "c/b/file")


def test_the_bundle_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "latest").symlink_to(root)
    assert read_inside(tmp_path / "latest", "top", 1) == b"1"


def test_a_pipe_does_not_make_anybody_wait(root):
    os.mkfifo(root / "pipe")
    with pytest.raises(BundleDamagedError, match="pipe is not a regular file"):
        open_inside(root, "pipe")


@pytest.mark.parametrize("path", ["a", "a/b"])
def test_a_folder_is_no_file(root, path):
    with pytest.raises(BundleDamagedError, match="is not a regular file"):
        open_inside(root, path)


@pytest.mark.parametrize("path", ["none", "a/none", "top/none"])
def test_what_is_missing_is_named(root, path):
    with pytest.raises(BundleDamagedError, match=f"{path} is missing"):
        open_inside(root, path)


def test_walking_tells_what_everything_is(root, tmp_path):
    (root / "a" / "loop").symlink_to(root)
    os.mkfifo(root / "pipe")
    assert list(walk(root)) == [
        Entry("a", "folder", 0),
        Entry("a/b", "folder", 0),
        Entry("a/b/file", "file", 5),
        Entry("a/loop", "link", 0),
        Entry("pipe", "other", 0),
        Entry("top", "file", 1),
    ]
    assert [entry.path for entry in walk(root, "a")] == ["a/b", "a/b/file", "a/loop"]
