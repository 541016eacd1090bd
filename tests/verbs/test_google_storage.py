"""Bundles and backups in Google's storage, as an emulator of it serves them."""

from __future__ import annotations

import json
import socket
import urllib.request
from contextlib import closing

import pytest

import mlporter
from mlporter.errors import BundleDamagedError, ExitCode, RefusedError
from tests.repository.registry import SmallRegistry


@pytest.fixture(scope="module")
def bucket():
    """A bucket in the emulator, which knows no conditional writes; gcsfs asks once where it is."""
    from gcp_storage_emulator.server import create_server  # noqa: PLC0415 -- for these tests only

    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True)
    server.start()
    address = f"http://127.0.0.1:{port}"
    made = urllib.request.Request(  # noqa: S310 -- of this machine
        f"{address}/storage/v1/b?project=p",
        data=json.dumps({"name": "bucket"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(made).close()  # noqa: S310
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STORAGE_EMULATOR_HOST", address)
        environment.setenv("NO_GCE_CHECK", "true")  # nobody waits for a machine of Google's
        environment.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        yield "gs://bucket"
    server.stop()


def test_bundles_and_backups(mlflow_sqlite_template, tmp_path, bucket):
    registry = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    for number in range(2):
        registry.add_run(f"{number:032x}", 2, {"a": b"a%d" % number, "big": b"b" * 300_000})
    place = f"{bucket}/team/bundle"
    assert mlporter.export(registry.url, place).exit_code == ExitCode.OK
    with pytest.raises(RefusedError, match="already holds a bundle"):
        mlporter.export(registry.url, place)
    assert mlporter.verify(place, against=registry.url).exit_code == ExitCode.OK

    repository = f"{bucket}/team/backups"
    first = mlporter.backup(registry.url, repository)
    registry.add_run("f" * 32, 2, {"new.txt": b"new"})
    mlporter.backup(registry.url, repository)
    gone = mlporter.forget(repository, keep_last=1, prune_unused=True, grace=0.001)
    assert gone.forgotten == (first.snapshot.name,)
    assert mlporter.verify(repository).check.problems == []
    assert mlporter.diff(f"{repository}@latest", registry.url).exit_code == ExitCode.OK


def test_a_part_that_is_gone_is_damage(mlflow_sqlite_template, tmp_path, bucket):
    import fsspec  # noqa: PLC0415 -- for these tests only

    registry = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    registry.add_run("a" * 32, 2)
    mlporter.export(registry.url, f"{bucket}/bundle")
    fsspec.filesystem("gs").rm("bucket/bundle/tables/runs/00000.parquet")
    with pytest.raises(BundleDamagedError, match="is missing"):
        mlporter.diff(f"{bucket}/bundle", registry.url)
