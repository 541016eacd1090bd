"""Bundles in object storage: the same bytes as in a directory, and the same verbs over them."""

from __future__ import annotations

import hashlib
import pickle
import sys
from typing import TYPE_CHECKING, Any

import pytest

import mlporter
from mlporter.bundle.contents.stored_blobs import StoredBlobs
from mlporter.bundle.contents.taking import Taken, Taker
from mlporter.bundle.folder.layout import MANIFEST, OWNER, SUMS, blob_path
from mlporter.bundle.storage.publishing import StagedBundle
from mlporter.errors import (
    BundleDamagedError,
    BundleInUseError,
    BundleUnfinishedError,
    ExitCode,
    RefusedError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from mlporter.execute.files.tasks import TakeIn
from mlporter.stores.addresses.locating import locate
from mlporter.stores.artifact_places import s3_copies
from mlporter.stores.artifact_places.places import open_place
from mlporter.stores.artifact_places.portable import PlacedFile, place_elsewhere
from mlporter.stores.bundles.repository_places import storage_of
from tests.repository.registry import SmallRegistry
from tests.support.copying_s3 import watched_copies
from tests.support.databases import dump
from tests.support.mlflow_session import sqlite_url

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.engines import S3

_LARGE = b"b" * 300_000
_SHA256 = hashlib.sha256(_LARGE).hexdigest()


@pytest.fixture
def registry(mlflow_sqlite_template: Path, tmp_path: Path) -> SmallRegistry:
    made = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    for number in range(3):
        made.add_run(f"{number:032x}", 4, {"a.txt": b"a%d" % number, "big": _LARGE})
    return made


class Bucket:
    """A bucket, by the client of the provider."""

    def __init__(self, s3: S3) -> None:
        self.address = s3.new_bucket()
        self.name = self.address.removeprefix("s3://")
        self.client = s3.client()

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        found = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix).get("Contents", [])
        return {entry["Key"].removeprefix(prefix): self.read(entry["Key"]) for entry in found}

    def read(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return body

    def put(self, key: str, data: bytes, **more: Any) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data, **more)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def writes(self) -> dict[str, int]:
        """How often each object was written, of a bucket with versions."""
        counts: dict[str, int] = {}
        for entry in self.client.list_object_versions(Bucket=self.name).get("Versions", []):
            counts[entry["Key"]] = counts.get(entry["Key"], 0) + 1
        return counts


@pytest.fixture
def bucket(s3: S3) -> Any:
    made = Bucket(s3)
    yield made
    made.client.close()


def test_a_bundle_in_a_bucket_is_the_one_of_a_directory(registry, bucket, tmp_path):
    stored, local = f"{bucket.address}/team/bundle", tmp_path / "bundle"
    result = mlporter.export(registry.url, stored)
    assert result.exit_code == ExitCode.OK
    assert result.next_command == f"mlporter verify {stored}"
    mlporter.export(registry.url, local)

    there = bucket.objects("team/bundle/")
    here = {
        p.relative_to(local).as_posix(): p.read_bytes() for p in local.rglob("*") if p.is_file()
    }
    for own in (MANIFEST, SUMS):  # its id and times
        assert there.pop(own)
        del here[own]
    assert there == here

    assert mlporter.verify(stored).check.problems == []
    assert mlporter.verify(stored, quick=True).check.problems == []
    assert mlporter.verify(stored, against=registry.url).exit_code == ExitCode.OK
    assert mlporter.diff(stored, local).exit_code == ExitCode.OK
    assert {t.name: t.rows for t in mlporter.inspect(stored).tables}["runs"] == 3
    mlporter.unpack(stored, tmp_path / "files", run=f"{1:032x}")
    assert (tmp_path / "files" / "runs" / f"{1:032x}" / "big").read_bytes() == _LARGE

    restored = SmallRegistry(tmp_path / "restored.db", tmp_path / "root" / "1")
    mlporter.import_(stored, restored.url, artifact_root=str(tmp_path / "root"))
    assert restored.files() == registry.files()
    as_it_was = sqlite_url(tmp_path / "rows.db")
    mlporter.copy(stored, as_it_was, artifacts="reference")
    assert dump(as_it_was) == dump(registry.url)


