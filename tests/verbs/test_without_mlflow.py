"""A machine without MLflow: what needs none works, and what needs it says so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from mlporter.errors import ExitCode
from mlporter.stores.needing_mlflow import NeedsMlflowError, needing_mlflow
from tests.support.mlflow_session import sqlite_url

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.rich_registry import RichRegistry

WITHOUT = """
import contextlib, io, json, sys
sys.modules["mlflow"] = None
from mlporter.cli.app import run
told = []
for argv in json.load(sys.stdin):
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in "oe")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(argv)
    told.append([code, *(stream.buffer.getvalue().decode() for stream in (out, err))])
assert not [name for name in sys.modules if name.startswith("mlflow.")]
json.dump(told, sys.stdout)
"""


@dataclass
class Told:
    """How a command line ended."""

    code: int
    out: str
    err: str


def without_mlflow(*lines: tuple[object, ...]) -> list[Told]:
    """Command lines, one after the other, in a process that cannot import MLflow."""
    argv = json.dumps([[str(word) for word in line] for line in lines])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        input=argv,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    return [Told(*told) for told in json.loads(done.stdout)]


def test_bundles_are_read_and_held_against_each_other(rich_bundle: Path, tmp_path: Path):
    told = without_mlflow(
        ("verify", rich_bundle, "--html", tmp_path / "verify.html"),
        ("inspect", rich_bundle, "--html", tmp_path / "inspect.html"),
        ("show", rich_bundle, "runs"),
        ("diff", rich_bundle, rich_bundle, "--html", tmp_path / "diff.html"),
        ("unpack", rich_bundle, tmp_path / "plain"),
        ("doctor", rich_bundle),
    )
    assert [one.code for one in told] == [0] * len(told), told
    assert any((tmp_path / "plain").rglob("*"))
    assert len(list(tmp_path.glob("*.html"))) == 3


def test_databases_are_read_and_written(
    rich_sqlite: RichRegistry, mlflow_sqlite: Path, tmp_path: Path
):
    source, empty, files = rich_sqlite.tracking_uri, sqlite_url(mlflow_sqlite), tmp_path / "files"
    bundle, allowed = tmp_path / "bundle", ("--allow-root", rich_sqlite.artifact_root)
    second = tmp_path / "second.db"
    shutil.copy(mlflow_sqlite, second)
    told = without_mlflow(
        ("inspect", source),
        ("show", source, "runs"),
        ("export", source, bundle, *allowed),
        ("verify", bundle, "--against", source, *allowed),
        ("import", bundle, empty, "--artifact-root", files),
        ("diff", bundle, empty),
        ("copy", source, sqlite_url(second), "--artifacts", "reference"),
        ("sync", source, sqlite_url(second), "--artifacts", "reference"),
    )
    inspected, shown, exported, verified, imported, same, copied, synced = told
    assert (inspected.code, shown.code, verified.code, same.code) == (0, 0, 0, 0), told
    # What is left out is left out with MLflow, too.
    for one in (exported, imported, copied, synced):
        assert one.code in {ExitCode.OK, ExitCode.INCOMPLETE}, one
        assert "MLflow, which is not installed" not in one.err


def test_file_stores_are_read_and_files_put_elsewhere(
    mlflow_file_store: Path, rich_sqlite: RichRegistry, mlflow_sqlite: Path, tmp_path: Path
):
    target, bundle = sqlite_url(mlflow_sqlite), tmp_path / "bundle"
    moved = f"{rich_sqlite.artifact_root}=/elsewhere"
    told = without_mlflow(
        ("inspect", mlflow_file_store),
        ("export", mlflow_file_store, bundle),
        ("verify", bundle),
        ("copy", mlflow_file_store, target, "--artifact-root", tmp_path / "files"),
        ("relocate", rich_sqlite.tracking_uri, "--map-uri", moved, "--dry-run"),
        ("rebuild", tmp_path / "files", target, "--dry-run"),
    )
    for one in told:
        assert one.code in {ExitCode.OK, ExitCode.INCOMPLETE, ExitCode.REFUSED}, one
        assert "which is not installed" not in one.err, one


def test_what_needs_it_says_so(rich_bundle: Path, rich_sqlite: RichRegistry, tmp_path: Path):
    server, source = "http://127.0.0.1:9", rich_sqlite.tracking_uri
    told = without_mlflow(
        ("inspect", server),
        ("export", server, tmp_path / "a"),
        ("export", source, tmp_path / "b", "--filter", "metrics.loss > 1"),
        ("import", rich_bundle, server),
        ("sync", rich_bundle, server),
        ("diff", rich_bundle, server),
        ("promote", "rich-model", "--from", rich_bundle, "--to", server),
        ("history", "rich-model", "--at", server),
        ("browse", rich_bundle),
        ("verify", rich_bundle, "--restore-test"),
        ("demo",),
    )
    for one in told:
        assert one.code == ExitCode.UNREACHABLE, one
        assert "needs MLflow, which is not installed" in one.err
        assert "pip install mlflow" in one.err


def test_a_server_cannot_be_looked_at(tmp_path: Path):
    (told,) = without_mlflow(("doctor", "http://127.0.0.1:9"))
    assert told.code == ExitCode.UNREACHABLE
    assert "needs MLflow, which is not installed" in told.out + told.err


def test_a_new_database_needs_it(rich_bundle: Path, tmp_path: Path):
    new = tmp_path / "new.db"
    (told,) = without_mlflow(
        ("import", rich_bundle, sqlite_url(new), "--artifact-root", tmp_path / "files")
    )
    assert told.code == ExitCode.REFUSED
    assert "pip install mlflow" in told.err
    assert not new.exists()


def test_files_that_only_mlflow_reaches_are_named(rich_sqlite: RichRegistry, tmp_path: Path):
    away = ("--map-uri", f"{rich_sqlite.artifact_root}=s3://bucket")
    (told,) = without_mlflow(
        ("export", rich_sqlite.tracking_uri, tmp_path / "bundle", *away, "--json")
    )
    assert told.code == ExitCode.INCOMPLETE
    lost = [e for e in json.loads(told.out)["left_out"]["first"] if e["reason"] == "unreachable"]
    assert lost


def test_a_release_that_lacks_something_is_told_of():
    with (
        pytest.raises(NeedsMlflowError, match=r"mlflow\.nothing_of_the_kind") as raised,
        needing_mlflow("a filter"),
    ):
        import mlflow.nothing_of_the_kind  # noqa: F401, PLC0415
    assert raised.value.hint
    assert "doctor" in raised.value.hint


def test_other_modules_are_nobodys_business_here():
    with pytest.raises(ModuleNotFoundError), needing_mlflow("a filter"):
        import nothing_of_the_kind  # noqa: F401, PLC0415


def test_verbs_that_write_into_databases(
    rich_sqlite_private: RichRegistry, mlflow_sqlite: Path, tmp_path: Path
):
    source, target, plan = (
        rich_sqlite_private.tracking_uri,
        sqlite_url(mlflow_sqlite),
        tmp_path / "plan",
    )
    manifest = tmp_path / "nightly.yaml"
    manifest.write_text(
        f"kind: sync\nsource: {source}\ntarget: {target}\nartifacts: reference\n",
        encoding="utf-8",
    )
    files = ("--as", "promoted", "--artifact-root", tmp_path / "files")
    planned, applied, ran, told, promoted = without_mlflow(
        ("sync", source, target, "--artifacts", "reference", "--plan-out", plan),
        ("apply", plan),
        ("run", manifest),
        ("history", "rich-model", "--at", source),
        ("promote", "models:/rich-model/latest", "--from", source, "--to", target, *files),
    )
    # Secrets stay where they are.
    assert {one.code for one in (planned, applied, ran)} == {ExitCode.INCOMPLETE}, applied
    assert (told.code, promoted.code) == (ExitCode.OK, ExitCode.OK), promoted
    assert "read back and equal" in promoted.out
