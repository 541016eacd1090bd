"""Bundles made by somebody who knows the format and wants to do harm, or just made wrong."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pytest

import mlporter
from mlporter.bundle.writer import BundleWriter
from mlporter.catalogue import BY_NAME
from mlporter.errors import BundleDamagedError, RefusedError, UnreachableError, UsageError
from tests.bundle.making import INFO, ROWS, RUN, batch_of, fill, make_bundle
from tests.support.databases import tree
from tests.support.mlflow_session import sqlite_url

EVIL = ["../../../../evil", "%2e%2e%2f%2e%2e%2f%2e%2e%2fevil", "..", ""]


def import_(bundle, folder, database):
    return mlporter.import_(str(bundle), sqlite_url(database), artifact_root=str(folder / "root"))


@pytest.mark.parametrize("name", EVIL)
def test_no_run_id_leads_out_of_the_artifact_root(name, mlflow_sqlite, tmp_path):
    rows = {**ROWS, "runs": [*ROWS["runs"], {**ROWS["runs"][0], "run_uuid": name}]}
    rows["runs"].sort(key=lambda row: str(row["run_uuid"]))
    place = tmp_path / "a" / "b" / "c"
    bundle = make_bundle(tmp_path / "bundle", rows, {("run", name, "evil.txt"): b"evil"})
    import_(bundle, place, mlflow_sqlite)
    mlporter.unpack(str(bundle), str(place / "out"))
    landed = {path for path in tmp_path.rglob("evil.txt") if bundle not in path.parents}
    assert len(landed) == 2
    assert {path for path in landed if place not in path.parents} == set()
    assert {path.name for path in place.iterdir()} == {"root", "out"}


@pytest.mark.parametrize(
    "owner", ["../../evil/1", "default/x/../..", "default/../..", "%2e%2e/x/1"]
)
def test_no_model_version_leads_out_of_the_artifact_root(owner, mlflow_sqlite, tmp_path):
    bundle = make_bundle(tmp_path / "bundle", files={("model_version", owner, "evil.txt"): b"evil"})
    place = tmp_path / "a" / "b" / "c"
    import_(bundle, place, mlflow_sqlite)
    mlporter.unpack(str(bundle), str(place / "out"))
    for path in tmp_path.rglob("evil.txt"):
        assert {place / "root", place / "out"} & set(path.parents)
    assert list((place / "root").rglob("evil.txt"))


def with_table(path: Path, name: str, table, batch):
    """A bundle in which a table has other columns than MLflow's."""
    with BundleWriter.create(path) as writer:
        fill(writer, {other: rows for other, rows in ROWS.items() if other != name})
        writer.write_table(table, [batch])
        writer.finish(INFO)
    return path


def test_columns_of_another_type_are_refused(mlflow_sqlite, tmp_path):
    """SQLite takes any value into any column: a text would come out of it as a version."""
    table = BY_NAME["model_versions"]
    column = replace(table.by_name["version"], type=pa.string())
    texts = replace(
        table, columns=tuple(column if c.name == "version" else c for c in table.columns)
    )
    batch = batch_of("model_versions", ROWS["model_versions"]).cast(texts.schema)
    bundle = with_table(tmp_path / "bundle", "model_versions", texts, batch)
    before = tree(mlflow_sqlite.parent)
    with pytest.raises(RefusedError, match="not those of schema revision") as caught:
        import_(bundle, tmp_path, mlflow_sqlite)
    assert any(line.startswith("model_versions.version is") for line in caught.value.reasons)
    assert tree(mlflow_sqlite.parent) == before


def test_a_bundle_without_the_columns_of_its_revision_is_refused(mlflow_sqlite, tmp_path):
    few = BY_NAME["runs"].only(frozenset({"run_uuid", "status"}))
    batch = batch_of("runs", ROWS["runs"]).select(few.schema.names)
    bundle = with_table(tmp_path / "bundle", "runs", few, batch)
    with pytest.raises(RefusedError, match="not those of schema revision") as caught:
        import_(bundle, tmp_path, mlflow_sqlite)
    assert "table runs has no column artifact_uri" in caught.value.reasons


@pytest.mark.parametrize(
    "name", ['x"; DROP TABLE runs; --', "x'; DROP TABLE runs; --", "alembic_version"]
)
def test_a_table_of_any_name_is_left_out_by_name(name, mlflow_sqlite, tmp_path):
    table = replace(BY_NAME["experiment_tags"], name=name, references=(), parent=None)
    path = tmp_path / "bundle"
    with BundleWriter.create(path) as writer:
        fill(writer)
        writer.write_table(table, [batch_of("experiment_tags", ROWS["experiment_tags"])])
        writer.finish(INFO)
    result = import_(path, tmp_path, mlflow_sqlite)
    assert name in {item.id for item in result.left_out.first}