@pytest.fixture
def in_a_bucket(registry, s3):
    """The registry's files in a bucket: "big" with a SHA-256, "same" and "plain" without."""
    made, other = Bucket(s3), b"other" * 100_000
    registry.sql("UPDATE experiments SET artifact_location = ?", made.address)
    registry.sql("UPDATE runs SET artifact_uri = ? || run_uuid || '/artifacts'", f"{made.address}/")
    for number in range(3):
        below = f"{number:032x}/artifacts/"
        hashed = {"ChecksumAlgorithm": "SHA256"}
        made.put(f"{below}a.txt", b"a%d" % number, **hashed)
        made.put(f"{below}big", _LARGE, **hashed)
        made.put(f"{below}plain", other)
    yield made
    made.client.close()


def same_parts(one, other):
    """Whether two bundles' objects are the same, but for what tells one from the other."""
    for own in (MANIFEST, SUMS):
        assert one.pop(own)
        assert other.pop(own)
    assert one == other


def test_s3_copies_large_files_to_their_name(registry, in_a_bucket, bucket, monkeypatch):
    monkeypatch.setattr(s3_copies, "_willing", type(s3_copies._willing)())
    with watched_copies() as copies:
        done = mlporter.export(registry.url, f"{bucket.address}/bundle").files
        assert done.bytes_by_storage == done.by_storage * len(_LARGE) > 0
        assert set(copies.asked) == {f"bundle/{blob_path(_SHA256)}"}
        read = {key.rpartition("/")[2] for key in copies.read if "/artifacts/" in key}
        assert read == {"a.txt", "plain"}
    assert mlporter.verify(f"{bucket.address}/bundle").check.problems == []
    monkeypatch.setattr(s3_copies, "speaks_s3", lambda _: False)
    mlporter.export(registry.url, f"{bucket.address}/streamed")
    same_parts(bucket.objects("bundle/"), bucket.objects("streamed/"))


def test_a_snapshot_has_s3_copy_what_the_repository_lacks(
    registry, in_a_bucket, bucket, tmp_path, monkeypatch
):
    monkeypatch.setattr(s3_copies, "_willing", type(s3_copies._willing)())
    place = f"{bucket.address}/backups"
    with watched_copies() as copies:
        mlporter.backup(registry.url, place)
        assert set(copies.asked) == {f"backups/{blob_path(_SHA256)}"}
        assert not any(key.endswith("/big") for key in copies.read)
        copies.asked.clear()
        mlporter.backup(registry.url, place, full=True)
        assert copies.asked == []
    assert mlporter.verify(place).check.problems == []
    restored = SmallRegistry(tmp_path / "restored.db", tmp_path / "root" / "1")
    mlporter.import_(f"{place}@latest", restored.url, artifact_root=str(tmp_path / "root"))
    assert {path.rpartition("/")[2] for path in restored.files()} == {"a.txt", "big", "plain"}


def test_a_worker_has_s3_copy_too(in_a_bucket, bucket):
    place = place_elsewhere(open_place(f"{in_a_bucket.address}/{0:032x}/artifacts"))
    assert place is not None
    found = PlacedFile(place, "big")
    storage = storage_of(locate(f"{bucket.address}/bundle"))
    sent = pickle.dumps(TakeIn(found, Taker(StoredBlobs(storage)), found.whole))
    task = pickle.loads(sent)  # noqa: S301 -- our own
    with watched_copies() as copies:
        assert task.do() == Taken(_SHA256, len(_LARGE), None, is_new=True, by_storage=True)
        assert task.do() == Taken(_SHA256, len(_LARGE), None, is_new=False)
        assert (len(copies.asked), copies.read) == (1, [])
    assert bucket.objects("bundle/") == {blob_path(_SHA256): _LARGE}


def test_a_copy_that_its_name_does_not_prove_is_written_again(
    registry, in_a_bucket, bucket, monkeypatch
):
    monkeypatch.setattr(s3_copies, "_willing", type(s3_copies._willing)())
    with watched_copies() as copies:
        key = f"{0:032x}/artifacts/big"
        copies.before = lambda: in_a_bucket.put(key, b"x" * len(_LARGE), ChecksumAlgorithm="SHA256")
        mlporter.export(registry.url, f"{bucket.address}/bundle")
    assert mlporter.verify(f"{bucket.address}/bundle").check.problems == []
    assert in_a_bucket.read(key)[:1] == b"x"


