"""Many files, or names in many folders, become durable together where the system can do that."""

import os
from pathlib import Path

import pytest

from mlporter.artifacts.disk import durable

DESCRIPTORS = Path("/proc/self/fd")


@pytest.fixture(params=[False, True], ids=["one by one", "at once"])
def synced(monkeypatch, request):
    """Whether all can be synced at once; what was: paths, and "disk" for all that waited."""
    seen = []
    really = os.fsync

    def fsync(descriptor):
        seen.append(str((DESCRIPTORS / str(descriptor)).readlink()))
        really(descriptor)

    monkeypatch.setattr(durable.os, "fsync", fsync)
    monkeypatch.setattr(durable, "sync_whole_disk", lambda _: seen.append("disk"))
    monkeypatch.setattr(durable, "has_syncfs", lambda: request.param)
    return request.param, seen


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="asks /proc what was synced")
@pytest.mark.parametrize("many", [3, 30])
@pytest.mark.parametrize("kind", ["files", "folders"])
def test_all_become_durable(tmp_path, synced, kind, many):
    at_once, seen = synced
    paths = [tmp_path / f"{number:02}" for number in range(many)]
    for path in paths:
        path.touch() if kind == "files" else path.mkdir()
    if kind == "files":
        durable.sync_files(tmp_path, [str(path) for path in paths])
    else:
        durable.sync_folders(tmp_path, [path.name for path in paths])
    assert seen == (["disk"] if at_once and many > 10 else [str(path) for path in paths])
