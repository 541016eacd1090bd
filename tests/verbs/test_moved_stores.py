"""Artifacts where they really are: beside a store that was moved, and files that no row has.

URIs of real stores (MLFLOW_FACTS) name a Windows drive, another person's home, a relative path or
a server that is not there; MLflow then lists no files, and says nothing.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import mlporter
from mlporter.cli.app import run
from mlporter.errors import UsageError
from tests.support.databases import execute, rows, tree
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.moved import RECORDED, move_files, record_elsewhere


@pytest.fixture(params=RECORDED, ids=list(RECORDED))
def recorded(request):
    return RECORDED[request.param]


@pytest.fixture
def plain_sqlite(plain_sqlite, tmp_path):
    """With a place of its own for experiment 0, whose other one all tests of a process share."""
    own = f"artifact_location = '{tmp_path}/default' WHERE experiment_id = 0"
    execute(plain_sqlite.tracking_uri, f"UPDATE experiments SET {own}")
    return plain_sqlite


@pytest.fixture
def whole(plain_bundle):
    """What an export of the store gives before it is moved. Do not touch."""
    return plain_bundle


def files_of(bundle):
    with mlporter.open(str(bundle)) as registry:
        return registry.to_pandas("artifacts").to_dict("records")


def orphaned(folder, files=("model/MLmodel", "notes.txt")):
    for name in files:
        (folder / "artifacts" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "artifacts" / name).write_text(f"orphan {name}")
    return folder


# --- Where files are looked for -------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder", ["", "mlruns", "mlartifacts", "mlartifacts/workspaces/default", "workspaces/default"]
)
def test_files_are_found_beside_a_moved_store(folder, plain_sqlite, whole, tmp_path):
    move_files(plain_sqlite, folder)
    record_elsewhere(plain_sqlite, RECORDED["windows"])
    result = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert result.exit_code == 0
    assert files_of(tmp_path / "bundle") == files_of(whole)
    [note] = result.notes
    assert "not where they were recorded; they were found next to the store" in note
    assert "--map-uri" in note


def test_whatever_was_recorded(recorded, plain_sqlite, whole, tmp_path):
    move_files(plain_sqlite, "mlruns")
    record_elsewhere(plain_sqlite, recorded)
    before = tree(plain_sqlite.database_path.parent)
    result = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert (result.exit_code, len(result.notes)) == (0, 1)
    assert files_of(tmp_path / "bundle") == files_of(whole)
    assert tree(plain_sqlite.database_path.parent) == before


def test_a_moved_store_can_be_copied_and_its_models_load(plain_sqlite, tmp_path):
    import mlflow  # noqa: PLC0415 -- seconds

    move_files(plain_sqlite, "mlruns")
    record_elsewhere(plain_sqlite, RECORDED["windows"])
    target = sqlite_url(tmp_path / "new.db")
    result = mlporter.copy(plain_sqlite.tracking_uri, target, artifact_root=str(tmp_path / "root"))
    assert result.exit_code == 0
    with mlflow_at(target):
        loaded = mlflow.pyfunc.load_model(f"models:/{plain_sqlite.model_name}@champion")
        assert list(loaded.predict([1.0])) == [2.0]
        paths = mlflow.MlflowClient().list_artifacts(plain_sqlite.run_ids[0])
        assert [file.path for file in paths] == ["nested", "report.txt"]
    assert mlporter.diff(plain_sqlite.tracking_uri, target).identical


def test_what_is_where_it_was_recorded_is_taken_from_there(plain_sqlite, whole, tmp_path):
    beside = plain_sqlite.database_path.parent / "mlruns" / plain_sqlite.experiment_id
    shutil.copytree(f"{plain_sqlite.artifact_root}/plain", beside)
    for path in (path for path in beside.rglob("*") if path.is_file()):
        path.write_text("stale")
    result = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert (result.exit_code, result.notes) == (0, ())
    assert files_of(tmp_path / "bundle") == files_of(whole)


def test_a_recorded_place_that_is_empty_is_the_runs_own(plain_sqlite, tmp_path):
    run_id = plain_sqlite.run_ids[0]
    recorded = Path(plain_sqlite.artifact_root, "plain", run_id, "artifacts")
    beside = plain_sqlite.database_path.parent / "mlruns/1" / run_id / "artifacts"
    shutil.copytree(recorded, beside)
    shutil.rmtree(recorded)
    recorded.mkdir()
    mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert run_id not in {file["owner_id"] for file in files_of(tmp_path / "bundle")}


def test_map_uri_says_otherwise(plain_sqlite, tmp_path):
    moved = move_files(plain_sqlite, "mlruns")
    record_elsewhere(plain_sqlite, RECORDED["windows"])
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(moved.parent, elsewhere)
    report = elsewhere / plain_sqlite.experiment_id / plain_sqlite.run_ids[0]
    (report / "artifacts/report.txt").write_text("another one")
    bundle = tmp_path / "bundle"
    uri_map = [f"{RECORDED['windows']}={elsewhere}"]
    result = mlporter.export(plain_sqlite.tracking_uri, str(bundle), uri_map=uri_map)
    assert (result.exit_code, result.notes) == (0, ())
    mlporter.unpack(str(bundle), str(tmp_path / "out"), run=plain_sqlite.run_ids[0])
    found = tmp_path / "out/runs" / plain_sqlite.run_ids[0] / "report.txt"
    assert found.read_text() == "another one"


def test_an_experiment_of_the_same_number_in_another_store_is_not_taken(plain_sqlite, tmp_path):
    """Every store has an experiment 0; without a run of ours in it nobody knows about the files."""
    record_elsewhere(plain_sqlite, RECORDED["windows"])
    other = plain_sqlite.database_path.parent / "mlruns" / plain_sqlite.experiment_id
    orphaned(other / ("e" * 32))
    result = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert result.exit_code == 3
    assert {item.reason for item in result.left_out.first if not item.expected} == {"unreachable"}
    assert (result.files.files, result.notes) == (0, ())


def test_a_run_without_files_is_no_loss_where_its_experiment_is_found(plain_sqlite, tmp_path):
    """Git drops empty folders."""
    moved = move_files(plain_sqlite, "mlruns")
    record_elsewhere(plain_sqlite, RECORDED["windows"])
    shutil.rmtree(moved / plain_sqlite.run_ids[0])
    result = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert result.exit_code == 0


def test_a_link_out_of_the_store_is_not_followed(plain_sqlite, tmp_path):
    moved = move_files(plain_sqlite, "mlruns")
    record_elsewhere(plain_sqlite, RECORDED["windows"])
    outside = tmp_path / "outside"
    shutil.move(moved.parent, outside)
    moved.parent.symlink_to(outside)
    result = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert (result.exit_code, result.files.files) == (3, 0)


def test_a_versions_own_files_are_found_by_the_end_of_its_source(plain_sqlite, tmp_path):
    """Its source spells the run's place in another way than the run does, or it has a folder."""
    move_files(plain_sqlite, "mlruns")
    url, model = plain_sqlite.tracking_uri, plain_sqlite.model_name
    record_elsewhere(plain_sqlite, RECORDED["windows"])
    run_id = plain_sqlite.run_ids[0]
    own = plain_sqlite.database_path.parent / "mlruns/models" / model / "1"
    own.mkdir(parents=True)
    (own / "MLmodel").write_text("mine")
    sources = {1: f"C:\\old\\mlruns\\models\\{model}\\1", 2: f"D:/x/mlruns/1/{run_id}/artifacts"}
    for version, source in sources.items():
        execute(
            url,
            f"UPDATE model_versions SET source = '{source}', storage_location = '{source}'"
            f" WHERE version = {version}",
        )
    result = mlporter.export(url, str(tmp_path / "bundle"))
    assert result.exit_code == 0
    found = {
        (file["owner_id"], file["path"])
        for file in files_of(tmp_path / "bundle")
        if file["owner_kind"] == "model_version"
    }
    report = plain_sqlite.database_path.parent / "mlruns/1" / run_id / "artifacts"
    run_files = {path.relative_to(report).as_posix() for path in report.rglob("*.txt")}
    assert found == {
        (f"default/{model}/1", "MLmodel"),
        *((f"default/{model}/2", path) for path in run_files),
    }


