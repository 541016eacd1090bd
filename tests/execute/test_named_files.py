"""Files that callers name for us to write: what is something else already stays as it is."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlflow.tracking import MlflowClient

import mlporter
from mlporter.execute.named_files import NamedKind, check_named_file, write_named_file
from tests.support.mlflow_session import mlflow_at, sqlite_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.command_line import Finished
    from tests.support.plain_registry import PlainRegistry

KIND = NamedKind("list", b"our list", "--list")


@pytest.mark.parametrize("before", [None, b"", b"our list\nof old\n"])
def test_what_is_ours_is_replaced_whole(tmp_path: Path, before: bytes | None) -> None:
    file = tmp_path / "list"
    if before is not None:
        file.write_bytes(before)
    assert check_named_file(file, KIND) == file
    with pytest.raises(ZeroDivisionError):
        write_named_file(file, (b"x" * (1 // at) for at in (1, 0)))
    assert (file.read_bytes() if file.exists() else None) == before
    write_named_file(file, [b"our list", b"\n"])
    assert file.read_bytes() == b"our list\n"
    assert [one.name for one in tmp_path.iterdir()] == ["list"]


def test_what_is_not_ours_is_named_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    for path in (file, tmp_path):
        with pytest.raises(mlporter.UsageError, match="no list of mlporter") as caught:
            check_named_file(path, KIND)
        assert "--list" in str(caught.value.hint)
    assert file.read_text() == "mine"


def test_a_pipe_takes_it_and_stays_one(tmp_path: Path) -> None:
    assert check_named_file(os.devnull, KIND) == Path(os.devnull)
    write_named_file(Path(os.devnull), [b"gone"])
    assert Path(os.devnull).is_char_device()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=write_named_file, args=(pipe, [b"our ", b"list"]))
    writer.start()
    assert pipe.read_bytes() == b"our list"
    writer.join()
    assert pipe.is_fifo()


def test_every_option_that_names_a_file_refuses_before_anything_is_done(
    cli: Callable[..., Finished], plain_sqlite: PlainRegistry, tmp_path: Path
) -> None:
    source, target = plain_sqlite.tracking_uri, tmp_path / "prod.db"
    model = f"models:/{plain_sqlite.model_name}/3"
    root = ("--artifact-root", tmp_path / "files")
    promote = ("promote", model, "--from", source, "--to", sqlite_url(target), *root)
    mine = tmp_path / "mine.yaml"
    mine.write_text("kind: copy\n")
    commands = [
        ("export", source, tmp_path / "bundle", "--plan-out", mine),
        ("copy", source, sqlite_url(target), *root, "--plan-out", mine),
        ("sync", source, sqlite_url(target), *root, "--plan-out", mine),
        (*promote, "--plan-out", mine),
        (*promote, "--receipt", mine),
        (*promote, "--html", mine),
        (*promote, "--receipt", tmp_path / "same", "--html", tmp_path / "same"),
        ("backup", source, tmp_path / "backups", "--metrics", mine),
        ("inspect", source, "--log-file", plain_sqlite.database_path),
    ]
    for command in commands:
        done = cli(*command)
        assert done.code == 2, command
        assert (
            "mine.yaml" in done.err
            or "same" in done.err
            or plain_sqlite.database_path.name in done.err
        )
    assert mine.read_text() == "kind: copy\n"
    assert not target.exists()
    assert not (tmp_path / "bundle").exists()
    assert not (tmp_path / "backups").exists()


def test_a_plan_and_a_receipt_are_replaced_by_later_ones(
    plain_sqlite: PlainRegistry, tmp_path: Path
) -> None:
    source, target = plain_sqlite.tracking_uri, sqlite_url(tmp_path / "prod.db")
    plan, receipt = tmp_path / "plan.json", tmp_path / "receipt.yaml"
    told = []
    for version in (2, 3):
        model = f"models:/{plain_sqlite.model_name}/{version}"
        asked = {"artifact_root": tmp_path / "files", "receipt": receipt}
        mlporter.promote(model, source, target, **asked, plan_out=str(plan))  # type: ignore[arg-type]
        mlporter.apply(plan)
        told.append(receipt.read_text())
    assert told[0] != told[1]
    with mlflow_at(target):
        assert len(MlflowClient().search_model_versions()) == 2
