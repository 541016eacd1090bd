"""A machine without MLflow: what needs none works, and what needs it says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from mlporter.errors import ExitCode
from mlporter.stores.needing_mlflow import NeedsMlflowError, needing_mlflow
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.plain_registry import PlainRegistry
    from tests.support.rich_registry import RichRegistry

Line = tuple[object, ...]
"""The words of a command line."""

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


def without_mlflow(*lines: Line) -> list[Told]:
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they write."""
    return tmp_path_factory.mktemp("without")


@pytest.fixture(scope="module")
def told(  # noqa: PLR0917 -- fixtures
    folder: Path,
    rich_bundle: Path,
    rich_sqlite_template: RichRegistry,
    plain_sqlite_template: PlainRegistry,
    mlflow_sqlite_template: Path,
    mlflow_file_store: Path,
) -> dict[str, list[Told]]:
    """What came of all of them, which one process does: it takes a while to start."""
    from tests.support.rich_registry import copy_with_artifacts  # noqa: PLC0415 -- and MLflow

    for name in ("imported", "copied", "of files", "synced"):
        copy_sqlite(mlflow_sqlite_template, folder / f"{name}.db")
    lines = {
        "bundles": bundles(folder, rich_bundle),
        "databases": databases(folder, rich_sqlite_template),
        "files": files(folder, mlflow_file_store, rich_sqlite_template),
        "needing it": needing_it(folder, rich_bundle, rich_sqlite_template),
        "server": [("doctor", "http://127.0.0.1:9")],
        "new": [
            ("import", rich_bundle, at(folder, "new"), "--artifact-root", folder / "new files")
        ],
        "away": [away(folder, rich_sqlite_template)],
        # A promotion keeps its receipt with the files, to which the target refers here.
        "writing": writing(folder, copy_with_artifacts(plain_sqlite_template, folder / "source")),
    }
    found = iter(without_mlflow(*(line for each in lines.values() for line in each)))
    return {name: [next(found) for _ in each] for name, each in lines.items()}


def at(folder: Path, name: str) -> str:
    """A database in the folder."""
    return sqlite_url(folder / f"{name}.db")


def bundles(folder: Path, bundle: Path) -> list[Line]:
    """Bundles are read and held against each other."""
    return [
        ("verify", bundle, "--html", folder / "verify.html"),
        ("inspect", bundle, "--html", folder / "inspect.html"),
        ("show", bundle, "runs"),
        ("diff", bundle, bundle, "--html", folder / "diff.html"),
        ("unpack", bundle, folder / "plain"),
        ("doctor", bundle),
    ]


def test_bundles_are_read_and_held_against_each_other(told: dict[str, list[Told]], folder: Path):
    assert [one.code for one in told["bundles"]] == [0] * 6, told["bundles"]
    assert any((folder / "plain").rglob("*"))
    assert len(list(folder.glob("*.html"))) == 3


def databases(folder: Path, rich: RichRegistry) -> list[Line]:
    """Databases are read and written."""
    source, bundle = rich.tracking_uri, folder / "bundle"
    allowed = ("--allow-root", rich.artifact_root)
    return [
        ("inspect", source),
        ("show", source, "runs"),
        ("export", source, bundle, *allowed),
        ("verify", bundle, "--against", source, *allowed),
        ("import", bundle, at(folder, "imported"), "--artifact-root", folder / "files"),
        ("diff", bundle, at(folder, "imported")),
        ("copy", source, at(folder, "copied"), "--artifacts", "reference"),
        ("sync", source, at(folder, "copied"), "--artifacts", "reference"),
    ]


def test_databases_are_read_and_written(told: dict[str, list[Told]]):
    inspected, shown, exported, verified, imported, same, copied, synced = told["databases"]
    assert (inspected.code, shown.code, verified.code, same.code) == (0, 0, 0, 0), told
    # What is left out is left out with MLflow, too.
    for one in (exported, imported, copied, synced):
        assert one.code in {ExitCode.OK, ExitCode.INCOMPLETE}, one
        assert "MLflow, which is not installed" not in one.err