def test_blobs_behind_a_symbolic_link_are_refused(tmp_path):
    bundle = make_bundle(tmp_path / "bundle")
    (bundle / "blobs").rename(tmp_path / "elsewhere")
    (bundle / "blobs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleDamagedError, match="blobs is a symbolic link"):
        mlporter.open(str(bundle))


def test_a_bundle_without_its_manifest_is_damaged(tmp_path):
    bundle = make_bundle(tmp_path / "bundle")
    (bundle / "manifest.yaml").unlink()
    with pytest.raises(BundleDamagedError, match=r"manifest\.yaml is missing"):
        mlporter.open(str(bundle))


# --- Places in one another ------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path):
    """A small bundle, which must still be one at the end."""
    path = make_bundle(tmp_path / "bundle")
    before = tree(path)
    yield path
    assert tree(path) == before


def test_nothing_is_written_into_a_bundle(bundle, mlflow_sqlite):
    inside = str(bundle / "root")
    with pytest.raises(UsageError, match="the artifact root is inside the bundle"):
        mlporter.import_(str(bundle), sqlite_url(mlflow_sqlite), artifact_root=inside)
    with pytest.raises(UsageError, match="the target is inside the bundle"):
        mlporter.import_(str(bundle), sqlite_url(bundle / "new.db"), artifact_root="/nowhere")
    for directory in (bundle, bundle / "out", bundle / "tables" / ".." / "out"):
        with pytest.raises(UsageError, match="the directory is inside the bundle"):
            mlporter.unpack(str(bundle), str(directory))


@pytest.mark.parametrize("verb", [mlporter.export, mlporter.backup])
def test_nothing_is_written_among_the_files_of_the_source(verb, rich_sqlite, mlflow_file_store):
    """MLflow would show it as files of a run, and in a file store as an experiment."""
    query = "SELECT artifact_location FROM experiments WHERE experiment_id = 1"
    with closing(sqlite3.connect(rich_sqlite.tracking_uri.removeprefix("sqlite:///"))) as database:
        ((folder,),) = database.execute(query)
    for source, place in (
        (rich_sqlite.tracking_uri, Path(unquote(urlsplit(folder).path), "inside")),
        (str(mlflow_file_store), mlflow_file_store / "backups"),
    ):
        with pytest.raises(UsageError, match="inside a folder of the source's files"):
            verb(source, str(place))
        assert not place.exists()


def test_a_database_is_not_copied_onto_itself(mlflow_sqlite, tmp_path):
    (tmp_path / "link.db").symlink_to(mlflow_sqlite)
    before = mlflow_sqlite.read_bytes()
    for target in (mlflow_sqlite, tmp_path / "link.db"):
        with pytest.raises(UsageError, match="source and target are the same"):
            mlporter.copy(sqlite_url(mlflow_sqlite), sqlite_url(target), artifacts="none")
    assert mlflow_sqlite.read_bytes() == before


@pytest.mark.parametrize(
    ("root", "why"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("s3://", "names no bucket"),
        ("s3:///mlflow", "names no bucket"),
        ("models:/x/1", "a location of files"),
        ("sqlite:///mlflow.db", "a location of files"),
    ],
)
def test_an_artifact_root_that_cannot_be_is_refused(root, why, bundle, mlflow_sqlite):
    """An empty one most of all: --artifact-root "$UNSET" would leave all files behind."""
    before = mlflow_sqlite.read_bytes()
    with pytest.raises(UsageError, match=why):
        mlporter.import_(str(bundle), sqlite_url(mlflow_sqlite), artifact_root=root)
    assert mlflow_sqlite.read_bytes() == before


def test_a_file_in_the_place_of_the_root_is_found_before_anything_is_written(
    bundle, mlflow_sqlite, tmp_path
):
    (tmp_path / "root").write_text("a file")
    steps = []
    with pytest.raises(UnreachableError, match="Not a directory"):
        mlporter.import_(
            str(bundle),
            sqlite_url(mlflow_sqlite),
            artifact_root=str(tmp_path / "root"),
            on_progress=lambda step, *_: steps.append(step),
        )
    assert not [step for step in steps if step.startswith("writing")]
    assert (tmp_path / "root").read_text() == "a file"


def test_files_that_are_there_stay_when_an_import_fails(bundle, mlflow_sqlite, tmp_path):
    """Some equal, one other: into the root of another registry, as it were."""
    root = tmp_path / "root"
    shutil.copy(mlflow_sqlite, tmp_path / "first.db")
    mlporter.import_(str(bundle), sqlite_url(tmp_path / "first.db"), artifact_root=str(root))
    files = sorted(path for path in root.rglob("*") if path.is_file())
    files[-1].write_bytes(b"somebody else's")
    files[0].unlink()
    before = tree(root)
    with pytest.raises(RefusedError, match="another file is already there"):
        import_(bundle, tmp_path, mlflow_sqlite)
    assert tree(root) == before
    assert RUN in str(files)
