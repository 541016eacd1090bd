"""A restart: the old bundle is whole until the new one is, whatever happens on the way."""

from __future__ import annotations

import gc
import subprocess
import sys
from contextlib import contextmanager, suppress
from io import BytesIO
from itertools import count
from shutil import copytree
from typing import TYPE_CHECKING

import pytest

from mlporter.bundle import replacing
from mlporter.bundle import writer as writer_module
from mlporter.bundle.checks.verify import verify_bundle
from mlporter.bundle.writer import BundleWriter
from mlporter.errors import BundleDamagedError, MlporterError, RefusedError
from mlporter.stores.bundles.bundle_source import BundleSource
from tests.bundle.making import INFO, artifact, make_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"}
_SOME = 9
"""A whole restart follows after each so-manieth stop; it takes most of the time."""
_KEY = ("run", "r", "new.txt")


def _opener(content: bytes, opened: list[bytes] | None = None) -> Callable[[], BytesIO]:
    def opened_now() -> BytesIO:
        if opened is not None:
            opened.append(content)
        return BytesIO(content)

    return opened_now


class _Killed(BaseException):
    """The process ends here."""


class _Trap:
    """Counts the changes below a folder, and stops one of them, or it and all that follow."""

    def __init__(self) -> None:
        self.below: str | None = None
        self.done = 0
        self.stop_at = 0
        self.forever = False

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.below is None:
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 3
        if (writes or event in _CHANGES) and str(arguments[0]).startswith(self.below):
            self.step()

    def step(self) -> None:
        if self.below is None:
            return
        self.done += 1
        if self.done == self.stop_at or (self.forever and self.done > self.stop_at > 0):
            raise _Killed

    @contextmanager
    def set(self, below: Path, stop_at: int, *, forever: bool) -> Iterator[None]:
        self.below, self.done, self.stop_at, self.forever = str(below), 0, stop_at, forever
        try:
            yield
        finally:
            self.below = None


_trap = _Trap()
sys.addaudithook(_trap)


def _restart(path: Path) -> None:
    with BundleWriter.create(path, "restart") as writer:
        file = writer.add_file(artifact(_KEY, b"new"), _opener(b"new"))
        writer.write_artifacts([file])
        writer.finish(INFO)


def _is_new(path: Path) -> bool:
    """Which of the two is there; fails if neither is whole."""
    assert verify_bundle(path).problems == []
    return BundleSource(path).count("artifacts") == 1


def _bytes_of(path: Path) -> dict[str, bytes]:
    """All files of a bundle."""
    files = (file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.fixture(params=["exchanged", "renamed"])
def how(request, monkeypatch):
    """How the disk lets two folders change places; a step like any other."""

    def exchange(one: Path, other: Path) -> bool:
        _trap.step()
        return request.param == "exchanged" and original(one, other)

    original = replacing.exchange
    monkeypatch.setattr(replacing, "exchange", exchange)
    return request.param


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as the killed do
@pytest.mark.parametrize("forever", [False, True], ids=["interrupted", "killed"])
def test_stopped_at_any_change_of_the_disk_one_of_both_is_whole(tmp_path, how, forever):
    old = make_bundle(tmp_path / "old")
    assert not _is_new(old)
    was = _bytes_of(old)
    seen = set()
    gc.freeze()  # what was there before need not be looked through each time
    for stop_at in count(1):
        folder = tmp_path / str(stop_at)
        path = copytree(old, folder / "backup")
        with suppress(_Killed, MlporterError), _trap.set(folder, stop_at, forever=forever):
            _restart(path)
        is_last = _trap.done < stop_at
        if how == "renamed" and forever and not path.exists():
            # Between two renames: whoever comes next finds the new one and puts it there.
            with pytest.raises(RefusedError, match="already holds a bundle"):
                BundleWriter.create(path)
        seen.add(_bytes_of(path) != was and _is_new(path))  # it was whole
        if stop_at % _SOME == 0 or is_last:
            gc.collect()  # whoever was killed holds no lock any more
            _restart(path)
            assert _is_new(path)
            assert [entry.name for entry in folder.iterdir()] == ["backup"]
        if is_last:
            break
    assert seen == {False, True}
    assert stop_at > 20, "the trap saw the changes"
    # Ten thousand files, which pytest takes its time to remove.
    subprocess.run(
        ["rm", "-r", *(str(tmp_path / str(n)) for n in range(1, stop_at + 1))], check=True
    )


def test_a_restart_that_was_stopped_is_resumed(tmp_path):
    path = make_bundle(tmp_path / "backup")
    with BundleWriter.create(path, "restart") as writer:
        writer.add_file(artifact(_KEY, b"new", stamp="1"), _opener(b"new"))
    assert not _is_new(path)
    opened: list[bytes] = []
    with BundleWriter.create(path, "resume") as writer:
        file = writer.add_file(artifact(_KEY, b"new", stamp="1"), _opener(b"new", opened))
        writer.write_artifacts([file])
        writer.finish(INFO)
    assert opened == []
    assert _is_new(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["backup"]


def test_what_does_not_read_back_replaces_nothing(tmp_path, monkeypatch):
    def check_built(new: Path) -> None:
        (pack,) = new.glob("packs/*/*")
        pack.write_bytes(b"bad")
        replacing.check_built(new)

    monkeypatch.setattr(writer_module, "check_built", check_built)
    path = make_bundle(tmp_path / "backup")
    with BundleWriter.create(path, "restart") as writer:
        file = writer.add_file(artifact(_KEY, b"new"), _opener(b"new"))
        writer.write_artifacts([file])
        with pytest.raises(BundleDamagedError, match="the old one was kept"):
            writer.finish(INFO)
    assert not _is_new(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["backup"]


def test_a_file_that_somebody_put_there_meanwhile_stays(tmp_path):
    path = make_bundle(tmp_path / "backup")
    with BundleWriter.create(path, "restart") as writer:
        (path / "notes.txt").write_text("mine")
        with pytest.raises(RefusedError, match="not belong to a bundle"):
            writer.finish(INFO)
    assert (path / "notes.txt").read_text() == "mine"
    (path / "notes.txt").unlink()
    assert not _is_new(path)


def test_a_bundle_behind_a_link_is_replaced_where_it_is(tmp_path):
    path = make_bundle(tmp_path / "disk" / "backup")
    link = tmp_path / "latest"
    link.symlink_to(path)
    _restart(link)
    assert link.is_symlink()
    assert _is_new(path)


# -- nothing is left of what was refused -----------------------------------------------------------


@pytest.mark.parametrize("mode", ["new", "resume", "restart"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_writer_that_wrote_nothing_leaves_nothing(tmp_path, mode, exists):
    path = tmp_path / "deep" / "backup"
    if exists:
        path.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with suppress(ZeroDivisionError), BundleWriter.create(path, mode):
        raise ZeroDivisionError
    assert sorted(tmp_path.rglob("*")) == before


def test_a_restart_that_wrote_nothing_leaves_the_old_bundle_alone(tmp_path):
    path = make_bundle(tmp_path / "backup")
    before = sorted(tmp_path.rglob("*"))
    with suppress(ZeroDivisionError), BundleWriter.create(path, "restart"):
        raise ZeroDivisionError
    assert sorted(tmp_path.rglob("*")) == before


def test_what_was_written_stays_to_be_resumed(tmp_path):
    with BundleWriter.create(tmp_path / "backup") as writer:
        writer.add_file(artifact(_KEY, b"new"), _opener(b"new"))
    assert len(list(tmp_path.glob("backup/packs/*/*"))) == 1
    BundleWriter.create(tmp_path / "backup", "resume").close()
