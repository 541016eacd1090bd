"""Reading where a part of an object is had without the rest, and each request takes its time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

import mlporter
from mlporter.bundle.checks.verify import verify_bundle
from mlporter.bundle.storage.local import LocalStorage
from mlporter.repository.checks import verify_repository
from mlporter.repository.repository import Repository
from tests.repository.registry import SmallRegistry

FILES = 1_000


class Far(LocalStorage):
    """A folder as a bucket: told are the objects that are fetched whole, and the parts."""

    is_local = False

    def __init__(self, root):
        super().__init__(root)
        self.whole, self.parts = [], []
        self.together = None

    def open(self, path):
        self.whole.append(path)
        self.wait(path)
        return super().open(path)

    def read_range(self, path, start, size):
        self.parts.append((path, size))
        self.wait(path)
        with super().open(path) as file:
            file.seek(start)
            return file.read(size)

    def wait(self, path):
        if self.together is not None and path.startswith(("blobs/", "packs/")):
            self.together.wait(10)


@pytest.fixture(scope="module")
def source(mlflow_sqlite_template, tmp_path_factory):
    made = SmallRegistry.make(mlflow_sqlite_template, tmp_path_factory.mktemp("far") / "registry")
    small = {f"{number:04}": b"%d" % number * 300 for number in range(FILES)}
    made.add_run("a" * 32, 1, small | {"one.bin": b"1" * 300_000, "two.bin": b"2" * 300_000})
    return made


@pytest.fixture(scope="module")
def kept(source, tmp_path_factory):
    place = tmp_path_factory.mktemp("kept") / "repository"
    mlporter.backup(source.url, place)
    return place


def packs(paths):
    return [path for path in paths if path.startswith("packs/")]


def test_of_a_pack_a_small_file_takes_a_part_and_many_take_it_once(kept):
    far = Far(kept)
    with closing(Repository.open(far)) as repository:
        repository.load_index()
        names = [sha256 for sha256, pack, _, _ in repository.index.rows() if pack]
        assert len(names) == FILES
        with repository.contents.open(names[0]) as file:
            assert file.read()
        assert packs(far.whole) == []
        ((path, size),) = [part for part in far.parts if part[0].startswith("packs/")]
        assert size < (kept / path).stat().st_size / 2

        def read(name):
            with repository.contents.open(name) as file:
                return bool(file.read())

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(read, names))
        assert len(packs(far.whole)) == 1


def test_verify_reads_several_objects_at_a_time(kept):
    far = Far(kept)
    far.together = threading.Barrier(3)  # two blobs and a pack: else it breaks
    report = verify_repository(Repository.open(far), workers=3)
    assert report.problems == []
    assert report.blobs_read == report.blobs >= 3
    assert not [path for path in far.whole if path.startswith("blobs/")]  # of no use as a whole


def test_verify_of_a_bundle_reads_several_blobs_at_a_time(source, tmp_path):
    mlporter.export(source.url, tmp_path / "bundle")
    far = Far(tmp_path / "bundle")
    far.wait = lambda path: together.wait(10) if path.startswith("blobs/") else None
    together = threading.Barrier(2)
    report = verify_bundle(far, workers=2)
    assert report.problems == []
    assert report.blobs_read == FILES + 2
