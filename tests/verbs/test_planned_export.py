"""`export --dry-run` says what the export then does, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlporter
from tests.support.databases import tree


@pytest.mark.parametrize(
    "asked",
    [{}, {"selection": {"models": "*", "versions": "latest"}}, {"artifacts": "reference"}],
)
def test_it_counts_what_the_export_then_writes(plain_sqlite, tmp_path, asked):
    before = tree(tmp_path)
    planned = mlporter.export(plain_sqlite.tracking_uri, "backup", dry_run=True, **asked)
    assert tree(tmp_path) == before
    done = mlporter.export(plain_sqlite.tracking_uri, "backup", **asked)
    assert (planned.dry_run, done.dry_run) == (True, False)
    assert planned.tables == done.tables
    assert (planned.files.files, planned.files.bytes) == (done.files.files, done.files.bytes)


def test_what_would_be_left_out_is_named(plain_sqlite):
    lost, *_ = Path(plain_sqlite.artifact_root).glob("plain/models/m-*")
    lost.rename(lost.with_name("elsewhere"))
    planned = mlporter.export(plain_sqlite.tracking_uri, "backup", dry_run=True)
    done = mlporter.export(plain_sqlite.tracking_uri, "backup")
    assert planned.exit_code == done.exit_code == 3
    assert planned.left_out == done.left_out


def test_a_directory_that_is_used_is_refused_as_by_the_export(plain_sqlite, tmp_path):
    source = plain_sqlite.tracking_uri
    mlporter.export(source, "backup", artifacts="none")
    before = tree(tmp_path)
    with pytest.raises(mlporter.RefusedError, match="already holds a bundle"):
        mlporter.export(source, "backup", dry_run=True)
    assert mlporter.export(source, "backup", restart=True, dry_run=True).exit_code == 0
    with pytest.raises(mlporter.RefusedError, match="nothing to resume"):
        mlporter.export(source, "backup", resume=True, dry_run=True)
    assert tree(tmp_path) == before


def test_on_the_command_line(cli, plain_sqlite):
    done = cli("export", plain_sqlite.tracking_uri, "backup", "--dry-run")
    assert done.code == 0
    assert "Dry run: nothing was written." in done.out
    assert "Would be done" in done.out
    assert not Path("backup").exists()
