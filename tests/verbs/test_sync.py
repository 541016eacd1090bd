"""`sync`, `copy --on-conflict update` and `apply` between databases: one situation each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import mlporter
from mlporter.errors import (
    ConflictError,
    ExitCode,
)
from tests.support.databases import execute, rows
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

RUN = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1"


class Two:
    """A source and a target, edited by SQL or by MLflow's client."""

    def __init__(self, template: Path, folder: Path) -> None:
        self.folder = folder
        self.source = self._made(template, "source")
        self.target = self._made(template, "target")
        self.files = folder / "source-files"
        self.root = folder / "root"

    def _made(self, template: Path, name: str) -> str:
        copy_sqlite(template, self.folder / f"{name}.db")
        return sqlite_url(self.folder / f"{name}.db")

    def run(self, run: str = RUN, status: str = "FINISHED") -> None:
        """A run of the source with a tag and a file."""
        place = self.files / run / "artifacts"
        where = f"UPDATE experiments SET artifact_location = '{self.files}'"
        execute(self.source, where)
        place.mkdir(parents=True)
        (place / "notes.txt").write_text("first")
        execute(
            self.source,
            "INSERT INTO runs (run_uuid, name, experiment_id, status, lifecycle_stage, start_time,"
            f" artifact_uri) VALUES ('{run}', 'a', 0, '{status}', 'active', 1, '{place}')",
            f"INSERT INTO tags (run_uuid, key, value) VALUES ('{run}', 'state', 'new')",
        )

    def model(self, version: int = 1, alias: str = "champion") -> None:
        """A version of a registered model, and an alias that points to it."""
        models = "INSERT OR IGNORE INTO registered_models (workspace, name) "
        execute(
            self.source,
            f"{models} VALUES ('default', 'churn')",
            "INSERT INTO model_versions (workspace, name, version, source, run_id, current_stage,"
            f" status) VALUES ('default', 'churn', {version}, 'runs:/{RUN}/m', '{RUN}', 'None',"
            " 'READY')",
            "INSERT OR REPLACE INTO registered_model_aliases (workspace, name, alias, version)"
            f" VALUES ('default', 'churn', '{alias}', {version})",
        )

    def tag(self, side: str, value: str | None, key: str = "state", run: str = RUN) -> None:
        """Set or delete a tag of a run."""
        address = self.source if side == "source" else self.target
        execute(address, f"DELETE FROM tags WHERE run_uuid = '{run}' AND key = '{key}'")
        if value is not None:
            execute(address, f"INSERT INTO tags VALUES ('{key}', '{value}', '{run}')")

    def tags(self, run: str = RUN) -> dict[str, str]:
        """Tags of a run of the target."""
        return dict(rows(self.target, f"SELECT key, value FROM tags WHERE run_uuid = '{run}'"))

    def sync(self, **wanted):
        """Sync."""
        return mlporter.sync(self.source, self.target, artifact_root=self.root, **wanted)

    def copy(self, **wanted):
        """Copy, with updates."""
        asked = {"artifact_root": self.root, "on_conflict": "update", **wanted}
        return mlporter.copy(self.source, self.target, **asked)

    @property
    def there(self) -> Path:
        """The files of the run in the target."""
        return self.root / "0" / RUN / "artifacts"

    @property
    def here(self) -> Path:
        """The files of the run in the source."""
        return self.files / RUN / "artifacts"


@pytest.fixture
def two(mlflow_sqlite_template, tmp_path):
    made = Two(mlflow_sqlite_template, tmp_path)
    made.run()
    return made


def told(result, kind):
    """What a result names of a kind: the unit, its id, why."""
    return [(one.unit, one.id, one.why) for one in result.actions.first if one.kind.value == kind]


# --- Files ----------------------------------------------------------------------------------------


def test_files_of_a_run_that_goes_on_follow(two):
    execute(two.source, "UPDATE runs SET status = 'RUNNING'")
    two.sync()
    (two.here / "sub").mkdir()
    (two.here / "sub" / "more.txt").write_text("more")
    (two.here / "notes.txt").write_text("second")

    plan = two.sync(dry_run=True)
    done = two.sync()

    assert (two.there / "sub" / "more.txt").read_text() == "more"
    assert (two.there / "notes.txt").read_text() == "second"
    assert done.files.files == plan.files.files == 2
    assert done.actions.digest == plan.actions.digest
    again = two.sync()
    assert (again.actions.counts, again.files.files) == ({}, 0)
    assert mlporter.diff(two.source, two.target).identical


