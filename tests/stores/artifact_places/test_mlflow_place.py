# ruff: noqa: PLC0415 -- importing MLflow takes seconds, which the other tests can save
import contextlib
import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlporter.artifacts.disk.write_log import WriteLog
from mlporter.artifacts.places import LocalPlace, Written
from mlporter.artifacts.scan import Owner, scan_owners
from mlporter.artifacts.uris.uri_text import UriMap
from mlporter.errors import AccessDeniedError, RefusedError, UnreachableError
from mlporter.stores.artifact_places.mlflow_place import MlflowPlace
from mlporter.stores.artifact_places.places import Places, open_place
from tests.support.forks import run, start
from tests.support.listed import listed


@pytest.fixture
def bucket(s3):
    return s3.new_bucket()


@pytest.fixture
def keys(s3, bucket):
    """The keys of the bucket's objects, told by S3 itself; and `put` to make some."""

    class Keys:
        client = s3.client()
        name = bucket.removeprefix("s3://")

        def __call__(self):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
            return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

        def put(self, **objects):
            for key, body in objects.items():
                self.client.put_object(Bucket=self.name, Key=key, Body=body)

    found = Keys()
    yield found
    found.client.close()


def read(place, path):
    with place.open(path) as stream:
        return stream.read()


def names(place):
    return [file.path for file in listed(place).files]


# --- S3 -------------------------------------------------------------------------------------------


def test_files_in_a_bucket(bucket, keys):
    odd = "b/ü ?#%41&+.txt"
    keys.put(**{"x/a": b"1", f"x/{odd}": b"22", "x/b/c/d": b"", "xy": b"-", "x/dir/": b""})
    place = open_place(f"{bucket}/x")
    assert isinstance(place, MlflowPlace)
    assert place.exists()
    assert not open_place(f"{bucket}/nothing").exists()
    listing = listed(place)
    assert [(f.path, f.size) for f in listing.files] == [("a", 1), ("b/c/d", 0), (odd, 2)]
    assert listing.problems == []
    assert read(place, odd) == b"22"
    assert names(open_place(bucket)) == ["x/a", "x/b/c/d", f"x/{odd}", "xy"]


def test_keys_that_are_no_paths_are_reported(bucket, keys):
    keys.put(**{"x/a//b": b"1", "x/c/../d": b"1", "x/ok": b"1"})
    listing = listed(open_place(f"{bucket}/x"))
    assert [file.path for file in listing.files] == ["ok"]
    assert {problem.reason for problem in listing.problems} == {"unsafe-path"}
    assert len(listing.problems) == 2


def test_an_object_that_has_the_name_of_a_folder(bucket, keys):
    keys.put(**{"x/a": b"file", "x/a/b": b"below"})
    place = open_place(f"{bucket}/x")
    assert names(place) == ["a", "a/b"]
    assert read(place, "a") == b"file"


def test_nothing_is_left_of_a_download(bucket, keys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    keys.put(**{"x/a": b"1"})
    place = open_place(f"{bucket}/x")
    with place.open("a") as stream:
        assert list(tmp_path.iterdir())
        assert stream.read() == b"1"
    assert list(tmp_path.iterdir()) == []
    place.put("new", io.BytesIO(b"1"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["gone", "a/b", "../a", "/a", ""])
def test_what_cannot_be_opened_is_an_oserror(bucket, path):
    with pytest.raises(OSError), open_place(f"{bucket}/x").open(path):  # noqa: PT011
        pytest.fail("opened")


def test_put_into_a_bucket(bucket, keys):
    place = open_place(f"{bucket}/x/")
    digest = hashlib.sha256(b"data").hexdigest()
    for path in ("a", "b/ü ?#%41.txt"):
        assert place.put(path, io.BytesIO(b"data")) == Written(digest, 4, created=True)
        assert place.put(path, io.BytesIO(b"data")) == Written(digest, 4, created=False)
        assert read(place, path) == b"data"
    assert keys() == ["x/a", "x/b/ü ?#%41.txt"]
    assert open_place(f"{bucket}/x").put("a", io.BytesIO(b"data")).created is False


@pytest.mark.parametrize("other", [b"atad", b"data+"])
def test_put_never_overwrites_an_object(bucket, keys, other):
    keys.put(**{"x/a": b"data"})
    place = open_place(f"{bucket}/x")
    with pytest.raises(RefusedError):
        place.put("a", io.BytesIO(other))
    with pytest.raises(RefusedError):
        place.put("../a", io.BytesIO(other))
    assert read(place, "a") == b"data"


def test_several_threads_put_and_open(bucket):
    place = open_place(f"{bucket}/x")
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda i: place.put(f"d/{i}", io.BytesIO(b"%d" % i)), range(40)))
        assert all(one.created for one in written)
        assert list(pool.map(lambda i: read(place, f"d/{i}"), range(40))) == [
            b"%d" % i for i in range(40)
        ]


