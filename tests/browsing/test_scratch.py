"""What MLflow is given: a scratch database, an index of files, and their bytes."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import threading
from contextlib import closing, contextmanager
from hashlib import sha256
from io import BytesIO

import pytest

import mlporter
from mlporter.artifacts.listing import ArtifactFile
from mlporter.browsing.file_channel import fetch, serve_files
from mlporter.browsing.file_index import Entry, FileIndex, write_index
from mlporter.browsing.scratch import has_workspaces, make_scratch
from mlporter.browsing.shared_names import DATABASE, INDEX
from mlporter.errors import UnreachableError
from mlporter.progress import silent
from mlporter.stores.opening import open_source
from tests.support.contents import damage_content, lose_content
from tests.support.mlflow_session import sqlite_url
from tests.support.old_databases import copy_old


@contextmanager
def opened(place):
    with closing(open_source(str(place), dedupe=True, include_tables=())) as source:
        yield source


def places_and_rows(folder):
    """Every place below the artifact root that a row names as its own."""
    queries = (
        "SELECT artifact_uri FROM runs",
        "SELECT artifact_location FROM logged_models",
    )
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        return {row[0] for query in queries for row in database.execute(query)}


def files_below(index, folder=""):
    for entry in index.entries(folder):
        path = f"{folder}/{entry.name}".strip("/")
        if entry.size is None:
            yield from files_below(index, path)
        else:
            yield path


@pytest.fixture(scope="module")
def made(rich_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scratch")
    with opened(rich_bundle) as source:
        result = make_scratch(source, folder, silent)
        files = list(source.files(lambda _: None))
    return folder, result, files


def test_every_file_is_where_a_row_says(made):
    folder, _, files = made
    index = FileIndex(folder / INDEX)
    roots = {uri.removeprefix("mlflow-artifacts:/") for uri in places_and_rows(folder)}
    found = [(path, index.file(path)) for path in files_below(index)]
    assert sorted(map(repr, files)) == sorted(repr(file) for _, file in found)
    owned = [(path, file) for path, file in found if file.owner_kind in {"run", "logged_model"}]
    assert owned
    for path, file in owned:
        assert path.removesuffix(f"/{file.path}") in roots


def test_all_places_are_behind_the_server(made):
    assert all(uri.startswith("mlflow-artifacts:/") for uri in places_and_rows(made[0]))


def test_nothing_is_copied(made):
    folder = made[0]
    assert sorted(path.name for path in folder.iterdir()) == [INDEX, DATABASE]


@pytest.mark.parametrize("version", ["1.30.1", "2.9.2"])
def test_an_old_database_is_looked_at_without_touching_it(version, tmp_path):
    old = copy_old(version, tmp_path / "old")
    before = old.read_bytes()
    (tmp_path / "scratch").mkdir()
    with opened(sqlite_url(old)) as source:
        make_scratch(source, tmp_path / "scratch", silent)
        runs = source.count("runs")
    assert old.read_bytes() == before
    with closing(sqlite3.connect(tmp_path / "scratch" / DATABASE)) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (runs,)
        # A table of today's MLflow, which that one had not.
        assert database.execute("SELECT count(*) FROM logged_models").fetchone() == (0,)


def test_a_snapshot_is_a_place_like_any_other(plain_sqlite, tmp_path, ends):
    mlporter.backup(plain_sqlite.tracking_uri, tmp_path / "backups")
    mine, theirs = ends
    with opened(tmp_path / "backups" / "@latest") as source:
        make_scratch(source, tmp_path, silent)
        serving(mine, source)
        index = FileIndex(tmp_path / INDEX)
        paths = list(files_below(index))
        assert paths
        for path in paths:
            fetch(theirs, index.file(path), into := BytesIO())
            file = index.file(path)
            assert sha256(into.getvalue()).hexdigest() == file.sha256
        theirs.shutdown(socket.SHUT_RDWR)
    assert places_and_rows(tmp_path)


def test_workspaces_are_told(rich_bundle, rich_sqlite_workspaces):
    with opened(rich_bundle) as source:
        assert not has_workspaces(source)
    with opened(rich_sqlite_workspaces.tracking_uri) as source:
        assert has_workspaces(source)


# --- The index ------------------------------------------------------------------------------------


def test_folders_are_listed_one_by_one(tmp_path):
    def file(path, size):
        return ArtifactFile("run", "r", path, size, token="t")

    there = [("1/r/a.txt", file("a.txt", 1)), ("1/r/b/ü.txt", file("b/ü.txt", 2))]
    assert write_index(tmp_path / INDEX, [*there, ("2/x", file("x", 3))]) == 3
    index = FileIndex(tmp_path / INDEX)
    assert index.entries("") == [Entry("1", None), Entry("2", None)]
    assert index.entries("1/r") == [Entry("a.txt", 1), Entry("b", None)]
    assert index.entries("1/r/b") == [Entry("ü.txt", 2)]
    assert index.entries("1/r/a.txt") == index.entries("3") == []
    assert index.file("1/r/b/ü.txt") == there[1][1]
    assert index.file("1/r/b") is None


# --- The bytes ------------------------------------------------------------------------------------


@pytest.fixture
def ends():
    """Both ends of the connection: of who has the source, and of who asks."""
    mine, theirs = socket.socketpair()
    yield mine, theirs
    for end in (mine, theirs):
        end.close()


def serving(end, source):
    thread = threading.Thread(target=serve_files, args=(end, source), daemon=True)
    thread.start()
    return thread


def test_files_come_as_they_are_several_at_a_time(rich_bundle, ends):
    mine, theirs = ends
    with opened(rich_bundle) as source:
        thread = serving(mine, source)
        files = list(source.files(lambda _: None))[:20]
        got = [BytesIO() for _ in files]
        asking = [
            threading.Thread(target=fetch, args=(theirs, file, into))
            for file, into in zip(files, got, strict=True)
        ]
        for one in asking:
            one.start()
        for one in asking:
            one.join()
        for file, into in zip(files, got, strict=True):
            with source.open_file(file) as stream:
                assert into.getvalue() == stream.read()
        theirs.shutdown(socket.SHUT_RDWR)
        thread.join(30)
        assert not thread.is_alive()


def test_a_damaged_file_is_told_and_not_given(rich_bundle, tmp_path, ends):
    mine, theirs = ends
    bundle = shutil.copytree(rich_bundle, tmp_path / "bundle")
    for path in bundle.rglob("*"):
        path.chmod(0o755)
    damaged = damage_content(bundle)
    with opened(bundle) as source:
        serving(mine, source)
        file = next(one for one in source.files(lambda _: None) if one.sha256 == damaged)
        with pytest.raises(UnreachableError, match=damaged[:8]):
            fetch(theirs, file, BytesIO())
        lose_content(bundle)
        with pytest.raises(UnreachableError):
            fetch(theirs, file, BytesIO())


def test_who_asks_is_told_when_the_other_is_gone(ends):
    mine, theirs = ends
    mine.close()
    with pytest.raises((UnreachableError, OSError)):
        fetch(theirs, ArtifactFile("run", "r", "a", 1), BytesIO())
