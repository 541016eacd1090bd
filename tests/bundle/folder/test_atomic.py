from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from mlporter.bundle.folder.atomic import (
    AtomicFile,
    disk_errors,
    make_folder,
    write_atomic,
    write_temporary,
)
from mlporter.errors import AccessDeniedError, UnreachableError


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_file_is_there_whole_and_its_sum_known(tmp_path):
    sha256 = write_atomic(tmp_path / "a" / "b", b"content")
    assert (tmp_path / "a" / "b").read_bytes() == b"content"
    assert sha256 == hashlib.sha256(b"content").hexdigest()
    assert names(tmp_path / "a") == ["b"]


def test_an_older_file_is_replaced(tmp_path):
    write_atomic(tmp_path / "a", b"long old content")
    write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_without_commit_the_older_file_stays_and_nothing_else(tmp_path):
    write_atomic(tmp_path / "a", b"old")
    with AtomicFile(tmp_path) as file:
        file.write(b"new")
        assert len(names(tmp_path)) == 2
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_new_file_has_the_permissions_that_the_user_wants(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_full_disk_says_so_and_how_to_go_on():
    full = Path("/dev/full")
    with (
        pytest.raises(UnreachableError, match="/dev/full: cannot write: No space left") as caught,
        disk_errors(full),
        full.open("wb", buffering=0) as file,
    ):
        file.write(b"x")
    assert caught.value.exit_code == 6
    assert "--resume" in str(caught.value.hint)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_denied_write_says_so(code):
    with pytest.raises(AccessDeniedError), disk_errors(Path("x")):
        raise OSError(code, os.strerror(code))


def test_a_folder_cannot_be_made_inside_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnreachableError, match="cannot write"):
        make_folder(tmp_path / "file" / "folder")


def test_a_small_file_that_is_interrupted_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(_descriptor, _data):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_temporary(str(tmp_path), b"1")
    assert list(tmp_path.iterdir()) == []
