"""Artifact files: every one arrives, or is listed by name; none is taken from where it may not be.

Issues of mlflow-export-import (PEERS.md): artifacts left behind (#177), skipping them (PR #198),
S3 (#73 #71 #173), `mlflow-artifacts:` rejected (#53), Windows paths (#162); and of MLflow itself
relocation of artifacts (mlflow/mlflow #8226 #12108 #21250).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import mlporter
from mlporter.errors import ExitCode
from tests.support import rich_runs
from tests.support.contents import contents
from tests.support.databases import execute, rows, tree
from tests.support.mlflow_session import mlflow_at, sqlite_url


def run_folder(registry, run):
    ((uri,),) = rows(
        registry.tracking_uri, f"SELECT artifact_uri FROM runs WHERE run_uuid = '{run}'"
    )
    return Path(uri.removeprefix("file://"))


def unexpected(result):
    return {(item.kind, item.path, item.reason) for item in result.left_out.first
            if not item.expected}  # fmt: skip


def predictions(url, model):
    import mlflow  # noqa: PLC0415 -- seconds

    with mlflow_at(url):
        return list(mlflow.pyfunc.load_model(f"models:/{model}@champion").predict([1.0]))


# --- copy, reference, none ------------------------------------------------------------------------


def test_files_stay_where_they_are_with_reference(plain_sqlite, mlflow_sqlite, tmp_path):
    """Two databases over the same files."""
    bundle, target = tmp_path / "bundle", sqlite_url(mlflow_sqlite)
    result = mlporter.export(plain_sqlite.tracking_uri, str(bundle), artifacts="reference")
    assert (result.exit_code, result.files.mode, result.files.files) == (0, "reference", 0)
    assert contents(bundle) == {}
    assert mlporter.import_(str(bundle), target).exit_code == 0
    same = "SELECT artifact_uri FROM runs ORDER BY run_uuid"
    assert rows(target, same) == rows(plain_sqlite.tracking_uri, same)
    assert predictions(target, plain_sqlite.model_name) == [2.0]
    assert mlporter.diff(plain_sqlite.tracking_uri, target, strict=True).identical


def test_no_file_is_carried_with_none_and_all_rows_are(plain_sqlite, mlflow_sqlite, tmp_path):
    bundle, target = tmp_path / "bundle", sqlite_url(mlflow_sqlite)
    assert mlporter.export(plain_sqlite.tracking_uri, str(bundle), artifacts="none").exit_code == 0
    assert contents(bundle) == {}
    root = tmp_path / "root"
    assert mlporter.import_(str(bundle), target, artifact_root=str(root)).exit_code == 0
    # Somebody else brings the files there, to where the rows now say.
    assert tree(root) == {}
    for (uri,) in rows(target, "SELECT artifact_uri FROM runs"):
        assert uri.startswith(f"{root}/1/")
    assert mlporter.diff(str(bundle), target, artifacts="none").identical


@pytest.mark.parametrize("artifacts", ["reference", "none"])
def test_copy_can_do_without_files_too(plain_sqlite, mlflow_sqlite, artifacts):
    target = sqlite_url(mlflow_sqlite)
    result = mlporter.copy(plain_sqlite.tracking_uri, target, artifacts=artifacts)
    assert (result.exit_code, result.files.files) == (0, 0)
    assert predictions(target, plain_sqlite.model_name) == [2.0]


def test_a_bundle_with_files_can_be_imported_without(rich_bundle, mlflow_sqlite, tmp_path):
    target = sqlite_url(mlflow_sqlite)
    result = mlporter.import_(str(rich_bundle), target, artifacts="none")
    assert (result.exit_code, result.files.files) == (0, 0)
    assert mlporter.diff(str(rich_bundle), target, artifacts="none").identical


# --- Files that are elsewhere ---------------------------------------------------------------------


def test_files_that_are_not_here_are_each_named_and_stop_nothing(plain_sqlite, tmp_path):
    Path(plain_sqlite.artifact_root).rename(tmp_path / "moved")
    result = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert result.exit_code == ExitCode.INCOMPLETE
    named = {item.id for item in result.left_out.first if not item.expected}
    assert set(plain_sqlite.run_ids) <= named
    assert all("--map-uri" in item.detail for item in result.left_out.first if item.kind == "run")
    in_bundle = pq.read_table(tmp_path / "bundle" / "tables" / "left_out").to_pylist()
    assert named <= {row["id"] for row in in_bundle}
    assert {t.table: t.copied for t in result.tables}["runs"] == 4


def test_a_map_finds_files_whose_uri_is_not_reachable_from_here(plain_sqlite, tmp_path):
    old, new = plain_sqlite.artifact_root, tmp_path / "moved é"
    complete = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "before"))
    Path(old).rename(new)
    result = mlporter.export(
        plain_sqlite.tracking_uri, str(tmp_path / "after"), uri_map=[f"{old}={new}"]
    )
    assert (result.exit_code, result.files) == (0, complete.files)
    assert mlporter.diff(str(tmp_path / "before"), str(tmp_path / "after")).identical
    check = mlporter.verify(
        str(tmp_path / "after"), against=plain_sqlite.tracking_uri, uri_map=[f"{old}={new}"]
    )
    assert check.exit_code == 0


@pytest.mark.parametrize(
    "uri",
    [
        "mlflow-artifacts:/1",
        "file:///C:/Users/zoë/mlruns/1",
        r"C:\Users\zoë\mlruns\1",
        "dbfs:/mlruns/1",
        "relative/1",
    ],
)
def test_every_kind_of_recorded_uri_can_be_mapped(plain_sqlite, tmp_path, uri):
    """As stores look that were committed, mounted or copied from somebody else's machine."""
    here = Path(plain_sqlite.artifact_root) / "plain"
    slash = "\\" if "\\" in uri else "/"
    run = plain_sqlite.run_ids[0]
    execute(
        plain_sqlite.tracking_uri,
        f"UPDATE experiments SET artifact_location = '{uri}' WHERE experiment_id = 1",
        f"UPDATE runs SET artifact_uri = '{slash.join([uri, run, 'artifacts'])}'"
        f" WHERE run_uuid = '{run}'",
    )
    result = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "without"))
    assert result.exit_code == ExitCode.INCOMPLETE
    result = mlporter.export(
        plain_sqlite.tracking_uri, str(tmp_path / "with"), uri_map=[f"{uri}={here}"]
    )
    assert result.exit_code == 0
    owned = pq.read_table(tmp_path / "with" / "tables" / "artifacts").to_pylist()
    assert {row["path"] for row in owned if row["owner_id"] == run} == {
        "report.txt",
        "nested/same.txt",
    }


