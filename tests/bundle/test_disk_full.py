from __future__ import annotations

import io
import os
import resource
import subprocess
import sys

import pytest

from mlporter.artifacts.listing import ArtifactFile
from mlporter.bundle.checks.verify import verify_bundle
from mlporter.bundle.writer import BundleWriter
from mlporter.errors import UnreachableError
from tests.bundle.making import INFO, artifact, fill

BIG = ("run", "r", "big")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_disk_that_fills_up_with_files_leaves_a_bundle_to_resume(small_disk):
    content = os.urandom(2**21)
    with BundleWriter.create(small_disk / "b") as writer:
        with pytest.raises(UnreachableError, match="No space left on device") as caught:
            writer.add_file(artifact(BIG, content), lambda: io.BytesIO(content))
        assert caught.value.exit_code == 6
        assert "--resume" in str(caught.value.hint)
    assert not (small_disk / "b" / "manifest.yaml").exists()
    assert list(small_disk.glob("b/blobs/**/.tmp-*")) == []
    with BundleWriter.create(small_disk / "b", "resume") as writer:
        fill(writer)
        writer.finish(INFO)
    assert verify_bundle(small_disk / "b").problems == []


def test_a_disk_that_fills_up_with_small_files_is_said_though_the_journal_has_no_room(small_disk):
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 200_000)
    with pytest.raises(UnreachableError, match="No space left on device"):
        _add_small_files(small_disk / "b")
    assert list(small_disk.glob("b/packs/**/.tmp-*")) == []
    with pytest.raises(UnreachableError, match="No space left on device"):
        _add_small_files(small_disk / "b", "resume")
    ballast.unlink()
    with BundleWriter.create(small_disk / "b", "resume") as writer:
        writer.finish(INFO)


def _add_small_files(bundle, mode="new"):
    added = []
    with BundleWriter.create(bundle, mode) as writer:
        for number in range(2_000):
            content = b"%0800d" % number
            file = ArtifactFile("run", "r", f"{number:04}", len(content), stamp="1")
            added.append(writer.add_file(file, lambda content=content: io.BytesIO(content)))
        writer.write_artifacts(added)
        writer.finish(INFO)


@pytest.mark.parametrize("free", [0, 4096, 20_000, 45_000])
def test_a_disk_that_fills_up_at_any_step_leaves_a_bundle_to_resume(small_disk, free):
    with BundleWriter.create(small_disk / "b") as writer:
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * (_free(small_disk) - free // 4096 * 4096))
        with pytest.raises(UnreachableError, match="No space left on device"):
            _finish(writer)
    assert not (small_disk / "b" / "manifest.yaml").exists()
    ballast.unlink()
    with BundleWriter.create(small_disk / "b", "resume") as writer:
        _finish(writer)
    assert verify_bundle(small_disk / "b").problems == []


def _finish(writer):
    fill(writer)
    writer.finish(INFO)


def _free(disk):
    found = os.statvfs(disk)
    return found.f_bavail * found.f_bsize


LIMITED = """
import io, os, sys
from mlporter.bundle.writer import BundleWriter
from mlporter.errors import UnreachableError
from mlporter.stores.protocols import ArtifactFile
with BundleWriter.create(sys.argv[1]) as writer:
    content = os.urandom(2**21)
    try:
        writer.add_file(ArtifactFile("run", "r", "big", 2**21), lambda: io.BytesIO(content))
    except UnreachableError as error:
        print(int(error.exit_code), error.message)
"""


def test_a_file_that_may_not_grow_any_further_says_so(tmp_path):
    """The same without root: the system refuses any file above 100 kB."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "b")],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert done.stdout == "6 cannot write: File too large\n"