def test_a_used_place_is_refused_and_left_alone(registry, bucket):
    place = f"{bucket.address}/bundle"
    mlporter.export(registry.url, place, artifacts="none")
    before = bucket.objects()
    with pytest.raises(RefusedError, match="already holds a bundle"):
        mlporter.export(registry.url, place)
    with pytest.raises(RefusedError, match="already holds a bundle"):
        mlporter.export(registry.url, place, dry_run=True)
    with pytest.raises(UnsupportedError, match="none can be replaced in one step"):
        mlporter.export(registry.url, place, restart=True)
    with pytest.raises(UsageError, match="inside the bundle"):
        mlporter.export(place, f"{place}/part")
    with pytest.raises(UsageError, match="inside the bundle"):
        mlporter.backup(place, f"{place}/backups")
    with pytest.raises(UsageError, match="inside the bundle"):
        mlporter.import_(place, registry.url, artifact_root=f"{place}/root")
    bucket.put("other/notes.txt", b"mine")
    with pytest.raises(RefusedError, match="is not empty") as refused:
        mlporter.export(registry.url, f"{bucket.address}/other", restart=True)
    assert refused.value.reasons == ("notes.txt",)
    assert bucket.objects() == {**before, "other/notes.txt": b"mine"}


class Stopped(Exception):  # noqa: N818 -- it is no error
    pass


def _stop_at(what: str) -> Any:
    def told(doing: str, *_: object) -> None:
        if doing == what:
            raise Stopped

    return told


def test_what_an_interrupted_export_sent_is_not_sent_again(registry, bucket):
    bucket.client.put_bucket_versioning(
        Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"}
    )
    place = f"{bucket.address}/bundle"
    with pytest.raises(Stopped):
        mlporter.export(registry.url, place, on_progress=_stop_at("sending tables"))
    assert MANIFEST not in bucket.objects("bundle/")
    with pytest.raises(BundleUnfinishedError) as unfinished:
        mlporter.inspect(place)
    assert unfinished.value.hint == f"mlporter export SOURCE {place} --resume"
    with pytest.raises(RefusedError, match="unfinished"):
        mlporter.export(registry.url, place)

    registry.write(f"{0:032x}", "a.txt", b"changed")
    bucket.put("bundle/notes.txt", b"mine")
    with pytest.raises(RefusedError, match="other objects"):
        mlporter.export(registry.url, place, resume=True)
    bucket.remove("bundle/notes.txt")
    mlporter.export(registry.url, place, resume=True)
    assert mlporter.verify(place).check.problems == []
    assert OWNER not in bucket.objects("bundle/")
    blobs = [count for key, count in bucket.writes().items() if "/blobs/" in key]
    assert blobs == [1]


def test_an_unfinished_bundle_is_begun_again(registry, bucket):
    place = f"{bucket.address}/bundle"
    with pytest.raises(Stopped):
        mlporter.export(registry.url, place, on_progress=_stop_at("sending tables"))
    mlporter.export(registry.url, place, artifacts="none", restart=True)
    assert mlporter.verify(place).check.problems == []
    assert not bucket.objects("bundle/blobs/")


def test_nothing_is_left_of_an_export_that_wrote_nothing(registry, bucket):
    with pytest.raises(Stopped):
        mlporter.export(
            registry.url, f"{bucket.address}/bundle", on_progress=_stop_at("reading metrics")
        )
    assert bucket.objects() == {}


def test_a_signature_counts_there_too(registry, bucket, keys, tmp_path):
    place, private, public = f"{bucket.address}/bundle", *keys
    mlporter.export(registry.url, place, sign=private)
    assert mlporter.verify(place, require_signature=public).check.problems == []
    target = sqlite_url(tmp_path / "new.db")
    mlporter.import_(place, target, artifacts="reference", require_signature=public)
    assert dump(target) == dump(registry.url)
    bucket.put(f"bundle/{MANIFEST}", bucket.read(f"bundle/{MANIFEST}") + b"note: changed\n")
    with pytest.raises(RefusedError, match="signature is not valid"):
        mlporter.import_(place, target, require_signature=public)