def test_a_map_says_where_the_target_is_reached_from_here(plain_sqlite, mlflow_sqlite, tmp_path):
    """The server will say ``s3://``; here the same bucket is mounted."""
    bundle, target, mounted = tmp_path / "bundle", sqlite_url(mlflow_sqlite), tmp_path / "mounted"
    mlporter.export(plain_sqlite.tracking_uri, str(bundle))
    result = mlporter.import_(
        str(bundle), target, artifact_root="s3://bucket/ml", uri_map=[f"s3://bucket/ml={mounted}"]
    )
    assert result.files.files == 21
    assert all(uri.startswith("s3://bucket/ml/1/") for (uri,) in rows(
        target, "SELECT artifact_uri FROM runs"))  # fmt: skip
    assert (mounted / "1" / plain_sqlite.run_ids[0] / "artifacts" / "report.txt").exists()
    assert mlporter.diff(str(bundle), target, uri_map=[f"s3://bucket/ml={mounted}"]).identical


# --- Missing, unreadable, dangerous ---------------------------------------------------------------


def test_a_model_without_its_files_is_named_and_stops_nothing(plain_sqlite, tmp_path):
    models = Path(plain_sqlite.artifact_root) / "plain" / "models"
    gone = min(models.iterdir())
    shutil.rmtree(gone)
    result = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert result.exit_code == ExitCode.INCOMPLETE
    (item,) = [item for item in result.left_out.first if not item.expected]
    assert (item.kind, item.id, item.reason) == ("logged_model", gone.name, "missing")
    assert result.files.files == 21 - 5


@pytest.fixture
def awkward(plain_sqlite, tmp_path):
    """A run's folder with one good file, and much that is none."""
    folder = run_folder(plain_sqlite, plain_sqlite.run_ids[0])
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.txt").write_text("the secret")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "out").symlink_to(secret / "key.txt")
    (folder / "out folder").symlink_to(secret, target_is_directory=True)
    (folder / "round").symlink_to(folder, target_is_directory=True)
    (folder / "inside").symlink_to("report.txt")
    os.mkfifo(folder / "fifo")
    return plain_sqlite


