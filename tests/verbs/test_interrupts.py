"""Ctrl-C and SIGTERM, sent to a real process that certainly is in the middle of its work.

An export leaves an unfinished bundle that ``--resume`` finishes; an import leaves nothing.
"""

from __future__ import annotations

import signal
from contextlib import closing
from time import monotonic

import psycopg2
import pytest

import mlporter
from mlporter.errors import BundleInUseError, BundleUnfinishedError
from tests.support.contents import contents
from tests.support.databases import execute, row_counts, rows, tree
from tests.support.engines import Postgres
from tests.support.mlflow_session import sqlite_url
from tests.support.others import Gate
from tests.support.plain_registry import build_plain_registry
from tests.support.processes import mlflow_server, mlporter_process


@pytest.fixture
def gate(s3, s3_server, monkeypatch):
    """Makes gates in front of S3, through which processes of this test go from then on."""
    made = []
    host, _, port = s3_server.endpoint.removeprefix("http://").partition(":")

    def make(text):
        made.append(Gate(host, int(port), text.encode()))
        for name in ("MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL"):
            monkeypatch.setenv(name, made[-1].address)
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def in_s3(s3_server, mlflow_sqlite_template, tmp_path_factory):
    """A plain registry whose artifacts are in S3."""
    from tests.support.engines import copy_sqlite  # noqa: PLC0415 -- beside its only use

    path = tmp_path_factory.mktemp("in s3") / "mlflow.db"
    copy_sqlite(mlflow_sqlite_template, path)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        return build_plain_registry(sqlite_url(path), f"{s3_server.new_bucket()}/root")


def stop(process, number, gate=None):
    """Send a signal, let what hangs go on, and wait for the end; what people read."""
    process.send_signal(number)
    if gate:
        gate.open()
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    return process.returncode, said


def test_an_interrupted_export_is_never_taken_for_a_bundle_and_can_be_resumed(
    in_s3, uninterrupted, gate, mlflow_sqlite, tmp_path
):
    bundle = tmp_path / "bundle"
    last = in_s3.run_ids[-1]
    closed = gate(f"{last}/artifacts/report.txt HTTP")
    process = mlporter_process("export", in_s3.tracking_uri, bundle, "--workers", "1")
    closed.wait()
    # In the middle: whoever comes now is told so.
    with pytest.raises(BundleInUseError):
        mlporter.export(in_s3.tracking_uri, str(bundle), resume=True)
    returned, said = stop(process, signal.SIGINT, closed)
    assert returned == 130, said
    assert "--resume" in said
    assert not (bundle / "manifest.yaml").exists()
    with pytest.raises(BundleUnfinishedError):
        mlporter.import_(
            str(bundle), sqlite_url(mlflow_sqlite), artifact_root=str(tmp_path / "root")
        )
    result = mlporter.export(in_s3.tracking_uri, str(bundle), resume=True)
    assert result.exit_code == 0
    assert_like_an_uninterrupted_one(bundle, uninterrupted)


def besides_packs(bundle):
    """All but its packs, of which one may have ended early, and where contents lie."""
    return {
        name: content
        for name, content in tree(bundle).items()
        if not name.startswith(("packs/", "tables/contents/"))
    }


@pytest.fixture(scope="module")
def uninterrupted(in_s3, s3_server, tmp_path_factory):
    """What an export of it makes that nobody interrupts."""
    bundle = tmp_path_factory.mktemp("uninterrupted") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        mlporter.export(in_s3.tracking_uri, str(bundle))
    return bundle


def assert_like_an_uninterrupted_one(bundle, uninterrupted):
    one, other = (besides_packs(at) for at in (bundle, uninterrupted))
    assert set(one) == set(other)
    assert contents(bundle) == contents(uninterrupted)
    # The manifest holds times and an id of its own, and the sums the manifest's.
    unlike = {name for name in one if one[name] != other[name]}
    assert unlike <= {"manifest.yaml", "SHA256SUMS"}
    assert mlporter.verify(str(bundle)).exit_code == 0


