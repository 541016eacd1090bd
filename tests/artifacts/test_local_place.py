import hashlib
import io
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlporter.artifacts.disk import durable, sorting, write_log
from mlporter.artifacts.disk.copying import copy_and_hash, hash_stream
from mlporter.artifacts.disk.write_log import WriteLog
from mlporter.artifacts.listing import FoundFile
from mlporter.artifacts.places import LocalPlace, Written
from mlporter.artifacts.uris.allowed_folders import Roots
from mlporter.errors import AccessDeniedError, RefusedError, UnreachableError
from tests.support.denied import denied
from tests.support.listed import listed
from tests.support.memory import traced_peak

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX file systems")


def write(root, **files):
    for name, data in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def names(place):
    return [file.path for file in listed(place).files]


def problems(place):
    return {problem.path: problem.reason for problem in listed(place).problems}


def tree(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }


@given(st.binary(max_size=300), st.integers(1, 64))
def test_copy_and_hash(data, chunk):
    copied = io.BytesIO()
    expected = hashlib.sha256(data).hexdigest(), len(data)
    assert copy_and_hash(io.BytesIO(data), copied, chunk) == expected
    assert copied.getvalue() == data
    assert hash_stream(io.BytesIO(data), chunk) == expected


# --- list, open -----------------------------------------------------------------------------------


def test_files_are_listed_by_the_bytes_of_their_path(tmp_path):
    write(tmp_path, **{"b": b"1", "a/x": b"22", "a.txt": b"", "\U0001f600": b"", "\uff5e": b"3"})
    (tmp_path / "empty").mkdir()
    place = LocalPlace(tmp_path)
    assert names(place) == ["a.txt", "a/x", "b", "\uff5e", "\U0001f600"]
    assert [file.size for file in listed(place).files] == [0, 2, 1, 1, 0]
    assert not listed(place).problems


@pytest.mark.parametrize("few", [2, 10_000])
def test_folders_and_files_of_similar_names_are_in_one_order(tmp_path, monkeypatch, few):
    monkeypatch.setattr(sorting, "_FEW", few)
    paths = ["a-b/x", "a.b", "a/b/c", "a/b-c", "a/b.d", "a0", "ab/x", "a b", "\uff5e/x", "é", "Z"]
    paths += ["\U0001f600", "A/\U0001f600/x", "A/\uff5e"]
    write(tmp_path, **dict.fromkeys(paths, b""))
    (tmp_path / "linked").symlink_to(tmp_path / "a", target_is_directory=True)
    paths += ["linked/b/c", "linked/b-c", "linked/b.d"]
    assert names(LocalPlace(tmp_path)) == sorted(paths, key=str.encode)


@posix
def test_a_file_that_becomes_a_folder_meanwhile_is_told(tmp_path):
    write(tmp_path, a=b"1", b=b"1", c=b"1")
    found = LocalPlace(tmp_path).list()
    assert isinstance(next(found), FoundFile)
    (tmp_path / "b").unlink()
    write(tmp_path, b__x=b"1")
    (tmp_path / "c").unlink()
    assert [(item.path, item.reason) for item in found] == [("b", "unreadable"), ("c", "missing")]


def test_an_absent_directory_has_no_files(tmp_path):
    place = LocalPlace(tmp_path / "absent")
    assert not place.exists()
    assert names(place) == []
    assert LocalPlace(tmp_path).exists()


def test_the_stamp_changes_with_the_file(tmp_path):
    write(tmp_path, a=b"1")
    place = LocalPlace(tmp_path)
    [before] = listed(place).files
    os.utime(tmp_path / "a", ns=(1, 1))
    assert listed(place).files[0].stamp != before.stamp
    os.utime(tmp_path / "a", ns=(1, int(before.stamp.partition("-")[2])))
    assert listed(place).files == [before]


def test_open_reads_the_file(tmp_path):
    write(tmp_path, a__b=b"data")
    with LocalPlace(tmp_path).open("a/b") as stream:
        assert stream.read() == b"data"


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "absent", "folder", "a\0"])
def test_open_raises_oserror_for_anything_else(tmp_path, path):
    (tmp_path / "root/folder").mkdir(parents=True)
    write(tmp_path, x=b"secret")
    with pytest.raises(OSError), LocalPlace(tmp_path / "root").open(path):  # noqa: PT011
        pytest.fail("opened")