def test_what_cannot_be_read_is_named_and_the_rest_is_carried(awkward, tmp_path):
    result = mlporter.export(awkward.tracking_uri, str(tmp_path / "bundle"))
    assert result.exit_code == ExitCode.INCOMPLETE
    assert {path for _, path, _ in unexpected(result)} == {
        "dangling", "out", "out folder", "round", "fifo",
    }  # fmt: skip
    owned = pq.read_table(tmp_path / "bundle" / "tables" / "artifacts").to_pylist()
    of_run = {row["path"] for row in owned if row["owner_id"] == awkward.run_ids[0]}
    assert of_run == {"report.txt", "nested/same.txt", "inside"}


def test_a_link_out_of_the_artifact_root_is_never_followed(awkward, mlflow_sqlite, tmp_path):
    mlporter.export(awkward.tracking_uri, str(tmp_path / "bundle"))
    mlporter.copy(
        awkward.tracking_uri, sqlite_url(mlflow_sqlite), artifact_root=str(tmp_path / "root")
    )
    written = [*(tmp_path / "bundle").rglob("*"), *(tmp_path / "root").rglob("*")]
    assert not any(b"the secret" in path.read_bytes() for path in written if path.is_file())
    assert not any(path.is_symlink() for path in written)


def test_a_file_that_vanishes_while_others_are_copied_is_named(plain_sqlite, tmp_path):
    folder = run_folder(plain_sqlite, plain_sqlite.run_ids[0])
    for number in range(200):
        (folder / f"{number:03}").write_text(f"number {number}")
    (folder / "!first").write_bytes(bytes(300_000))  # large enough to lie alone

    def vanish(step, done, total, unit="rows"):
        copied = (tmp_path / "bundle" / "blobs").rglob("*")  # it has no name yet
        if any(path.is_file() and path.stat().st_size == 300_000 for path in copied):
            (folder / "199").unlink(missing_ok=True)

    result = mlporter.export(
        plain_sqlite.tracking_uri, str(tmp_path / "bundle"), on_progress=vanish, workers=1
    )
    assert result.exit_code == ExitCode.INCOMPLETE
    assert unexpected(result) == {("artifact", "199", "unreadable")}
    assert mlporter.verify(str(tmp_path / "bundle")).exit_code == 0


# --- Names and contents ---------------------------------------------------------------------------

NAMES = (
    "with space.txt", "question?.txt", "hash#tag.txt", "per%20cent.txt", "plus+and&.txt", ".hidden",
    "emoji 🦆.txt", "e\u0301 combining", "\u00e9 composed", "control\x01\x1f.txt", "new\nline",
    "tab\t", "back\\slash", "quote\"'`", "-dash", "~", "$HOME", "*", "CON", "trailing.",
    "trailing ", "x" * 200, "deep/" * 30 + "leaf", "ab:c", "models:/m-1", "=41", "%41",
)  # fmt: skip


@pytest.mark.parametrize("root", ["plain", "sp ace é"])
def test_no_name_is_changed_or_lost(plain_sqlite, mlflow_sqlite, tmp_path, root):
    folder = run_folder(plain_sqlite, plain_sqlite.run_ids[0])
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(str(number))
    bundle, target = str(tmp_path / "bundle"), sqlite_url(mlflow_sqlite)
    assert mlporter.export(plain_sqlite.tracking_uri, bundle).exit_code == 0
    mlporter.import_(bundle, target, artifact_root=str(tmp_path / root))
    assert mlporter.verify(bundle, against=target).exit_code == 0
    assert tree(tmp_path / root / "1" / plain_sqlite.run_ids[0] / "artifacts") == tree(folder)
    run = plain_sqlite.run_ids[0]
    mlporter.unpack(bundle, str(tmp_path / "out"), run=run)
    assert unpacked(tmp_path / "out", run) == files_below(folder)


def unpacked(out, run):
    """Files of a run, by the names that they had before any was changed for other file systems."""
    lines = (out / "names.jsonl").read_text().splitlines()
    names = {change["written"]: change["name"] for change in map(json.loads, lines)}
    found = files_below(out / "runs" / run)
    return {original(f"runs/{run}/{name}", names) or name: sum_ for name, sum_ in found.items()}


def original(written, names):
    """What a file was called, if its own name or that of a folder was changed."""
    for folder in (written, *map(str, Path(written).parents)):
        if folder in names:
            return names[folder] + written.removeprefix(folder)
    return None


def files_below(folder):
    return {name: content for name, content in tree(folder).items() if not name.endswith("/")}