def test_an_export_that_was_killed_can_be_resumed(in_s3, uninterrupted, gate, tmp_path):
    """No way to clean up: neither signal handler nor ``finally`` ran."""
    bundle = tmp_path / "bundle"
    closed = gate(f"{in_s3.run_ids[-1]}/artifacts/report.txt HTTP")
    process = mlporter_process("export", in_s3.tracking_uri, bundle, "--workers", "1")
    closed.wait()
    process.kill()
    process.communicate()
    closed.open()
    assert mlporter.export(in_s3.tracking_uri, str(bundle), resume=True).exit_code == 0
    assert_like_an_uninterrupted_one(bundle, uninterrupted)


def test_an_interrupted_import_takes_its_files_back(
    plain_bundle, plain_sqlite_template, gate, s3, mlflow_sqlite
):
    bundle, bucket, target = plain_bundle, s3.new_bucket(), sqlite_url(mlflow_sqlite)
    before, listed = row_counts(target), tree(mlflow_sqlite.parent)
    closed = gate(f"PUT {bucket.removeprefix('s3:/')}/root/1/{max(plain_sqlite_template.run_ids)}")
    process = mlporter_process("import", bundle, target, "--artifact-root", f"{bucket}/root")
    closed.wait()
    client = s3.client()
    name = bucket.removeprefix("s3://")
    assert client.list_objects_v2(Bucket=name)["KeyCount"] > 3
    returned, said = stop(process, signal.SIGTERM, closed)
    assert returned == 143, said
    assert row_counts(target) == before
    assert tree(mlflow_sqlite.parent) == listed
    assert client.list_objects_v2(Bucket=name)["KeyCount"] == 0
    client.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_import_interrupted_while_postgresql_is_busy_leaves_nothing(
    plain_bundle, mlflow_postgres_url, tmp_path, *, number, code
):
    execute(mlflow_postgres_url, HANG)
    before = row_counts(mlflow_postgres_url)
    with closing(psycopg2.connect(Postgres.plain(mlflow_postgres_url))) as other:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(1)")
        process = mlporter_process(
            "import", plain_bundle, mlflow_postgres_url, "--artifact-root", tmp_path / "root"
        )
        wait_until_somebody_waits(mlflow_postgres_url, process)
        # The lock is still held: it is the signal that ends the waiting.
        returned, said = stop(process, number)
    assert returned == code, said
    assert row_counts(mlflow_postgres_url) == before
    assert not (tmp_path / "root").exists()


#: Writing tags waits until whoever holds the lock lets it go.
HANG = """
CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
CREATE TRIGGER hang BEFORE INSERT ON tags EXECUTE FUNCTION hang()
"""


def wait_until_somebody_waits(url, process):
    waiting = (
        "SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = database"
        " WHERE NOT granted AND locktype = 'advisory' AND datname = current_database()"
    )
    while not rows(url, waiting):
        assert process.poll() is None, process.communicate()


def test_a_server_that_does_not_answer_is_not_waited_for(plain_sqlite, tmp_path):
    """Several threads wait for it, for as long as MLflow's own timeout would have it."""
    with mlflow_server(plain_sqlite.tracking_uri, tmp_path / "files") as address:
        host, _, port = address.removeprefix("http://").partition(":")
        for words, text in (
            (("export", "GATE", tmp_path / "bundle"), b"/metrics/get-history"),
            (("copy", "GATE", sqlite_url(tmp_path / "new.db")), b"/runs/search"),
            (("diff", "GATE", plain_sqlite.tracking_uri), b"/metrics/get-history"),
            (("copy", plain_sqlite.tracking_uri, "GATE", "--rename-prefix", "b/"), b"/runs/create"),
        ):
            closed = Gate(host, int(port), text)
            ours = [closed.address if word == "GATE" else word for word in words]
            process = mlporter_process(*ours, "--workers", "8")
            closed.wait()
            start = monotonic()
            returned, said = stop(process, signal.SIGINT)
            assert returned == 130, said
            assert monotonic() - start < 10  # a tenth of a second, if nobody else needs the machine
            closed.close()