def files(folder: Path, store: Path, rich: RichRegistry) -> list[Line]:
    """File stores are read, and files put elsewhere."""
    target, bundle = at(folder, "of files"), folder / "bundle of files"
    moved = f"{rich.artifact_root}=/elsewhere"
    return [
        ("inspect", store),
        ("export", store, bundle),
        ("verify", bundle),
        ("copy", store, target, "--artifact-root", folder / "theirs"),
        ("relocate", rich.tracking_uri, "--map-uri", moved, "--dry-run"),
        ("rebuild", folder / "theirs", target, "--dry-run"),
    ]


def test_file_stores_are_read_and_files_put_elsewhere(told: dict[str, list[Told]]):
    for one in told["files"]:
        assert one.code in {ExitCode.OK, ExitCode.INCOMPLETE, ExitCode.REFUSED}, one
        assert "which is not installed" not in one.err, one


def needing_it(folder: Path, bundle: Path, rich: RichRegistry) -> list[Line]:
    """What needs MLflow."""
    server, source = "http://127.0.0.1:9", rich.tracking_uri
    return [
        ("inspect", server),
        ("export", server, folder / "a"),
        ("export", source, folder / "b", "--filter", "metrics.loss > 1"),
        ("import", bundle, server),
        ("sync", bundle, server),
        ("diff", bundle, server),
        ("promote", "rich-model", "--from", bundle, "--to", server),
        ("history", "rich-model", "--at", server),
        ("browse", bundle),
        ("verify", bundle, "--restore-test"),
        ("demo",),
    ]


def test_what_needs_it_says_so(told: dict[str, list[Told]]):
    for one in told["needing it"]:
        assert one.code == ExitCode.UNREACHABLE, one
        assert "needs MLflow, which is not installed" in one.err
        assert "pip install mlflow" in one.err


def test_a_server_cannot_be_looked_at(told: dict[str, list[Told]]):
    (looked,) = told["server"]
    assert looked.code == ExitCode.UNREACHABLE
    assert "needs MLflow, which is not installed" in looked.out + looked.err


def test_a_new_database_needs_it(told: dict[str, list[Told]], folder: Path):
    (imported,) = told["new"]
    assert imported.code == ExitCode.REFUSED
    assert "pip install mlflow" in imported.err
    assert not (folder / "new.db").exists()


def away(folder: Path, rich: RichRegistry) -> Line:
    """Files are where only MLflow reaches them."""
    mapped = ("--map-uri", f"{rich.artifact_root}=s3://bucket")
    return ("export", rich.tracking_uri, folder / "bundle without", *mapped, "--json")


def test_files_that_only_mlflow_reaches_are_named(told: dict[str, list[Told]]):
    (exported,) = told["away"]
    assert exported.code == ExitCode.INCOMPLETE
    left_out = json.loads(exported.out)["left_out"]["first"]
    assert [one for one in left_out if one["reason"] == "unreachable"]


def writing(folder: Path, plain: PlainRegistry) -> list[Line]:
    """Verbs that write into databases."""
    source, target, plan = plain.tracking_uri, at(folder, "synced"), folder / "plan"
    manifest = folder / "nightly.yaml"
    manifest.write_text(
        f"kind: sync\nsource: {source}\ntarget: {target}\nartifacts: reference\n",
        encoding="utf-8",
    )
    where = ("--as", "promoted", "--artifact-root", folder / "promoted")
    version = f"models:/{plain.model_name}/latest"
    return [
        ("sync", source, target, "--artifacts", "reference", "--plan-out", plan),
        ("apply", plan),
        ("run", manifest),
        ("history", plain.model_name, "--at", source),
        ("promote", version, "--from", source, "--to", target, *where),
    ]


def test_verbs_that_write_into_databases(told: dict[str, list[Told]]):
    assert [one.code for one in told["writing"]] == [0] * 5, told["writing"]
    assert "read back and equal" in told["writing"][-1].out


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