def test_a_name_that_is_no_text_is_named_and_stops_nothing(plain_sqlite, tmp_path):
    folder = run_folder(plain_sqlite, plain_sqlite.run_ids[0])
    Path(os.fsdecode(os.fsencode(folder) + b"/latin-1 \xe9")).write_text("x")
    result = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert result.exit_code == ExitCode.INCOMPLETE
    assert unexpected(result) == {("artifact", "latin-1 \\udce9", "unsafe-path")}


def test_a_name_that_windows_would_take_for_another_place_is_named(plain_sqlite, tmp_path):
    folder = run_folder(plain_sqlite, plain_sqlite.run_ids[0])
    (folder / "c:evil").write_text("x")
    (folder / "..\\evil").write_text("x")
    result = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert result.exit_code == ExitCode.INCOMPLETE
    assert unexpected(result) == {
        ("artifact", "c:evil", "unsafe-path"),
        ("artifact", "..\\evil", "unsafe-path"),
    }


def test_the_same_content_is_stored_once(plain_sqlite, tmp_path):
    result = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    sums = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(plain_sqlite.artifact_root).rglob("*")
        if path.is_file()
    }
    assert set(contents(tmp_path / "bundle")) == sums
    assert result.files.stored_files == len(sums) < result.files.files


def test_large_files_arrive_whole(plain_sqlite, mlflow_sqlite, tmp_path):
    folder = run_folder(plain_sqlite, plain_sqlite.run_ids[0])
    content = os.urandom(1 << 20) * 9 + b"odd"
    (folder / "large.bin").write_bytes(content)
    bundle, target = str(tmp_path / "bundle"), sqlite_url(mlflow_sqlite)
    mlporter.export(plain_sqlite.tracking_uri, bundle)
    mlporter.import_(bundle, target, artifact_root=str(tmp_path / "root"))
    there = tmp_path / "root" / "1" / plain_sqlite.run_ids[0] / "artifacts" / "large.bin"
    assert there.read_bytes() == content


def test_files_that_are_already_there_and_equal_are_left_as_they_are(
    plain_sqlite, mlflow_sqlite, tmp_path
):
    """As after an import whose database was lost: the files need not be written again."""
    bundle, root = str(tmp_path / "bundle"), tmp_path / "root"
    mlporter.export(plain_sqlite.tracking_uri, bundle)
    lost = tmp_path / "lost.db"
    shutil.copy(mlflow_sqlite, lost)
    mlporter.import_(bundle, sqlite_url(lost), artifact_root=str(root))
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    result = mlporter.import_(bundle, sqlite_url(mlflow_sqlite), artifact_root=str(root))
    assert result.files.already_there == result.files.files == 21
    assert {path: path.stat().st_mtime_ns for path in times} == times


# --- S3 as the source -----------------------------------------------------------------------------


def test_runs_logged_straight_to_s3_lose_nothing(s3, mlflow_sqlite, tmp_path):
    """By MLflow's own client, awkward names and all."""
    from mlflow import MlflowClient  # noqa: PLC0415 -- seconds

    url, bucket = sqlite_url(mlflow_sqlite), s3.new_bucket()
    for name, content in rich_runs.ARTIFACTS.items():
        (tmp_path / "logged" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "logged" / name).write_bytes(content)
    with mlflow_at(url):
        client = MlflowClient()
        experiment = client.create_experiment("in s3", artifact_location=f"{bucket}/some where")
        run = client.create_run(experiment).info.run_id
        client.log_artifacts(run, str(tmp_path / "logged"))
    bundle = str(tmp_path / "bundle")
    result = mlporter.export(url, bundle)
    assert (result.exit_code, result.files.files) == (0, len(rich_runs.ARTIFACTS))
    mlporter.unpack(bundle, str(tmp_path / "out"), run=run)
    assert unpacked(tmp_path / "out", run) == files_below(tmp_path / "logged")
    assert mlporter.verify(bundle, against=url).exit_code == 0


def test_an_s3_that_does_not_answer_is_named_and_stops_nothing(
    s3, plain_sqlite, tmp_path, monkeypatch
):
    run = plain_sqlite.run_ids[0]
    execute(
        plain_sqlite.tracking_uri,
        f"UPDATE runs SET artifact_uri = 's3://nowhere/x' WHERE run_uuid = '{run}'",
    )
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    result = mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert result.exit_code == ExitCode.INCOMPLETE
    (item,) = [item for item in result.left_out.first if not item.expected]
    assert (item.kind, item.id, item.reason) == ("run", run, "unreachable")
    assert result.files.files == 21 - 2
