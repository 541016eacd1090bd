"""Files of versions and traces that both sides have follow, as those of runs do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.databases import execute, rows
from tests.verbs.test_sync import Two

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

TRACE = "tr-" + "1" * 32


class Owner:
    """Something with two files on both sides: a trace, or a version with files of its own."""

    def __init__(self, two: Two, kind: str) -> None:
        self.two, self.kind = two, kind
        self.here = two.files / kind
        self.here.mkdir(parents=True)
        for name in ("a.txt", "b.txt"):
            (self.here / name).write_text("as sent")
        if kind == "trace":
            execute(
                two.source,
                "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status,"
                f" db_payload_generation) VALUES ('{TRACE}', 0, 1, 'OK', 0)",
                f"INSERT INTO trace_tags (request_id, key, value) VALUES ('{TRACE}',"
                f" 'mlflow.artifactLocation', '{self.here}')",
            )
        else:
            two.model()
            execute(two.source, f"UPDATE model_versions SET source = '{self.here}', run_id = NULL")

    @property
    def there(self) -> Path:
        """Its files in the target."""
        query = "SELECT source FROM model_versions"
        if self.kind == "trace":
            query = "SELECT value FROM trace_tags WHERE key = 'mlflow.artifactLocation'"
        ((uri,),) = rows(self.two.target, query)
        return self.two.root.__class__(uri.removeprefix("file://"))

    def touch(self) -> None:
        """Change something of it in the tables."""
        table = "trace_tags" if self.kind == "trace" else "model_version_tags"
        key = ("request_id", f"'{TRACE}'")
        if self.kind != "trace":
            key = ("workspace, name, version", "'default', 'churn', 1")
        execute(
            self.two.source,
            f"INSERT INTO {table} ({key[0]}, key, value) VALUES ({key[1]}, 'x', 'y')",
        )


@pytest.fixture(params=["trace", "version"])
def owner(request, mlflow_sqlite_template, tmp_path):
    two = Two(mlflow_sqlite_template, tmp_path)
    two.run()
    return Owner(two, request.param)


def files_of(result):
    """What is told of files."""
    return {
        (one.kind.value, change.field)
        for one in result.actions.first
        for change in one.changes
        if change.field.startswith("artifacts.")
    }


def test_changed_ones_follow_and_edited_ones_stay(owner):
    two = owner.two
    two.sync()
    assert sorted(path.name for path in owner.there.iterdir()) == ["a.txt", "b.txt"]
    (owner.here / "a.txt").write_text("changed at the source")
    (owner.here / "c.txt").write_text("new")
    (owner.there / "b.txt").write_text("edited")
    owner.touch()

    plan = two.sync(dry_run=True)
    done = two.sync()

    assert files_of(plan) == files_of(done) == {
        ("update", "artifacts.a.txt"),
        ("update", "artifacts.c.txt"),
        ("keep", "artifacts.b.txt"),
    }  # fmt: skip
    assert (owner.there / "a.txt").read_text() == "changed at the source"
    assert (owner.there / "b.txt").read_text() == "edited"
    assert (owner.there / "c.txt").read_text() == "new"
    assert files_of(two.sync()) == {("keep", "artifacts.b.txt")}  # told again
    two.sync(prefer="ours")
    assert (owner.there / "b.txt").read_text() == "as sent"
    assert files_of(two.sync()) == set()


def test_what_both_changed_is_a_conflict(owner):
    two = owner.two
    two.sync()
    (owner.here / "a.txt").write_text("here")
    (owner.there / "a.txt").write_text("there, too")

    result = two.sync(full=True)

    assert result.exit_code == 3
    assert files_of(result) == {("conflict", "artifacts.a.txt")}
    assert (owner.there / "a.txt").read_text() == "there, too"


def test_rebase_takes_the_targets_file_and_what_changes_then_is_a_conflict(owner, monkeypatch):
    two = owner.two
    two.sync()
    (owner.there / "a.txt").write_text("edited")
    monkeypatch.setenv("XDG_STATE_HOME", str(two.folder / "nothing"))

    assert two.sync(rebase=True, full=True).exit_code == 0
    assert files_of(two.sync(full=True)) == {("keep", "artifacts.a.txt")}
    (owner.here / "a.txt").write_text("changed at the source")
    assert files_of(two.sync(full=True)) == {("conflict", "artifacts.a.txt")}