@posix
def test_links_are_followed_inside_the_root_only(tmp_path):
    root = tmp_path / "root"
    write(tmp_path, outside=b"secret", root__a__file=b"1", root_other__x=b"secret")
    (root / "link").symlink_to("a/file")
    (root / "folder").symlink_to("a")
    (root / "absolute").symlink_to(root / "a/file")
    (root / "out").symlink_to("../outside")
    (root / "neighbour").symlink_to("../root_other")
    (root / "broken").symlink_to("nothing")
    (root / "a/loop").symlink_to("../a")
    (root / "self").symlink_to("self")
    place = LocalPlace(root)
    assert names(place) == ["a/file", "absolute", "folder/file", "link"]
    assert problems(place) == {
        "out": "unsafe-path",
        "neighbour": "unsafe-path",
        "broken": "missing",
        "a/loop": "unsafe-path",
        "folder/loop": "unsafe-path",
        "self": "unreadable",
    }
    for path in ("out", "neighbour/x"):
        with pytest.raises(PermissionError), place.open(path):
            pytest.fail("opened")


@posix
def test_a_root_that_is_a_link_is_followed(tmp_path):
    write(tmp_path, real__a=b"1")
    (tmp_path / "root").symlink_to("real")
    place = LocalPlace(tmp_path / "root")
    assert names(place) == ["a"]
    place.put("b", io.BytesIO(b"2"))
    assert (tmp_path / "real/b").read_bytes() == b"2"


@posix
def test_what_is_no_file_is_reported(tmp_path):
    write(tmp_path, a=b"1")
    os.mkfifo(tmp_path / "fifo")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff")).write_bytes(b"")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(tmp_path)  # a socket's address is short
        server.bind("socket")
        place = LocalPlace(tmp_path)
        assert names(place) == ["a"]
        assert problems(place) == {
            "fifo": "unreadable",
            "socket": "unreadable",
            "bad\\udcff": "unsafe-path",
        }
        with pytest.raises(OSError, match="regular"), place.open("fifo"):
            pytest.fail("opened")


@posix
@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_reported_and_the_rest_goes_on(tmp_path):
    write(tmp_path, a=b"1", closed__x=b"2", mute=b"3")
    (tmp_path / "closed").chmod(0)
    (tmp_path / "mute").chmod(0)
    place = LocalPlace(tmp_path)
    assert names(place) == ["a"]
    assert problems(place) == {"closed": "unreadable", "mute": "unreadable"}
    (tmp_path / "closed").chmod(0o700)


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path, monkeypatch):
    """As root nothing is forbidden, so the fault is made."""
    write(tmp_path, a=b"1", closed__x=b"2")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    place = LocalPlace(tmp_path)
    assert names(place) == ["a"]
    assert problems(place) == {"closed": "unreadable"}


def test_a_root_that_is_a_file_is_reported(tmp_path):
    write(tmp_path, file=b"1")
    assert problems(LocalPlace(tmp_path / "file")) == {"": "unreadable"}


def test_unfinished_uploads_are_told_but_expected(tmp_path):
    write(tmp_path, **{".artifact.uploading.x1": b"1", ".mlporter-0": b"2", "a": b"3"})
    place = LocalPlace(tmp_path)
    assert names(place) == ["a"]
    assert [problem.expected for problem in listed(place).problems] == [True, True]


# --- put ------------------------------------------------------------------------------------------


def test_put_writes_and_tells_what_it_wrote(tmp_path):
    place = LocalPlace(tmp_path / "new/root")
    digest = hashlib.sha256(b"data").hexdigest()
    assert place.put("a/b/c", io.BytesIO(b"data")) == Written(digest, 4, created=True)
    assert place.put("a/b/c", io.BytesIO(b"data")) == Written(digest, 4, created=False)
    assert tree(tmp_path / "new/root") == {"a": None, "a/b": None, "a/b/c": b"data"}


@pytest.mark.parametrize("other", [b"atad", b"data+"])
def test_put_never_overwrites(tmp_path, other):
    write(tmp_path, a=b"data")
    with pytest.raises(RefusedError):
        LocalPlace(tmp_path).put("a", io.BytesIO(other))
    assert tree(tmp_path) == {"a": b"data"}


def test_put_leaves_nothing_of_a_failed_write(tmp_path, monkeypatch):
    """A full disk is hard to come by, so the fault is made."""

    def refuse(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UnreachableError, match="No space left"):
        LocalPlace(tmp_path).put("a/b", io.BytesIO(b"1"))
    assert tree(tmp_path) == {"a": None}


