"""Packs in bundles: what is written, read and found, and what is made of strange ones."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlporter.bundle.checks.verify import verify_bundle
from mlporter.bundle.contents import packs as packs_module
from mlporter.bundle.contents.packs import HEADER, Member, Members, PackBuilder
from mlporter.bundle.folder.layout import MANIFEST
from mlporter.bundle.writer import BundleWriter
from mlporter.catalogue.tables.own import CONTENTS
from mlporter.catalogue.types import Column, Kind, Table
from mlporter.errors import BundleDamagedError
from mlporter.stores.bundles.bundle_source import BundleSource
from tests.bundle.forging import forge_pack, forge_part, pack_of, rows_of
from tests.bundle.making import FILES, INFO, LARGE, artifact, fill, make_bundle, snapshot

PLOT = hashlib.sha256(b"plot").hexdigest()
OPEN_FILES = Path("/proc/self/fd")
CONTENTS_PATH = "tables/contents/00000.parquet"


def found(path, mode="full", **options):
    report = verify_bundle(path, mode, **options)
    return {(problem.path, problem.what) for problem in report.problems}


def read_all(bundle):
    source = BundleSource(bundle)
    try:
        contents = []
        for file in source.files(print):
            with source.open_file(file) as stream:
                contents.append(stream.read())
        return contents
    finally:
        source.close()


def opener(content):
    return lambda: io.BytesIO(content)


def export(path, files, mode="new", finish=True):
    with BundleWriter.create(path, mode) as writer:
        writer.write_artifacts(
            writer.add_file(artifact(key, content, stamp="1"), opener(content))
            for key, content in sorted(files.items())
        )
        if finish:
            writer.finish(INFO)
    return path


def many(count, start=0):
    return {("run", "r", f"{i:05}"): b"%d" % i for i in range(start, start + count)}


# -- written ---------------------------------------------------------------------------------------


@pytest.fixture
def small_packs(monkeypatch):
    monkeypatch.setattr(packs_module, "PACK_MEMBERS", 10)


def test_a_bundle_without_small_files_stays_of_format_1(tmp_path):
    bundle = export(tmp_path / "b", {("run", "r", "large"): LARGE})
    assert b"\nformat_version: 1\n" in (bundle / MANIFEST).read_bytes()
    assert not (bundle / "tables/contents").exists()
    assert not (bundle / "packs").exists()
    assert found(bundle) == set()


def test_the_same_files_give_the_same_packs_however_many_threads_read_them(tmp_path, small_packs):
    files = many(95)

    def make(path, threads):
        with BundleWriter.create(path) as writer, ThreadPoolExecutor(threads) as pool:
            add = pool.map(
                lambda one: writer.add_file(artifact(*one), opener(one[1])), files.items()
            )
            writer.write_artifacts(add)
            writer.finish(INFO)
        return {name: data for name, data in snapshot(path).items() if "yaml" not in name}

    one, other = make(tmp_path / "one", 1), make(tmp_path / "other", 8)
    one.pop("SHA256SUMS"), other.pop("SHA256SUMS")
    assert one == other
    assert len([name for name in one if name.startswith("packs/")]) == 10
    assert found(tmp_path / "other") == set()
    assert read_all(tmp_path / "other") == [files[key] for key in sorted(files)]


def test_tar_and_sha256sum_read_a_pack(pristine, tmp_path):
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xf", pristine / pack_of(pristine), "-C", tmp_path / "out"], check=True)
    sums = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    small = {content for content in FILES.values() if content != LARGE}
    assert set(sums.values()) == small
    assert all(hashlib.sha256(data).hexdigest() == name for name, data in sums.items())


def test_where_another_program_has_a_table_of_that_name_nothing_is_packed(tmp_path):
    """Both could not be told apart: small files are blobs then, and the table is kept."""
    path = export(tmp_path / "b", many(3), finish=False)
    theirs = Table(CONTENTS.name, ("id",), (Column("id", CONTENTS.schema[2].type),), Kind.UNKNOWN)
    with BundleWriter.create(path, "resume") as writer:
        writer.write_table(theirs, ())
        fill(writer)
        writer.finish(INFO)
    assert b"\nformat_version: 1\n" in (path / MANIFEST).read_bytes()
    assert not list(path.glob("packs/*/*"))
    assert found(path) == set()
    assert read_all(path) == [FILES[key] for key in sorted(FILES)]
    assert theirs in BundleSource(path).tables


# -- resumed ---------------------------------------------------------------------------------------


def test_resuming_keeps_whole_packs_and_writes_others_anew(tmp_path, small_packs):
    path = export(tmp_path / "b", many(35), finish=False)
    before = {name: (path / name).stat().st_ino for name in snapshot(path) if "packs/" in name}
    torn = next(name for name in sorted(before))
    os.truncate(path / torn, 700)
    export(path, many(60), mode="resume")
    after = {name: (path / name).stat().st_ino for name in snapshot(path) if "packs/" in name}
    kept = set(before) & set(after)
    assert len(kept) >= len(before) - 1
    assert all(before[name] == after[name] for name in kept - {torn})
    assert found(path) == set()
    assert read_all(path) == [content for _, content in sorted(many(60).items())]


def test_resuming_leaves_nothing_in_packs_that_no_file_has_now(tmp_path, small_packs):
    path = export(tmp_path / "b", many(35), finish=False)
    wanted = many(20, start=5) | {("run", "r", "new"): b"new"}
    export(path, wanted, mode="resume")
    assert found(path) == set()
    assert len(rows_of(path, "contents")) == 21
    assert read_all(path) == [content for _, content in sorted(wanted.items())]


def test_resuming_removes_packs_of_which_nothing_is_needed(tmp_path):
    path = export(tmp_path / "b", many(5), finish=False)
    export(path, {}, mode="resume")
    assert not list(path.glob("packs/*/*"))
    assert found(path) == set()


# -- found -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["full", "quick", "sample"])
def test_a_missing_pack_is_found(bundle, mode):
    path = pack_of(bundle)
    (bundle / path).unlink()
    assert ((MANIFEST, "totals") if mode == "quick" else (path, "missing")) in found(bundle, mode)
    with pytest.raises(BundleDamagedError, match="is missing"):
        read_all(bundle)


@pytest.mark.parametrize("mode", ["full", "quick", "sample"])
def test_a_pack_that_is_cut_short_is_found(bundle, mode):
    path = pack_of(bundle)
    os.truncate(bundle / path, HEADER + 3)
    assert found(bundle, mode, fraction=1.0) != set()


@pytest.mark.parametrize("where", ["pack", "folder"])
def test_a_pack_behind_a_link_is_refused(bundle, tmp_path, where):
    path = bundle / pack_of(bundle)
    path = path if where == "pack" else path.parent
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert (path.relative_to(bundle).as_posix(), "symlink") in found(bundle)
    with pytest.raises(BundleDamagedError, match="is a symbolic link"):
        read_all(bundle)


def test_packs_behind_a_link_are_refused_before_anything_is_read(bundle, tmp_path):
    (bundle / "packs").rename(tmp_path / "elsewhere")
    (bundle / "packs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleDamagedError, match="packs is a symbolic link"):
        BundleSource(bundle)


@pytest.mark.parametrize("mode", ["full", "quick", "sample"])
def test_a_pack_that_nothing_names_is_found(bundle, mode):
    pack = PackBuilder()
    pack.add(hashlib.sha256(b"stowaway").hexdigest(), b"stowaway")
    name, data = pack.close()
    path = bundle / f"packs/{name[:2]}/{name}.tar"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    where = path.relative_to(bundle).as_posix()
    expected = (MANIFEST, "totals") if mode == "quick" else (where, "unreferenced")
    assert expected in found(bundle, mode)


def test_a_pack_in_a_bundle_of_format_1_is_no_file_of_it(tmp_path):
    bundle = export(tmp_path / "b", {})
    path = bundle / f"packs/aa/{'a' * 64}.tar"
    path.parent.mkdir(parents=True)
    path.touch()
    assert found(bundle, "quick") == {(path.relative_to(bundle).as_posix(), "unexpected")}


def test_a_sample_reads_some_contents_of_a_pack_and_finds_what_is_wrong_there(bundle):
    row = next(row for row in rows_of(bundle, "contents") if row["sha256"] == PLOT)
    path = bundle / pack_of(bundle)
    data = bytearray(path.read_bytes())
    data[row["offset"]] ^= 1
    path.write_bytes(data)
    hits = [bool(found(bundle, "sample", fraction=0.5, seed=seed)) for seed in range(12)]
    assert any(hits)
    assert not all(hits)
    assert (pack_of(bundle), "sha256") in found(bundle, "sample", fraction=0.99, seed=1)


# -- forged ----------------------------------------------------------------------------------------


def builder(bundle):
    with tarfile.open(bundle / pack_of(bundle)) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]


def packed(members):
    pack = PackBuilder()
    for name, content in members:
        pack.add(name, content)
    _, data = pack.close()
    return data


def test_a_member_that_is_not_what_its_name_says_is_found(bundle):
    members = [(name, b"evil" if name == PLOT else data) for name, data in builder(bundle)]
    path = forge_pack(bundle, packed(members))
    assert (path, "content") in found(bundle)
    with pytest.raises(BundleDamagedError, match="does not match its name"):
        read_all(bundle)


def test_a_member_that_nothing_names_is_found(bundle):
    more = (hashlib.sha256(b"hidden").hexdigest(), b"hidden")
    path = forge_pack(bundle, packed([*builder(bundle), more]))
    assert found(bundle) == {(path, "content")}


@pytest.mark.parametrize("tail", [b"hidden", bytes(HEADER), bytes(20 * HEADER)])
def test_bytes_after_the_end_of_a_pack_are_found(bundle, tail):
    path = forge_pack(bundle, packed(builder(bundle)) + tail)
    assert found(bundle) == {(path, "content")}


def test_bytes_between_members_are_found(bundle):
    row = next(row for row in rows_of(bundle, "contents") if row["sha256"] == PLOT)
    data = bytearray((bundle / pack_of(bundle)).read_bytes())
    data[row["offset"] + row["size"] + 1] = 7
    assert found_after(bundle, bytes(data))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, b"x", b"S"])
def test_a_member_of_another_kind_is_found_and_never_followed(bundle, kind):
    assert found_after(bundle, strange(bundle, PLOT, type=kind, linkname="/etc/passwd"))


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a" * 64 + "/x", "", "A" * 64])
def test_a_member_with_another_name_is_found(bundle, name):
    assert found_after(bundle, strange(bundle, name))


@pytest.mark.parametrize("fields", [{"mode": 0o4755}, {"uid": 1}, {"mtime": 9}, {"uname": "me"}])
def test_a_member_with_other_fields_is_found(bundle, fields):
    assert found_after(bundle, strange(bundle, PLOT, **fields))


def test_a_member_that_claims_to_be_huge_is_found_unread(bundle):
    info = tarfile.TarInfo(PLOT)
    info.size = 8 * 2**30 - 1
    assert found_after(bundle, info.tobuf(tarfile.USTAR_FORMAT) + b"plot")


def test_what_is_no_tar_is_found(bundle):
    assert found_after(bundle, b"\x1f\x8b" + os.urandom(5_000))
    assert found_after(bundle, b"")


def strange(bundle, name, **fields):
    """A pack in which a member is written by another tar, with other fields."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.size = 4
        for field, value in fields.items():
            setattr(info, field, value)
        tar.addfile(info, io.BytesIO(b"plot"))
        for other, data in builder(bundle):
            if other != PLOT:
                info = tarfile.TarInfo(other)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def found_after(bundle, data):
    path = forge_pack(bundle, data)
    return (path, "content") in found(bundle)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"offset": 3 * HEADER}, "pack"),
        ({"offset": 2**50}, CONTENTS_PATH),
        ({"offset": -HEADER}, CONTENTS_PATH),
        ({"offset": 0}, CONTENTS_PATH),
        ({"offset": 513}, CONTENTS_PATH),
        ({"size": 5}, "tables/contents"),
        ({"size": 2**40}, CONTENTS_PATH),
        ({"size": -1}, CONTENTS_PATH),
        ({"pack": "../../../etc/passwd"}, CONTENTS_PATH),
        ({"pack": "A" * 64}, CONTENTS_PATH),
        ({"pack": ""}, CONTENTS_PATH),
        ({"pack": "", "offset": 0}, "blobs"),
        ({"pack": "a" * 64}, f"packs/aa/{'a' * 64}.tar"),
        ({"sha256": "0" * 64}, "tables/contents"),
    ],
)
def test_a_wrong_row_of_contents_is_found_and_not_followed(bundle, change, path):
    rows = rows_of(bundle, "contents")
    next(row for row in rows if row["sha256"] == PLOT).update(change)
    rows.sort(key=lambda row: row["sha256"])
    forge_part(bundle, "contents", rows)
    path = pack_of(bundle) if path == "pack" else path
    assert any(problem.startswith(path) for problem, _ in found(bundle))
    with pytest.raises(BundleDamagedError):
        read_all(bundle)


