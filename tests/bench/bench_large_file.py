"""One large file through a server's proxy: it is neither in memory nor twice on disk.

    pytest -m bench -n 0 -s tests/bench/bench_large_file.py

MLPORTER_BENCH_LARGE_GB says how large it is: 3 unless told. What it is compared with is 30 MB. The
server that is written to needs twice the room of the file for a while, on its own account.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench import ratios
from tests.support.memory import peak_memory
from tests.support.target_server import target_server

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

SMALL = 30_000_000
LARGE = int(float(os.environ.get("MLPORTER_BENCH_LARGE_GB", "3")) * 1e9)
MB = 1e6


@contextmanager
def watched(*folders):
    """The most bytes that files in some folders took together while a block ran."""
    most, ended = [0], threading.Event()

    def look():
        while not ended.wait(0.1):
            most[0] = max(most[0], sum(map(taken, folders)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def taken(folder):
    """Bytes of all files in a folder; temporary ones may vanish meanwhile."""
    paths = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    return sum(size_of(path) for path in paths)


def size_of(path):
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def peaks(size, template, folder, monkeypatch):
    """Memory and disk, in MB, of an export and of a copy from server to server."""
    temporary, bundle = folder / "tmp", folder / "bundle"
    temporary.mkdir(parents=True)
    with target_server(template, folder / "from") as source:
        client = source.client()
        run = client.create_run(client.create_experiment("large"))
        place = source.files / run.info.experiment_id / run.info.run_id / "artifacts"
        place.mkdir(parents=True)
        with (place / "large.bin").open("wb") as large:
            large.truncate(size)
        with target_server(template, folder / "to") as target:
            monkeypatch.setenv("TMPDIR", str(temporary))
            with watched(temporary, bundle) as export_disk:
                export = peak_memory("export", source.address, str(bundle))
            with watched(temporary) as copy_disk:
                copy = peak_memory("copy", source.address, target.address)
            monkeypatch.delenv("TMPDIR")
            written = sum(p.stat().st_size for p in target.files.rglob("*") if p.is_file())
            assert written == size
    return {"export": (export, export_disk[0] / MB), "copy": (copy, copy_disk[0] / MB)}


def test_memory_and_disk(mlflow_sqlite_template, tmp_path, monkeypatch):
    small, large = (
        peaks(size, mlflow_sqlite_template, tmp_path / str(size), monkeypatch)
        for size in (SMALL, LARGE)
    )
    said = f"{LARGE / 1e9:g} GB / {SMALL / MB:.0f} MB"
    for verb in ("export", "copy"):
        ratios.add(f"{verb}: memory, {said}", large[verb][0], small[verb][0], 1.2, "MB")
    ratios.add(
        "export: bundle and temporary files / file", large["export"][1], LARGE / MB, 1.1, "MB"
    )
    ratios.add("copy: temporary files here / file", large["copy"][1], LARGE / MB, 0.1, "MB")