# --- Files that no row points to ------------------------------------------------------------------


@pytest.fixture
def with_orphans(plain_sqlite):
    """Files of a run whose row is gone, where they were recorded."""
    orphaned(Path(plain_sqlite.artifact_root, "plain", "a" * 32))
    return plain_sqlite


@pytest.fixture
def moved_with_orphans(plain_sqlite):
    """The same beside a moved store, and of a model and of an experiment that is gone."""
    moved = move_files(plain_sqlite, "mlruns")
    record_elsewhere(plain_sqlite, RECORDED["windows"])
    orphaned(moved / ("a" * 32))
    orphaned(moved / "models" / "m-gone", ["MLmodel"])
    orphaned(moved.parent / "77" / ("b" * 32), ["x"])
    described = orphaned(moved.parent / "78" / ("c" * 32), ["x"])
    (described / "meta.yaml").write_text("a run of a file store")
    return plain_sqlite


def test_inspect_counts_and_lists_orphans(moved_with_orphans, capsys):
    url = moved_with_orphans.tracking_uri
    found = mlporter.inspect(url).orphans
    names = [(folder.folder, folder.files) for folder in found.first]
    assert names == [
        (f"mlruns/1/{'a' * 32}/artifacts", 2),
        ("mlruns/1/models/m-gone/artifacts", 1),
        (f"mlruns/77/{'b' * 32}/artifacts", 1),
    ]
    assert (found.files, found.folders, found.bytes) == (4, 3, 58)
    assert run(["inspect", url]) == 0
    shown = capsys.readouterr().out
    assert "Files that no row points to (4)" in shown
    assert f"mlruns/77/{'b' * 32}/artifacts" in shown
    assert run(["inspect", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["orphans"]["files"] == 4


def test_an_export_without_them_says_that_they_are_there(with_orphans, tmp_path):
    result = mlporter.export(with_orphans.tracking_uri, str(tmp_path / "bundle"))
    assert result.exit_code == 0
    [note] = result.notes
    assert note.startswith("1 folder holds files that no row points to")
    assert "--orphans" in note
    assert "orphan" not in {file["owner_kind"] for file in files_of(tmp_path / "bundle")}


def test_orphans_are_carried_into_the_bundle_and_out_again(with_orphans, tmp_path):
    bundle, target, root = tmp_path / "bundle", sqlite_url(tmp_path / "new.db"), tmp_path / "root"
    assert run(["export", with_orphans.tracking_uri, str(bundle), "--orphans", "-q"]) == 0
    assert mlporter.verify(str(bundle), against=with_orphans.tracking_uri).exit_code == 0
    held = [
        (file["owner_id"], file["path"])
        for file in files_of(bundle)
        if file["owner_kind"] == "orphan"
    ]
    owner = f"1/{'a' * 32}/artifacts"
    assert held == [(owner, "model/MLmodel"), (owner, "notes.txt")]
    assert mlporter.import_(str(bundle), target, artifact_root=str(root)).exit_code == 0
    carried = root / "orphans" / owner
    assert tree(carried) == tree(Path(with_orphans.artifact_root, "plain", "a" * 32, "artifacts"))
    assert mlporter.diff(str(bundle), target).identical
    assert mlporter.unpack(str(bundle), str(tmp_path / "out")).exit_code == 0
    assert tree(tmp_path / "out/orphans" / owner) == tree(carried)


def test_copy_carries_orphans_below_the_artifact_root(moved_with_orphans, tmp_path):
    root, url = tmp_path / "root", moved_with_orphans.tracking_uri
    target = sqlite_url(tmp_path / "new.db")
    assert run(["copy", url, target, "--artifact-root", str(root), "--orphans", "-q"]) == 0
    assert (root / "orphans/mlruns/77" / ("b" * 32) / "artifacts/x").read_text() == "orphan x"
    assert not (root / "orphans/mlruns/78").exists()
    ((count,),) = rows(target, "SELECT count(*) FROM runs")
    assert count == len(moved_with_orphans.run_ids) + 1


def test_orphans_of_a_bundle_never_leave_the_artifact_root(tmp_path):
    """The folder's name comes from a bundle, which nobody vouches for."""
    from mlporter.artifacts.uris.layout import orphan_root  # noqa: PLC0415 -- for this one

    for hostile in ("../../etc", "/etc/x", "a//b", "", "..", "C:\\x"):
        place = orphan_root(str(tmp_path / "root"), hostile)
        assert os.path.realpath(place).startswith(f"{tmp_path / 'root'}/orphans/")


@pytest.mark.parametrize("words", [["--artifacts", "none"], ["--model", "plain-model"]])
def test_orphans_with_options_that_exclude_them(words, with_orphans, tmp_path, capsys):
    assert run(["export", with_orphans.tracking_uri, str(tmp_path / "b"), "--orphans", *words]) == 2
    assert "--orphans" in capsys.readouterr().err


def test_orphans_are_files(with_orphans, tmp_path):
    with pytest.raises(UsageError, match="copies none"):
        mlporter.export(
            with_orphans.tracking_uri, str(tmp_path / "b"), orphans=True, artifacts="reference"
        )


# --- Names that any file system takes -------------------------------------------------------------


def test_unpack_writes_names_that_any_file_system_takes(plain_sqlite, tmp_path):
    run_id = plain_sqlite.run_ids[0]
    folder = Path(plain_sqlite.artifact_root, "plain", run_id, "artifacts")
    odd = ["so: b.txt", "aux", "end.", "Case", "case", "what?", "cafe\u0301", "caf\u00e9"]
    for name in odd:
        (folder / name).write_text(f"this is {name}")
    bundle, out = tmp_path / "bundle", tmp_path / "out"
    mlporter.export(plain_sqlite.tracking_uri, str(bundle))
    result = mlporter.unpack(str(bundle), str(out), run=run_id)
    assert result.notes == (
        "6 names were changed to what any file system takes; names.jsonl says which.",
    )
    lines = (out / "names.jsonl").read_text().splitlines()
    changes = {change["written"]: change["name"] for change in map(json.loads, lines)}
    for written, name in changes.items():
        assert (out / written).read_text() == f"this is {name}"
    assert set(changes.values()) == {"so: b.txt", "aux", "end.", "case", "what?", "caf\u00e9"}
    # Once more changes nothing.
    before = tree(out)
    mlporter.unpack(str(bundle), str(out), run=run_id)
    assert tree(out) == before


def test_orphans_are_found_beside_a_database_that_is_new(plain_sqlite, mlflow_sqlite, tmp_path):
    folder = tmp_path / "lost"
    folder.mkdir()
    shutil.copy(mlflow_sqlite, folder / "mlflow.db")
    orphaned(folder / "mlruns" / "1" / ("ab" * 16))
    orphaned(folder / "mlruns" / "1" / "models" / "m-0123456789abcdef0123456789abcdef")
    url = sqlite_url(folder / "mlflow.db")
    # All tests of a process share the folder that experiment 0 has otherwise.
    execute(url, f"UPDATE experiments SET artifact_location = '{folder}/mlruns/0'")
    assert mlporter.inspect(url).orphans.folders == 2
    result = mlporter.export(url, str(tmp_path / "bundle"), orphans=True)
    assert (result.exit_code, result.files.files) == (0, 4)
