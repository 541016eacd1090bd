"""What is surely not there, by one look at the folder above; and never what may be."""

from __future__ import annotations

from mlporter.artifacts import absent_folders
from mlporter.artifacts.absent_folders import AbsentFolders
from mlporter.artifacts.places import LocalPlace
from mlporter.artifacts.uris.uri_text import local_path


def opened(address):
    path = local_path(address)
    return None if path is None else LocalPlace(path)


def test_only_what_is_surely_not_there_is_absent(tmp_path):
    (tmp_path / "1" / "Run").mkdir(parents=True)
    (tmp_path / "1" / "link").symlink_to(tmp_path)
    absent = AbsentFolders(opened).absent
    assert absent(f"{tmp_path}/1/other/artifacts") == f"{tmp_path}/1/other/artifacts"
    assert absent(f"file://{tmp_path}/2/other/artifacts") == f"{tmp_path}/2/other/artifacts"
    for name in (
        "1/Run/artifacts",  # it has none, but that is asked of itself
        "1/run/artifacts",  # the same on some file systems
        "1/link/artifacts",
        "1/r%75n/artifacts",
        "1/../1",
        "1",
    ):
        assert absent(f"{tmp_path}/{name}") is None
    assert absent("s3://bucket/1/other/artifacts") is None


def test_a_folder_of_too_many_names_is_not_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(absent_folders, "_MOST", 1)
    for name in ("1/a", "2/b", "2/c"):
        (tmp_path / name).mkdir(parents=True)
    absent = AbsentFolders(opened).absent
    assert absent(f"{tmp_path}/2/z/artifacts") is None
    assert absent(f"{tmp_path}/1/z/artifacts") is not None