def test_a_source_that_cannot_be_read_is_not_the_targets_fault(tmp_path):
    class Broken(io.BytesIO):
        def read(self, _size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        LocalPlace(tmp_path).put("a", Broken())
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "", "C:/x"])
def test_put_refuses_unsafe_paths(tmp_path, path):
    with pytest.raises(RefusedError):
        LocalPlace(tmp_path / "root").put(path, io.BytesIO(b""))
    assert tree(tmp_path) == {}


@posix
def test_put_does_not_follow_links_out_of_the_root(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/out").symlink_to("../outside")
    (tmp_path / "root/file").symlink_to("../outside/new")
    with pytest.raises(RefusedError):
        LocalPlace(tmp_path / "root").put("out/sub/x", io.BytesIO(b""))
    with pytest.raises(RefusedError):
        LocalPlace(tmp_path / "root").put("file", io.BytesIO(b""))
    assert tree(tmp_path / "outside") == {}


def test_put_where_a_file_is_in_the_way(tmp_path):
    write(tmp_path, a=b"1")
    with pytest.raises((UnreachableError, RefusedError)):
        LocalPlace(tmp_path).put("a/b", io.BytesIO(b""))
    assert tree(tmp_path) == {"a": b"1"}


def test_put_without_hard_links(tmp_path, monkeypatch):
    """FAT and some network file systems have none; the fault is made."""

    def refuse(*_, **__):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    place = LocalPlace(tmp_path)
    assert place.put("a", io.BytesIO(b"1")).created
    assert not place.put("a", io.BytesIO(b"1")).created
    with pytest.raises(RefusedError):
        place.put("a", io.BytesIO(b"2"))
    assert tree(tmp_path) == {"a": b"1"}


def test_of_many_writers_of_one_file_one_creates_it(tmp_path):
    with WriteLog() as log, ThreadPoolExecutor(8) as pool:
        place = LocalPlace(tmp_path / "root", log)
        puts = [pool.submit(place.put, "a/b", io.BytesIO(b"same")) for _ in range(40)]
        assert sum(put.result().created for put in puts) == 1
        assert log.undo() == []
    assert tree(tmp_path) == {}


# --- undo -----------------------------------------------------------------------------------------


def test_undo_removes_precisely_what_was_written(tmp_path):
    write(tmp_path, root__kept__old=b"1", root__same=b"2")
    before = tree(tmp_path)
    with WriteLog() as log:
        place = LocalPlace(tmp_path / "root", log)
        for path in ("new/deep/x", "kept/new", "same"):
            place.put(path, io.BytesIO(b"2"))
        with pytest.raises(RefusedError):
            place.put("kept/old", io.BytesIO(b"9"))
        assert log.undo() == []
    assert tree(tmp_path) == before


def test_undo_keeps_what_others_put_there(tmp_path):
    with WriteLog() as log:
        place = LocalPlace(tmp_path / "root", log)
        place.put("a/x", io.BytesIO(b"1"))
        place.put("b/x", io.BytesIO(b"1"))
        write(tmp_path, root__a__theirs=b"2")
        (tmp_path / "other").write_bytes(b"3")
        (tmp_path / "other").replace(tmp_path / "root/b/x")
        assert log.undo() == []
    files = {name: data for name, data in tree(tmp_path).items() if data}
    assert files == {"root/a/theirs": b"2", "root/b/x": b"3"}


def test_undo_says_what_stays(tmp_path, monkeypatch):
    """As root nothing is forbidden, so the fault is made."""
    with WriteLog() as log:
        LocalPlace(tmp_path, log).put("a", io.BytesIO(b"1"))

        def refuse(self, missing_ok=False):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "unlink", refuse)
        [stays] = log.undo()
        assert (stays.where, stays.why) == (str(tmp_path / "a"), "Permission denied")


def test_a_long_log_lies_on_disk(tmp_path):
    def write():
        with WriteLog() as log:
            for number in range(10_000):
                log.add_file(tmp_path, f"{number:0200d}", 0, 0)
            assert log.undo() == []

    assert traced_peak(write, tries=1) < 2_000_000


