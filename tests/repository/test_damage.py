"""`verify` finds whatever is wrong in a repository."""

from __future__ import annotations

import random
import subprocess

import pytest

import mlporter
from mlporter.errors import BundleDamagedError, ExitCode, UnsupportedError


def objects(repository):
    kinds = ("packs", "blobs", "parts", "index", "snapshots")
    return sorted(
        path for kind in kinds for path in (repository / kind).rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("kind", ["packs", "blobs", "index", "snapshots"])
def test_a_flipped_byte_is_found_wherever_it_is(repository, kind):
    chance = random.Random(kind)
    for path in [
        path for path in objects(repository) if path.parts[-3:][0] == kind or kind in path.parts
    ]:
        whole = path.read_bytes()
        flip(path, chance)
        assert mlporter.verify(repository).exit_code == ExitCode.BUNDLE, path
        path.write_bytes(whole)
    assert mlporter.verify(repository).exit_code == ExitCode.OK


def flip(path, chance):
    whole = path.read_bytes()
    at = chance.randrange(len(whole))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :])


def test_a_flipped_byte_in_each_part_is_found_in_each(repository):
    chance = random.Random("parts")
    parts = [path for path in objects(repository) if "parts" in path.parts]
    assert len(parts) > 5
    for path in parts:
        flip(path, chance)
    found = mlporter.verify(repository)
    assert found.exit_code == ExitCode.BUNDLE
    said = [f"{problem.path} {problem.detail}" for problem in found.check.problems]
    for path in parts:
        assert any(path.stem in one for one in said), path


def test_a_flipped_byte_in_what_says_that_it_is_a_repository_is_found(repository):
    document = repository / "repository.yaml"
    whole = document.read_bytes()
    for at in range(0, len(whole), 7):
        document.write_bytes(whole[:at] + bytes([whole[at] ^ 2]) + whole[at + 1 :])
        with pytest.raises((BundleDamagedError, UnsupportedError)):
            mlporter.verify(repository)


@pytest.mark.parametrize("kind", ["packs", "blobs", "parts"])
def test_a_missing_object_is_found_and_named(repository, kind):
    path = next(path for path in objects(repository) if kind in path.parts)
    path.unlink()
    for quick in (True, False):
        found = mlporter.verify(repository, quick=quick)
        assert found.exit_code == ExitCode.BUNDLE
        assert any(
            path.name.partition(".")[0] in f"{p.path} {p.detail}" or kind == "packs"
            for p in found.check.problems
        )


def test_what_no_snapshot_names_is_counted_and_is_no_damage(repository):
    (repository / "blobs" / "ab").mkdir(exist_ok=True)
    (repository / "blobs" / "ab" / ("ab" * 32)).write_bytes(b"left over")
    found = mlporter.verify(repository, quick=True).check
    assert (found.problems, found.unreferenced, found.unreferenced_bytes) == ([], 1, 9)


def test_one_snapshot_is_checked_by_itself(repository, two_snapshots):
    registry, _ = two_snapshots
    assert mlporter.verify(f"{repository}/@latest", against=registry.url).exit_code == ExitCode.OK
    against = mlporter.verify(f"{repository}/@first", against=registry.url)
    assert against.exit_code == ExitCode.DIFFERENT
    content = next(
        path
        for path in objects(repository)
        if path.parent.parent.name == "blobs" and path.read_bytes() == b"another" * 50_000
    )
    content.unlink()
    assert mlporter.verify(f"{repository}/@first").exit_code == ExitCode.OK
    assert mlporter.verify(f"{repository}/@latest").exit_code == ExitCode.BUNDLE


def test_packs_and_blobs_are_read_by_tar_and_sha256sum(repository, tmp_path):
    script = """
    set -eu
    cd "$1"; mkdir ../out
    for pack in packs/*/*.tar; do
        test "$(sha256sum < "$pack" | cut -c1-64)" = "$(basename "$pack" .tar)"
        tar -xf "$pack" -C ../out
    done
    cp blobs/*/* ../out
    cd ../out
    for file in *; do test "$(sha256sum < "$file" | cut -c1-64)" = "$file"; done
    ls | wc -l
    """
    done = subprocess.run(
        ["bash", "-c", script, "-", repository], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == 8