def test_a_content_that_contents_does_not_name_is_found(bundle):
    rows = [row for row in rows_of(bundle, "contents") if row["sha256"] != PLOT]
    forge_part(bundle, "contents", rows)
    assert ("tables/contents", "content") in found(bundle)
    with pytest.raises(BundleDamagedError, match="is missing"):
        read_all(bundle)


def test_a_small_content_may_be_a_blob(tmp_path, monkeypatch):
    """As bundles of format 1 have it, and an export that such a release began."""
    path = tmp_path / "b"
    with BundleWriter.create(path) as writer:
        writer._own.pack_nothing()
        for key, content in sorted(FILES.items()):
            writer.add_file(artifact(key, content, stamp="1"), opener(content))
    export(path, FILES | many(3), mode="resume")
    packs = {row["sha256"]: bool(row["pack"]) for row in rows_of(path, "contents")}
    assert not packs[PLOT]
    assert sum(packs.values()) == 3
    assert found(path) == set()
    assert read_all(path) == [content for _, content in sorted((FILES | many(3)).items())]


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="tells open files on Linux only")
def test_reading_leaves_nothing_open(bundle):
    before = len(list(OPEN_FILES.iterdir()))
    source = BundleSource(bundle)
    for file in source.files(print):
        source.open_file(file).close()
    source.close()
    assert len(list(OPEN_FILES.iterdir())) == before


def test_contents_are_read_from_many_threads(tmp_path, small_packs):
    files = many(200)
    source = BundleSource(make_bundle(tmp_path / "b", {}, files))

    def read(file):
        with source.open_file(file) as stream:
            return stream.read()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, source.files(print))) == [files[key] for key in sorted(files)]
    source.close()


def test_members_are_plain_data_and_small():
    some = [Member(hashlib.sha256(b"%d" % n).hexdigest(), 512 * n, n) for n in range(1_000)]
    members = Members(iter(some))
    again = pickle.loads(pickle.dumps(members))  # noqa: S301 -- written a moment ago
    assert list(members) == list(members) == list(again) == some
    assert len(members) == len(some)
    assert len(pickle.dumps(members)) < 50 * len(some)