@pytest.mark.parametrize("at_once", [False, True])
def test_all_that_was_put_is_made_durable_together(tmp_path, monkeypatch, at_once):
    """What a disk has cannot be seen from here: so which calls are made."""
    if at_once and not durable.has_syncfs():
        pytest.skip("only Linux can write out a whole disk")
    synced, disks = [], []
    fsync, whole = os.fsync, durable.sync_whole_disk
    monkeypatch.setattr(write_log, "has_syncfs", lambda: at_once)
    monkeypatch.setattr(write_log, "sync_whole_disk", lambda f: (disks.append(f), whole(f)))
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_ino), fsync(fd)))
    with WriteLog() as log:
        place = LocalPlace(tmp_path / "root", log)
        for number in range(20):
            place.put(f"folder-{number % 3}/{number}", io.BytesIO(b"%d" % number))
        assert (synced, disks) == ([], [])
        log.sync()
    root = tmp_path / "root"
    everything = {p.stat().st_ino for p in (tmp_path, root, *root.rglob("*"))}
    assert (set(synced), len(disks)) == ((set(), 1) if at_once else (everything, 0))


def test_a_disk_that_fails_when_all_is_made_durable_is_an_error(tmp_path, monkeypatch):
    def fail(_folder):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(write_log, "sync_whole_disk", fail)
    monkeypatch.setattr(write_log, "sync_file", fail)
    with WriteLog() as log:
        LocalPlace(tmp_path, log).put("a", io.BytesIO(b"1"))
        with pytest.raises(OSError, match="Input/output error"):
            log.sync()


# --- what else may be read, and what may not ------------------------------------------------------


@posix
def test_links_into_other_roots_are_followed(tmp_path):
    write(tmp_path, root__1__a=b"1", root__2__b=b"2", elsewhere__c=b"3", outside__d=b"4")
    place = LocalPlace(
        tmp_path / "root/1", roots=Roots.of([tmp_path / "root", tmp_path / "elsewhere"])
    )
    for name, target in {"two": "../2", "c": "../../elsewhere/c", "out": "../../outside"}.items():
        (place.root / name).symlink_to(target)
    assert names(place) == ["a", "c", "two/b"]
    assert problems(place) == {"out": "unsafe-path"}
    for path, data in {"c": b"3", "two/b": b"2"}.items():
        with place.open(path) as stream:
            assert stream.read() == data
    with pytest.raises(PermissionError), place.open("out/d"):
        pytest.fail("opened")


@posix
def test_what_is_private_in_a_root_is_not_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, **{"a": b"1", ".netrc": b"2", ".ssh__id": b"3"})
    place = LocalPlace(tmp_path, roots=Roots.of([tmp_path]))
    assert names(place) == ["a"]
    assert problems(place) == {".netrc": "unsafe-path", ".ssh": "unsafe-path"}
    for path in (".netrc", ".ssh/id"):
        with pytest.raises(PermissionError), place.open(path):
            pytest.fail("opened")


@posix
@pytest.mark.parametrize("swapped", ["folder", "folder/deep", "folder/deep/file"])
def test_a_link_that_took_a_place_after_it_was_checked_is_not_followed(
    tmp_path, monkeypatch, swapped
):
    write(tmp_path, root__folder__deep__file=b"mine", secret__deep__file=b"theirs")
    place = LocalPlace(tmp_path / "root")
    really = os.path.realpath

    def checked_then_swapped(path, *arguments, **options):
        real = really(path, *arguments, **options)
        here = tmp_path / "root" / swapped
        if not here.is_symlink():
            here.rename(tmp_path / "away")
            here.symlink_to(tmp_path / "secret" / swapped.partition("/")[2])
        return real

    assert place.base
    monkeypatch.setattr(os.path, "realpath", checked_then_swapped)
    with pytest.raises(OSError), place.open("folder/deep/file"):  # noqa: PT011
        pytest.fail("opened")


def test_a_folder_that_may_not_be_looked_at_is_said_to_be_so(tmp_path):
    write(tmp_path, closed__place__a=b"1")
    place = LocalPlace(tmp_path / "closed/place")
    with denied(tmp_path / "closed"):
        for ask in (place.exists, place.list):
            with pytest.raises(AccessDeniedError, match="cannot be looked at"):
                ask()
    assert place.exists()


@posix
def test_files_are_read_where_the_system_does_not_say_what_was_opened(tmp_path, monkeypatch):
    """Without /proc each folder on the way is looked at."""
    write(tmp_path, root__a__b=b"1", secret__b=b"2")
    place = LocalPlace(tmp_path / "root")
    monkeypatch.setattr(os, "readlink", denying)
    with place.open("a/b") as stream:
        assert stream.read() == b"1"
    (tmp_path / "root/a").rename(tmp_path / "away")
    (tmp_path / "root/a").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError), place.open("a/b"):  # noqa: PT011
        pytest.fail("opened")


def denying(*_, **__):
    raise PermissionError
