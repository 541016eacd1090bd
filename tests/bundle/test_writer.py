from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
import pytest
import yaml

from mlporter.bundle.blobs import BlobStore
from mlporter.bundle.checks.verify import verify_bundle
from mlporter.bundle.folder.layout import blob_path
from mlporter.bundle.writer import BundleWriter
from mlporter.catalogue import BY_NAME
from mlporter.catalogue.types import Column, Kind, Table
from mlporter.errors import (
    BundleInUseError,
    LeftOut,
    MlporterError,
    RefusedError,
    UnreachableError,
    UnsupportedError,
)
from mlporter.stores.bundles.bundle_source import BundleSource
from tests.bundle.making import (
    FILES,
    INFO,
    LARGE,
    ROWS,
    artifact,
    batch_of,
    fill,
    make_bundle,
    snapshot,
)

HOLD = """
import sys
from mlporter.bundle.writer import BundleWriter
with BundleWriter.create(sys.argv[1]) as writer:
    print("holding", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path):
    """A directory in which another process is writing a bundle."""
    path = tmp_path / "backup"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "holding\n"
        yield path, other
        other.kill()


def opener(content, opened=None):
    def open_it():
        if opened is not None:
            opened.append(content)
        return io.BytesIO(content)

    return open_it


def interrupted(path, source=""):
    """An export that stops after some tables and files."""
    with BundleWriter.create(path, source=source) as writer:
        writer.write_table(BY_NAME["runs"], [batch_of("runs", ROWS["runs"])])
        for key, content in FILES.items():
            writer.add_file(artifact(key, content, stamp="1"), opener(content))
    return path


def test_a_bundle_holds_what_was_written_and_nothing_else(pristine):
    ours = ("artifacts", "contents", "left_out")
    parts = {f"tables/{name}/00000.parquet" for name in (*ROWS, *ours)}
    (pack,) = pristine.glob("packs/*/*.tar")
    large = {blob_path(hashlib.sha256(LARGE).hexdigest())}
    documents = {"manifest.yaml", "experiments.yaml", "models.yaml", "SHA256SUMS"}
    packs = {pack.relative_to(pristine).as_posix()}
    assert set(snapshot(pristine)) == parts | large | packs | documents


def test_sha256sum_needs_no_tool_of_ours(pristine):
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=pristine,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count(": OK\n") == len(ROWS) + 3 + 3
    assert "manifest.yaml: OK" in done.stdout


def test_the_same_data_gives_the_same_bytes(pristine, tmp_path):
    first, second = snapshot(pristine), snapshot(make_bundle(tmp_path / "again"))
    varying = {"manifest.yaml", "SHA256SUMS"}
    assert set(first) == set(second)
    assert {path for path in first if first[path] != second[path]} <= varying
    one, other = (yaml.safe_load(found["manifest.yaml"]) for found in (first, second))
    assert {key for key in one if one[key] != other[key]} <= {"bundle_id", "started", "finished"}


def test_the_totals_are_in_the_manifest(pristine):
    manifest = BundleSource(pristine).manifest
    assert manifest.artifacts.files == 5
    assert manifest.artifacts.blobs == 4
    assert (manifest.artifacts.packs, manifest.artifacts.packed) == (1, 3)
    assert manifest.artifacts.bytes == sum(map(len, FILES.values()))
    assert manifest.artifacts.blob_bytes == sum(map(len, set(FILES.values())))
    assert manifest.left_out.total == 2
    assert manifest.left_out.expected == 1
    assert manifest.left_out.by_reason == {"missing": 1, "transient": 1}
    assert [item.path for item in manifest.left_out.first] == ["lost.txt", ""]


def test_what_is_left_out_is_sorted_and_said_once(tmp_path):
    with BundleWriter.create(tmp_path / "b") as writer:
        for name in ("z", "a", "z", "\udcff"):
            writer.leave_out(LeftOut("run", "r", name, "missing", "gone"))
        writer.finish(INFO)
    batches = BundleSource(tmp_path / "b").read("left_out", ("path",))
    paths = [path for batch in batches for path in batch["path"].to_pylist()]
    assert paths == ["\\udcff", "a", "z"]


def test_files_may_be_added_from_many_threads(tmp_path):
    contents = {("run", "r", f"{i:03}"): b"%d" % (i % 10) for i in range(100)}
    with BundleWriter.create(tmp_path / "b") as writer, ThreadPoolExecutor(8) as pool:
        writer.write_artifacts(
            pool.map(
                lambda item: writer.add_file(artifact(*item), opener(item[1])), contents.items()
            )
        )
        assert writer.finish(INFO).artifacts.blobs == 10
    assert verify_bundle(tmp_path / "b").problems == []


def test_a_file_that_grew_is_recorded_as_it_was_read(tmp_path):
    with BundleWriter.create(tmp_path / "b") as writer:
        added = writer.add_file(artifact(("run", "r", "log"), b"old"), opener(b"longer"))
    assert added.size == 6


def test_a_source_that_fails_is_passed_on_and_the_next_file_goes_on(tmp_path):
    def fails():
        raise PermissionError("not yours")

    with BundleWriter.create(tmp_path / "b") as writer:
        with pytest.raises(PermissionError, match="not yours"):
            writer.add_file(artifact(("run", "r", "a"), b""), fails)
        writer.write_artifacts([writer.add_file(artifact(("run", "r", "b"), b""), opener(b""))])
        writer.finish(INFO)
    assert verify_bundle(tmp_path / "b").files == 1


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/../b", "", ".", "a\0b"])
def test_unsafe_paths_are_refused(tmp_path, path):
    with BundleWriter.create(tmp_path / "b") as writer:
        added = writer.add_file(artifact(("run", "r", path), b""), opener(b""))
        with pytest.raises(MlporterError, match="is an unsafe path"):
            writer.write_artifacts([added])


def test_a_row_without_its_blob_is_refused(tmp_path):
    with BundleWriter.create(tmp_path / "b") as writer:
        added = writer.add_file(artifact(("run", "r", "a"), b"x"), opener(b"x"))
        with pytest.raises(MlporterError, match="'a' was not added"):
            writer.write_artifacts([replace(added, sha256="0" * 64)])


# -- directories that are used ---------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["new", "resume", "restart"])
@pytest.mark.parametrize("exists", [False, True])
def test_an_empty_directory_is_taken_in_every_mode(tmp_path, mode, exists):
    path = tmp_path / "deep" / "backup"
    if exists:
        path.mkdir(parents=True)
    with BundleWriter.create(path, mode) as writer:
        fill(writer)
        writer.finish(INFO)
    assert verify_bundle(path).problems == []


@pytest.mark.parametrize(
    ("make", "mode", "said", "hint"),
    [
        (make_bundle, "new", "already holds a bundle", "--restart"),
        (make_bundle, "resume", "holds a finished bundle", "--restart"),
        (interrupted, "new", "holds an unfinished bundle", "--resume"),
    ],
)
def test_a_used_directory_is_refused_and_stays_as_it_is(tmp_path, make, mode, said, hint):
    path = make(tmp_path / "backup")
    before = snapshot(path)
    with pytest.raises(RefusedError, match=said) as caught:
        BundleWriter.create(path, mode)
    assert hint in caught.value.hint
    assert snapshot(path) == before


@pytest.mark.parametrize("mode", ["new", "resume", "restart"])
@pytest.mark.parametrize("name", ["thesis.tex", "manifest.yaml", "models.yaml"])
def test_what_is_somebody_elses_is_refused_in_every_mode(tmp_path, mode, name):
    (tmp_path / name).write_text("kind: Deployment\n")
    with pytest.raises(RefusedError, match="is not empty, and not a bundle") as caught:
        BundleWriter.create(tmp_path, mode)
    assert caught.value.exit_code == 4
    assert snapshot(tmp_path) == {name: b"kind: Deployment\n"}


@pytest.mark.parametrize("make", [make_bundle, interrupted])
@pytest.mark.parametrize("name", ["notes.txt", "tables/runs/mine.csv", "blobs/aa/bb"])
def test_a_foreign_file_in_a_bundle_stops_a_restart(tmp_path, make, name):
    path = make(tmp_path / "backup")
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_text("mine")
    before = snapshot(path)
    with pytest.raises(RefusedError, match="not belong to a bundle") as caught:
        BundleWriter.create(path, "restart")
    assert caught.value.reasons == (name,)
    assert snapshot(path) == before


def test_a_link_in_an_unfinished_bundle_is_not_written_through(tmp_path):
    path = interrupted(tmp_path / "backup")
    (tmp_path / "elsewhere").mkdir()
    (path / "tables" / "params").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="tables/params"):
        BundleWriter.create(path, "resume")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "backup").touch()
    with pytest.raises(UnreachableError, match="is not a directory"):
        BundleWriter.create(tmp_path / "backup")


def test_a_restart_begins_again(tmp_path):
    path = make_bundle(tmp_path / "backup")
    with BundleWriter.create(path, "restart") as writer:
        assert verify_bundle(path).problems == []
        assert list(writer.path.glob("blobs/*/*")) == []
        writer.finish(INFO)
    assert verify_bundle(path).problems == []
    assert BundleSource(path).count("artifacts") == 0


# -- interrupted and resumed -----------------------------------------------------------------------


def test_resuming_reads_nothing_again_that_is_known_to_be_the_same(tmp_path):
    path = interrupted(tmp_path / "backup", "sqlite:///x")
    opened = []
    with BundleWriter.create(path, "resume", source="sqlite:///x") as writer:
        fill(writer, files={})
        writer.write_artifacts(
            writer.add_file(artifact(key, content, stamp="1"), opener(content, opened))
            for key, content in sorted(FILES.items())
        )
        writer.finish(INFO)
    assert opened == []
    assert verify_bundle(path).problems == []
    reference = make_bundle(tmp_path / "at once")
    kept, whole = set(snapshot(path)), set(snapshot(reference))
    assert {name for name in kept ^ whole if not name.startswith("packs/")} == set()
    assert len(kept) == len(whole)


@pytest.mark.parametrize("change", ["stamp", "size", "no stamp", "blob", "pack", "torn journal"])
def test_resuming_reads_again_what_may_have_changed(tmp_path, change):
    path = tmp_path / "backup"
    key, content = ("run", "r", "a"), LARGE if change == "blob" else b"content"
    with BundleWriter.create(path) as writer:
        added = writer.add_file(artifact(key, content, stamp="1"), opener(content))
    file = artifact(key, content, stamp="1")
    if change == "stamp":
        file = artifact(key, content, stamp="2")
    elif change == "size":
        file = artifact(key, content + b"!", stamp="1")
    elif change == "no stamp":
        file = artifact(key, content)
    elif change == "blob":
        (path / "blobs" / added.sha256[:2] / added.sha256).write_bytes(b"cont")
    elif change == "pack":
        (pack,) = path.glob("packs/*/*.tar")
        pack.write_bytes(pack.read_bytes()[:-1] + b"!")
    else:
        journal = path / ".mlporter/journal.jsonl"
        journal.write_bytes(journal.read_bytes()[:-20])
    opened = []
    with BundleWriter.create(path, "resume") as writer:
        writer.write_artifacts([writer.add_file(file, opener(content, opened))])
        writer.finish(INFO)
    assert opened == [content]
    assert verify_bundle(path).problems == []


def test_resuming_removes_what_is_no_longer_named(tmp_path):
    path = interrupted(tmp_path / "backup")
    (path / "blobs" / ".tmp-0123456789abcdef").write_bytes(b"half")
    with BundleWriter.create(path, "resume") as writer:
        writer.finish(INFO)
    assert set(snapshot(path)) == {
        "manifest.yaml",
        "experiments.yaml",
        "models.yaml",
        "SHA256SUMS",
    }


def test_resuming_with_another_source_is_refused(tmp_path):
    path = interrupted(tmp_path / "backup", "sqlite:///x")
    with pytest.raises(RefusedError, match="was started from sqlite:///x, not from sqlite:///y"):
        BundleWriter.create(path, "resume", source="sqlite:///y")
    with BundleWriter.create(path, "resume", source="sqlite:///x") as writer:
        writer.finish(INFO)


def test_an_exception_leaves_a_bundle_that_can_be_resumed(tmp_path):
    path = tmp_path / "backup"

    def fails():
        with BundleWriter.create(path) as writer:
            fill(writer)
            raise KeyError("anything")

    with pytest.raises(KeyError):
        fails()
    assert (path / "tables/runs/00000.parquet").exists()
    assert not (path / "manifest.yaml").exists()
    with BundleWriter.create(path, "resume") as writer:
        fill(writer)
        writer.finish(INFO)
    assert verify_bundle(path).problems == []


def test_a_killed_writer_leaves_a_bundle_that_can_be_resumed(held):
    path, other = held
    other.kill()
    other.wait()
    with BundleWriter.create(path, "resume") as writer:
        writer.finish(INFO)
    assert verify_bundle(path).problems == []


# -- one at a time ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["new", "resume", "restart"])
def test_a_bundle_in_use_is_refused_naming_who_uses_it(held, mode):
    path, other = held
    with pytest.raises(BundleInUseError, match=f"process {other.pid} on .* is writing") as caught:
        BundleWriter.create(path, mode)
    assert "since 20" in str(caught.value)
    assert caught.value.exit_code == 7


def test_a_bundle_in_use_cannot_be_read(held):
    path, other = held
    with pytest.raises(BundleInUseError, match=f"process {other.pid} "):
        BundleSource(path)


def test_two_writers_in_one_process_exclude_each_other(tmp_path):
    with BundleWriter.create(tmp_path / "b"), pytest.raises(BundleInUseError):
        BundleWriter.create(tmp_path / "b", "resume")
    BundleWriter.create(tmp_path / "b", "resume").close()


# -- blobs elsewhere -------------------------------------------------------------------------------


def test_blobs_may_lie_in_a_pool_that_other_bundles_use_too(tmp_path):
    pool = BlobStore(tmp_path / "pool")
    kept = pool.add(io.BytesIO(b"of another bundle"))
    for name in ("one", "two"):
        with BundleWriter.create(tmp_path / name, blobs=pool) as writer:
            fill(writer)
            writer.finish(INFO)
        assert not (tmp_path / name / "blobs").exists()
        assert verify_bundle(tmp_path / name, blobs=pool).problems == []
        source = BundleSource(tmp_path / name, pool)
        contents = [source.open_file(file) for file in source.files(print)]
        assert [file.read() for file in contents] == [FILES[key] for key in sorted(FILES)]
        for file in contents:
            file.close()
    assert pool.has(kept.sha256, kept.size)
    assert len(list(pool.iterate())) == 1 + len(set(FILES.values()))


def test_a_manifest_that_no_reader_would_take_is_not_written(tmp_path):
    columns = tuple(Column(f"column_{i:05}", pa.int64()) for i in range(20_000))
    with BundleWriter.create(tmp_path / "b") as writer:
        writer.write_table(Table("wide", (), columns, Kind.UNKNOWN), ())
        with pytest.raises(UnsupportedError, match="too long to be read"):
            writer.finish(INFO)
    assert not (tmp_path / "b" / "manifest.yaml").exists()