def test_a_source_that_cannot_be_read_is_not_the_targets_fault(bucket, keys):
    class Broken(io.BytesIO):
        def read(self, _size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        open_place(f"{bucket}/x").put("a", Broken())
    assert keys() == []


def test_a_temporary_folder_that_cannot_take_the_file(bucket, keys):
    with pytest.raises(UnreachableError) as caught:
        open_place(f"{bucket}/x").put("n" * 300, io.BytesIO(b"1"))
    assert "TMPDIR" in caught.value.hint
    assert keys() == []


LARGE = """
import io, sys, tracemalloc
from mlporter.stores.artifact_places.places import open_place

class Zeros(io.RawIOBase):
    left = 64 << 20
    def read(self, size=-1):
        size = min(size, self.left)
        self.left -= size
        return bytes(size)

place = open_place(sys.argv[1])
place.put("small", io.BytesIO(b"1"))
tracemalloc.start()
assert place.put("large", Zeros()).size == 64 << 20
with place.open("large") as stream:
    assert sum(map(len, iter(lambda: stream.read(1 << 20), b""))) == 64 << 20
print(tracemalloc.get_traced_memory()[1])
"""


def test_a_large_file_does_not_pass_through_memory(bucket):
    # The test's S3 keeps its objects in the memory of this process, hence another one.
    done = run(["-c", LARGE, bucket])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 40 << 20


def test_undo_takes_back_what_was_put(bucket, keys):
    keys.put(**{"x/old": b"1", "x/a/b": b"1"})
    before = keys()
    places = Places(log=WriteLog())
    place = places.open(f"{bucket}/x")
    for path in ("new", "deep/new", "old"):
        place.put(path, io.BytesIO(b"1"))
    places.open(f"{bucket}/y").put("new", io.BytesIO(b"1"))
    assert len(keys()) == len(before) + 3
    assert places.undo() == []
    assert keys() == before


def test_undo_leaves_a_name_that_has_become_a_folder(bucket, keys):
    places = Places(log=WriteLog())
    places.open(f"{bucket}/x").put("a", io.BytesIO(b"1"))
    keys.put(**{"x/a/theirs": b"2"})
    [stays] = places.undo()
    assert stays.where == f"{bucket}/x/a"
    assert keys() == ["x/a", "x/a/theirs"]


def test_undo_of_a_place_that_is_gone_says_so(s3):
    bucket = s3.new_bucket()
    places = Places(log=WriteLog())
    places.open(f"{bucket}/x").put("a", io.BytesIO(b"1"))
    client = s3.client()
    client.delete_object(Bucket=bucket[5:], Key="x/a")
    client.delete_bucket(Bucket=bucket[5:])
    client.close()
    [stays] = places.undo()
    assert stays.where == f"{bucket}/x/a"
    assert "does not exist" in stays.why


def test_places_mapped_and_mixed_with_local_ones(bucket, tmp_path):
    places = Places.of(tmp_path, [f"s3://old={bucket}/new"], WriteLog())
    places.open("s3://old/1").put("a", io.BytesIO(b"1"))
    places.open("./mlruns/1").put("a", io.BytesIO(b"2"))
    assert names(open_place(f"{bucket}/new/1")) == ["a"]
    assert (tmp_path / "mlruns/1/a").read_bytes() == b"2"
    assert places.undo() == []
    assert names(open_place(f"{bucket}/new/1")) == []
    assert list(tmp_path.iterdir()) == []


def test_scanning_owners_in_a_bucket(bucket, keys):
    keys.put(**{f"1/r{i:02}/artifacts/{name}": b"1" for i in range(20) for name in "ba"})
    places = Places()
    owners = [Owner("run", f"r{i:02}", f"{bucket}/1/r{i:02}/artifacts") for i in range(21)]
    files = list(scan_owners(owners, places.open, pytest.fail, workers=6))
    assert [(f.owner_id, f.path) for f in files] == [
        (f"r{i:02}", name) for i in range(20) for name in "ab"
    ]
    with places.open(files[-1].token).open(files[-1].path) as stream:
        assert stream.read() == b"1"


# --- what cannot be reached -----------------------------------------------------------------------


def test_a_bucket_that_does_not_exist(s3):
    place = open_place("s3://no-such-bucket-here/x")
    with pytest.raises(UnreachableError, match="does not exist"):
        place.list()
    with pytest.raises(UnreachableError, match="does not exist"):
        place.put("a", io.BytesIO(b"1"))
    with pytest.raises(FileNotFoundError), place.open("a"):
        pytest.fail("opened")


def test_no_credentials(s3, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    code = """
from mlporter.stores.artifact_places.places import open_place
from mlporter.errors import AccessDeniedError
try:
    open_place("s3://b/x").list()
except AccessDeniedError as error:
    print("denied:", error.hint)
"""
    # boto3 keeps credentials it has found in the process, hence another one.
    done = run(["-c", code])
    assert done.stdout.startswith("denied: set the credentials")


@pytest.mark.parametrize("status", ["AccessDenied", "InvalidAccessKeyId", "403"])
def test_access_denied(bucket, monkeypatch, status):
    """The test server lets everybody in; the answer is made."""
    from botocore.exceptions import ClientError
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    def refuse(*_, **__):
        raise ClientError({"Error": {"Code": status, "Message": "no"}}, "PutObject")

    monkeypatch.setattr(S3ArtifactRepository, "log_artifact", refuse)
    monkeypatch.setattr(S3ArtifactRepository, "_download_file", refuse)
    place = open_place(f"{bucket}/x")
    with pytest.raises(AccessDeniedError):
        place.put("a", io.BytesIO(b"1"))
    with pytest.raises(PermissionError), place.open("a"):
        pytest.fail("opened")


def test_an_endpoint_that_does_not_answer(s3, monkeypatch):
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://me:hunter2@127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(UnreachableError) as caught:
        open_place("s3://b/x").list()
    assert "hunter2" not in str(caught.value)


def test_an_endpoint_that_is_no_url(s3, monkeypatch):
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "not an endpoint")
    with pytest.raises(UnreachableError, match="s3://b"):
        open_place("s3://b/x").list()


def test_a_driver_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    from mlflow.store.artifact.s3_artifact_repo import _cached_get_s3_client

    _cached_get_s3_client.cache_clear()
    with pytest.raises(UnreachableError) as caught:
        open_place("s3://b/x").list()
    assert caught.value.hint == "pip install boto3"


@pytest.mark.parametrize(
    ("uri", "hint"),
    [
        ("mlflow-artifacts:/1/r/artifacts", "--map-uri mlflow-artifacts:/=FOLDER"),
        ("mlflow-artifacts://me:pw@host/1", "--map-uri mlflow-artifacts://me:***@host/=FOLDER"),
        ("what:/x", "--map-uri"),
        ("runs:/1/x", ""),
        ("models:/m-1", ""),
        ("https://example.com/x", ""),
        ("file://nas/x", "--map-uri"),
        ("dbfs:/a/../../etc", ""),
        ("dbfs:/a/%2e%2e/%2E./etc", ""),
        ("", "--map-uri"),
        pytest.param("C:\\x", "--map-uri 'C:\\x=",
                     marks=pytest.mark.skipif(os.name == "nt", reason="local there")),
    ],
)  # fmt: skip
def test_places_that_nothing_can_be_looked_for_in(uri, hint):
    with pytest.raises(UnreachableError) as caught:
        open_place(uri)
    assert (caught.value.hint or "").find(hint) >= 0
    assert "pw" not in str(caught.value)


def test_local_places(tmp_path):
    assert open_place("./mlruns/1", base=tmp_path) == LocalPlace(tmp_path / "mlruns/1")
    assert open_place("file:///a%20b") == LocalPlace(Path("/a b"))
    mapped = open_place("mlflow-artifacts:/1", uri_map=UriMap.parse(["mlflow-artifacts:/=/srv"]))
    assert mapped == LocalPlace(Path("/srv/1"))


def test_local_places_need_no_mlflow():
    code = """
import sys
from mlporter.stores.artifact_places.places import Places
Places().open("/tmp").exists()
assert not {"mlflow", "boto3", "sqlalchemy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# --- behind a tracking server ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A tracking server that serves artifacts: its address, and the folder it keeps them in."""
    folder = tmp_path_factory.mktemp("served")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["-m", "mlflow", "server", "--artifacts-only", "--workers", "1"]
    words += ["--host", "127.0.0.1", "--port", port, "--artifacts-destination", folder]
    log = folder.with_suffix(".log")
    # In tests MLflow checks more, and otherwise, than a server does.
    environment = {n: v for n, v in os.environ.items() if n != "PYTEST_CURRENT_TEST"}
    environment["MLFLOW_LOGGING_LEVEL"] = "DEBUG"
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    server = start(words, environment=environment, folder=folder, log=log, own_session=True)
    try:
        while "startup complete" not in log.read_text():
            assert server.poll() is None, log.read_text()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.02)
        yield f"http://127.0.0.1:{port}", folder
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_files_behind_a_server(served, monkeypatch):
    address, folder = served
    # An error of the server is to be seen; MLflow would try for longer than a test may take.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    places = Places(tracking_uri=address, log=WriteLog())
    place = places.open("mlflow-artifacts:/1/r/artifacts")
    odd = "sub/ü a?b&c+.txt"
    for path in ("a", odd):
        assert place.put(path, io.BytesIO(path.encode())).created
    root = folder / "1/r/artifacts"
    assert {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()} == {"a", odd}
    direct = open_place(f"{address}/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts")
    for found in (place, direct):
        assert names(found) == ["a", odd]
        assert read(found, odd) == odd.encode()
        with pytest.raises(FileNotFoundError), found.open("gone"):
            pytest.fail("opened")
    assert not place.put("a", io.BytesIO(b"a")).created
    assert places.undo() == []
    assert not [p for p in root.rglob("*") if p.is_file()]