def test_one_writer_at_a_time(registry, bucket):
    place = f"{bucket.address}/bundle"
    with StagedBundle.create(storage_of(locate(place))):
        for resume in (False, True):
            with pytest.raises(BundleInUseError, match="is being written by process"):
                mlporter.export(registry.url, place, resume=resume)
        with pytest.raises(BundleInUseError):
            mlporter.inspect(place)
    mlporter.export(registry.url, place)


def test_damage_is_found(registry, bucket, tmp_path):
    place = f"{bucket.address}/bundle"
    mlporter.export(registry.url, place)
    (blob,) = bucket.objects("bundle/blobs/")
    bucket.put(f"bundle/blobs/{blob}", _LARGE[:-1] + b"c")
    bucket.put("bundle/notes.txt", b"mine")
    found = {(p.path, p.what) for p in mlporter.verify(place).check.problems}
    assert found == {(f"blobs/{blob}", "sha256"), ("notes.txt", "unexpected")}
    with pytest.raises(BundleDamagedError, match="does not match its name"):
        mlporter.unpack(place, tmp_path / "files")
    bucket.remove("bundle/tables/runs/00000.parquet")
    with pytest.raises(BundleDamagedError, match="is missing"):
        mlporter.import_(place, sqlite_url(tmp_path / "new.db"), artifacts="none")
    bucket.remove(f"bundle/{MANIFEST}")
    with pytest.raises(BundleDamagedError, match=f"{MANIFEST} is missing"):
        mlporter.inspect(place)


def test_what_is_no_bundle_is_named(bucket):
    with pytest.raises(UnreachableError, match="holds no object"):
        mlporter.inspect(f"{bucket.address}/none")
    bucket.put("ml/1/run/artifacts/model.pkl", b"x")
    with pytest.raises(UsageError, match=r"1/run/artifacts/model\.pkl") as found:
        mlporter.inspect(f"{bucket.address}/ml")
    assert "mlporter rebuild" in (found.value.hint or "")
    with pytest.raises(UsageError, match="target is a database or a server"):
        mlporter.copy(f"{bucket.address}/ml@latest", f"{bucket.address}/new")


def test_the_command_line_takes_such_a_place(registry, bucket, cli):
    place = f"{bucket.address}/bundle"
    assert cli("export", registry.url, place, "--artifacts", "none", "--dry-run").code == 0
    assert bucket.objects() == {}
    shown = cli("export", registry.url, place, "--artifacts", "none")
    assert shown.code == 0
    assert f"mlporter verify {place}" in shown.out + shown.err
    assert cli("verify", place).code == 0
    assert cli("show", place, "runs").code == 0
    assert cli("doctor", place).code == 0
    assert cli("export", registry.url, place).code == 4


@pytest.mark.parametrize("place", ["sqlite:///x.db", "http://host:5000", "s3://bucket/x@latest"])
def test_a_bundle_goes_to_a_directory_or_a_bucket(registry, place):
    with pytest.raises(UsageError, match=r"a bundle is a directory|repository of snapshots"):
        mlporter.export(registry.url, place)


def test_a_bucket_that_is_not_there(registry, s3):
    for verb in (mlporter.export, mlporter.backup):
        with pytest.raises(UnreachableError, match="no such bucket"):
            verb(registry.url, "s3://no-such-bucket-here/place")


def test_a_log_in_is_never_put_together_from_two(registry, monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=others")
    monkeypatch.setenv("DEV_AZURE_STORAGE_ACCESS_KEY", "mine-123")
    with pytest.raises(UnreachableError, match="of one side alone") as refused:
        mlporter.inspect("abfs://container/bundle", source_env="DEV_")
    assert refused.value.hint == "set DEV_AZURE_STORAGE_CONNECTION_STRING"


def test_a_package_that_is_missing_is_named(registry, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.setitem(sys.modules, "adlfs", None)
    for scheme, extra in (("s3", "s3"), ("gs", "gcs"), ("abfs", "azure")):
        for verb in (mlporter.export, mlporter.backup):
            with pytest.raises(UnsupportedError, match="not installed") as refused:
                verb(registry.url, f"{scheme}://bucket/place")
            assert refused.value.hint == f"pip install 'mlporter[{extra}]'"