def test_files_of_an_ended_run_are_looked_at_if_it_changed_or_with_full(two):
    two.sync()
    (two.here / "late.txt").write_text("late")
    assert two.sync().files.files == 0

    assert two.sync(full=True).files.files == 1
    (two.here / "later.txt").write_text("later")
    two.tag("source", "changed")

    assert two.sync().files.files == 1
    assert (two.there / "later.txt").read_text() == "later"


def test_a_file_that_was_edited_at_the_target_stays(two):
    two.sync()
    (two.there / "notes.txt").write_text("theirs")
    edited = two.sync(full=True)
    assert edited.exit_code is ExitCode.OK

    (two.here / "notes.txt").write_text("ours, changed")
    done = two.sync(full=True)

    assert (two.there / "notes.txt").read_text() == "theirs"
    assert done.exit_code is ExitCode.INCOMPLETE
    assert [(item.id, item.path) for item in done.left_out.first] == [(RUN, "notes.txt")]
    put_back = two.sync(full=True, prefer="ours")
    assert put_back.exit_code is ExitCode.OK
    assert (two.there / "notes.txt").read_text() == "ours, changed"


def test_a_file_that_only_the_target_has_stays(two):
    two.sync()
    (two.there / "theirs.txt").write_text("theirs")

    done = two.sync(full=True, delete=True)

    assert told(done, "keep") == [("runs", RUN, "only the target has it")]
    assert (two.there / "theirs.txt").exists()


def test_a_file_that_the_source_removed_goes_with_delete_alone(two):
    two.sync()
    (two.here / "notes.txt").unlink()

    kept = two.sync(full=True)
    assert (two.there / "notes.txt").exists()
    assert [why for _, _, why in told(kept, "keep")] == [
        "the source has it no more; --delete removes it"
    ]
    assert two.sync(full=True, delete=True).exit_code is ExitCode.OK
    assert not (two.there / "notes.txt").exists()
    assert two.sync(full=True, delete=True).actions.counts == {}


def test_without_a_base_another_file_is_a_conflict_and_a_new_one_comes(two):
    two.sync()
    (two.here / "notes.txt").write_text("other")
    (two.here / "more.txt").write_text("more")
    state = {"state": two.folder / "other-state"}

    with pytest.raises(ConflictError, match="1 thing is in conflict"):
        two.copy(**state)
    assert not (two.there / "more.txt").exists()
    done = two.sync(**state)

    assert (two.there / "notes.txt").read_text() == "first"
    assert (two.there / "more.txt").read_text() == "more"
    assert done.exit_code is ExitCode.INCOMPLETE
    assert two.copy(force=True, **state).exit_code is ExitCode.OK
    assert (two.there / "notes.txt").read_text() == "other"


def test_files_in_s3_follow_too(two, s3):
    execute(two.source, "UPDATE runs SET status = 'RUNNING'")
    two.root = f"{s3.new_bucket()}/root"
    two.sync()
    (two.here / "more.txt").write_text("more")
    (two.here / "notes.txt").write_text("second")

    assert two.sync().files.files == 2

    assert mlporter.diff(two.source, two.target).identical
    assert two.sync().files.files == 0
    (two.here / "more.txt").unlink()
    assert two.sync(delete=True).exit_code is ExitCode.OK
    assert mlporter.diff(two.source, two.target).identical


def test_files_of_a_run_that_the_target_keeps_elsewhere_are_not_written(two):
    execute(two.source, "UPDATE runs SET status = 'RUNNING'")
    two.sync()
    elsewhere = two.folder / "elsewhere"
    elsewhere.mkdir()
    execute(two.target, f"UPDATE runs SET artifact_uri = '{elsewhere}'")
    (two.here / "more.txt").write_text("more")

    done = two.sync()

    assert list(elsewhere.iterdir()) == []
    assert [(item.id, item.reason) for item in done.left_out.first] == [(RUN, "outside")]
