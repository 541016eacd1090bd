"""`sync`, `copy --on-conflict update` and `apply` between databases: one situation each."""

from __future__ import annotations

import itertools
import json
import multiprocessing
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import mlporter
from mlporter.bundle.tables.small_rows import Room
from mlporter.errors import (
    ConflictError,
    ExitCode,
    ReadBackError,
    RefusedError,
    StateInUseError,
    UsageError,
)
from mlporter.plan.merge import remembering
from tests.support.copying_s3 import watched_copies
from tests.support.databases import dump, execute, rows
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

    assert told(done, "keep") == [("runs", RUN, "it is only in the target")]
    assert (two.there / "theirs.txt").exists()


def test_a_file_that_the_source_removed_goes_with_delete_alone(two):
    two.sync()
    (two.here / "notes.txt").unlink()

    kept = two.sync(full=True)
    assert (two.there / "notes.txt").exists()
    assert [why for _, _, why in told(kept, "keep")] == [
        "it is gone from the source; --delete removes it"
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


def test_a_storage_copies_what_changed_itself_and_nothing_that_was_edited(two, s3):
    bucket, root = s3.new_bucket(), s3.new_bucket()
    two.root = f"{root}/root"
    place = f"{bucket}/{RUN}/artifacts"
    execute(two.source, f"UPDATE experiments SET artifact_location = '{bucket}'")
    execute(two.source, f"UPDATE runs SET status = 'RUNNING', artifact_uri = '{place}'")

    def put(content, bucket=bucket, key=f"{RUN}/artifacts/notes.txt"):
        client.put_object(Bucket=bucket.removeprefix("s3://"), Key=key, Body=content)

    with closing(s3.client()) as client, watched_copies() as copies:
        put(b"first")
        two.sync()
        put(b"second")
        done = two.sync()
        assert (done.files.files, done.files.by_storage, done.files.bytes_by_storage) == (1, 1, 6)
        assert mlporter.diff(two.source, two.target).identical
        (there,) = client.list_objects_v2(Bucket=root.removeprefix("s3://"))["Contents"]
        put(b"third")
        copies.before = lambda: put(b"theirs", root, there["Key"])
        edited = two.sync()
        body = client.get_object(Bucket=root.removeprefix("s3://"), Key=there["Key"])["Body"]
        assert body.read() == b"theirs"
    assert [(item.path, item.reason) for item in edited.left_out.first] == [
        ("notes.txt", "conflict")
    ]


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


# --- Who changed what -----------------------------------------------------------------------------


def test_what_changed_at_the_source_follows_and_edits_at_the_target_stay(two):
    two.sync()
    two.tag("source", "newer")
    two.tag("target", "theirs", key="note")

    done = two.sync()

    assert two.tags() == {"state": "newer", "note": "theirs"}
    assert told(done, "update") == [("runs", RUN, "")]
    assert told(done, "keep") == [("runs", RUN, "it is only in the target")]
    assert done.exit_code is ExitCode.OK


@pytest.mark.parametrize(
    ("prefer", "tag", "code"),
    [(None, "theirs", 3), ("theirs", "theirs", 0), ("ours", "ours", 0)],
)
def test_what_changed_on_both_sides(two, prefer, tag, code):
    two.sync()
    two.tag("source", "ours")
    two.tag("target", "theirs")

    done = two.sync(prefer=prefer)

    assert two.tags()["state"] == tag
    assert done.exit_code == code
    assert [(item.id, item.reason) for item in done.left_out.first] == (
        [(RUN, "conflict")] if code else []
    )
    if prefer == "ours":
        ((_, _, why),) = told(done, "update")
        assert why == "changed at the source, and edited at the target"


def test_what_was_last_sent_is_told(two):
    two.tag("source", "one", "both")
    two.sync()
    two.tag("source", "newer")
    two.tag("source", "two", "both")
    two.tag("target", "three", "both")
    plan = two.folder / "plan.json"

    result = two.sync(plan_out=str(plan))

    lines = [json.loads(line) for line in plan.read_text().splitlines()[1:]]
    told = {(one["action"], c["field"]): c for one in lines for c in one["changes"]}
    assert told["update", "tags.state"]["sent"] == "new"
    conflict = told["conflict", "tags.both"]
    assert [conflict[side] for side in ("sent", "new", "old")] == ["one", "two", "three"]
    (left,) = [item for item in result.left_out.first if not item.expected]
    assert all(repr(value) in left.detail for value in ("one", "two", "three"))


def test_the_rest_goes_on_beside_a_conflict(two):
    two.run("b" * 32)
    two.sync()
    two.tag("source", "ours")
    two.tag("target", "theirs")
    two.tag("source", "newer", run="b" * 32)

    assert two.sync().exit_code is ExitCode.INCOMPLETE
    assert two.tags("b" * 32) == {"state": "newer"}


def test_with_update_a_conflict_refuses_all_and_force_wins(two):
    two.copy()
    two.tag("source", "ours")
    two.tag("target", "theirs")
    before = dump(two.target)

    with pytest.raises(ConflictError) as caught:
        two.copy()

    assert any(RUN in reason for reason in caught.value.reasons)
    assert dump(two.target) == before
    assert two.copy(force=True).exit_code is ExitCode.OK
    assert two.tags() == {"state": "ours"}


def test_without_a_base_a_difference_is_a_conflict_by_name(two):
    two.sync()
    two.tag("source", "ours")

    done = two.sync(state=two.folder / "nothing-here")

    assert two.tags() == {"state": "new"}
    assert [(item.id, item.reason) for item in done.left_out.first] == [(RUN, "conflict")]


def test_rebase_takes_what_differs_as_edited_there(two):
    two.sync()
    two.tag("source", "ours")
    lost = {"state": two.folder / "nothing-here"}

    assert two.sync(rebase=True, **lost).exit_code is ExitCode.OK
    again = two.sync(**lost)
    assert (two.tags(), again.exit_code) == ({"state": "new"}, ExitCode.OK)
    assert [why for _, _, why in told(again, "keep")] == ["edited at the target"]
    two.tag("source", "newer still")
    assert two.sync(**lost).exit_code is ExitCode.INCOMPLETE


def test_what_is_newer_at_the_target_needs_force(two):
    two.model()
    two.copy()
    for side, text, time in (("source", "ours", 1000), ("target", "theirs", 2000)):
        address = two.source if side == "source" else two.target
        values = f"description = '{text}', last_updated_time = {time}"
        execute(address, f"UPDATE model_versions SET {values}")
    lost = {"state": two.folder / "nothing-here"}

    with pytest.raises(ConflictError):
        two.copy(**lost)
    two.copy(force=True, **lost)

    assert rows(two.target, "SELECT description FROM model_versions") == [("ours",)]


@pytest.mark.parametrize("delete", [False, True])
def test_what_both_sides_deleted_and_the_target_sets_again_is_the_targets(two, delete):
    two.sync()
    two.tag("source", None)
    two.tag("target", None)
    two.sync()
    two.tag("target", "new")

    done = two.sync(delete=delete)

    assert two.tags() == {"state": "new"}
    assert [why for _, _, why in told(done, "keep")] == ["it is only in the target"]


# --- What moved, and what was removed -------------------------------------------------------------


@pytest.mark.parametrize("verb", ["copy", "sync"])
def test_an_alias_follows_with_the_version_that_it_points_to(two, verb):
    two.model(1)
    carry = getattr(two, verb)
    carry(selection={"models": "churn"})
    two.model(2)

    done = carry(selection={"models": "churn", "versions": "@champion"})

    aliases = rows(two.target, "SELECT alias, version FROM registered_model_aliases")
    assert aliases == [("champion", 2)]
    assert told(done, "move") == [("registered_model_aliases", "default/churn/champion", "")]


def test_experiments_that_exchanged_their_names(two):
    execute(
        two.source,
        "INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace)"
        " VALUES (1, 'a', 'active', 'default'), (2, 'b', 'active', 'default')",
    )
    two.sync()
    for name, number in (("c", 1), ("a", 2), ("b", 1)):
        values = f"name = '{name}' WHERE experiment_id = {number}"
        execute(two.source, f"UPDATE experiments SET {values}")

    done = two.sync()

    names = rows(two.target, "SELECT experiment_id, name FROM experiments ORDER BY 1")
    assert names == [(0, "Default"), (1, "b"), (2, "a")]
    assert len(told(done, "move")) == 2
    assert two.sync().rows == 0


def test_a_name_that_somebody_took_at_the_target_is_a_conflict(two):
    insert = "INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace)"
    execute(two.source, f"{insert} VALUES (1, 'a', 'active', 'default')")
    two.sync()
    execute(two.target, f"{insert} VALUES (7, 'b', 'active', 'default')")
    execute(two.source, "UPDATE experiments SET name = 'b' WHERE experiment_id = 1")

    done = two.sync()

    names = rows(two.target, "SELECT experiment_id, name FROM experiments ORDER BY 1")
    assert names == [(0, "Default"), (1, "a"), (7, "b")]
    assert [(item.kind, item.reason) for item in done.left_out.first] == [
        ("experiments", "conflict")
    ]


def test_what_the_source_deleted_goes_with_delete_alone(two):
    two.model()
    two.sync()
    execute(
        two.source,
        "DELETE FROM registered_model_aliases",
        "DELETE FROM model_versions",
        "DELETE FROM registered_models",
    )

    kept = two.sync()
    assert {unit for unit, _, _ in told(kept, "keep")} >= {"registered_models", "model_versions"}
    assert rows(two.target, "SELECT count(*) FROM model_versions") == [(1,)]

    gone = two.sync(delete=True)
    assert ("registered_models", "default/churn", "") in told(gone, "delete")
    for table in ("registered_model_aliases", "model_versions", "registered_models"):
        assert rows(two.target, f"SELECT count(*) FROM {table}") == [(0,)]
    assert two.sync(delete=True).actions.counts == {}


def test_a_run_that_the_source_purged_goes_to_the_trash(two):
    two.run("b" * 32)
    two.sync()
    execute(two.source, f"DELETE FROM tags WHERE run_uuid = '{RUN}'")
    execute(two.source, f"DELETE FROM runs WHERE run_uuid = '{RUN}'")

    two.sync(delete=True)

    stages = rows(two.target, "SELECT run_uuid, lifecycle_stage FROM runs ORDER BY 1")
    assert stages == [(RUN, "deleted"), ("b" * 32, "active")]


def test_what_somebody_edited_or_needs_at_the_target_is_not_deleted(two):
    two.model()
    two.sync()
    execute(
        two.source,
        "DELETE FROM registered_model_aliases",
        "DELETE FROM model_versions",
        "DELETE FROM registered_models",
    )
    execute(
        two.target,
        "INSERT INTO model_versions (workspace, name, version, current_stage)"
        " VALUES ('default', 'churn', 2, 'None')",
        "INSERT INTO registered_model_aliases (workspace, name, alias, version)"
        " VALUES ('default', 'churn', 'theirs', 1)",
    )

    done = two.sync(delete=True, prefer="ours")

    assert rows(two.target, "SELECT version FROM model_versions ORDER BY 1") == [(1,), (2,)]
    assert {item.kind for item in done.left_out.first} == {"registered_models", "model_versions"}


def test_an_alias_is_not_left_pointing_at_nothing(two):
    two.model(1)
    two.model(2, alias="challenger")
    two.sync()
    execute(two.target, "DELETE FROM registered_model_aliases WHERE alias = 'challenger'")
    execute(two.target, "DELETE FROM model_versions WHERE version = 2")
    execute(two.source, "UPDATE registered_model_aliases SET version = 2")

    done = two.sync()

    assert rows(two.target, "SELECT alias, version FROM registered_model_aliases") == [
        ("champion", 1)
    ]
    assert ("registered_model_aliases", "default/churn/champion") in {
        (item.kind, item.id) for item in done.left_out.first
    }


def test_a_version_made_of_other_files_is_another_one(two):
    two.model()
    two.sync()
    execute(two.source, "UPDATE model_versions SET source = 'runs:/other/m'")
    execute(two.source, "INSERT INTO model_version_tags VALUES ('x', 'y', 'churn', 1, 'default')")

    done = two.sync(prefer="ours")

    assert rows(two.target, "SELECT source FROM model_versions") == [(f"runs:/{RUN}/m",)]
    assert rows(two.target, "SELECT * FROM model_version_tags") == []
    assert [item.kind for item in done.left_out.first] == ["model_versions"]


def test_more_than_is_meant_is_not_deleted(two):
    for number in range(14):
        two.run(f"{number:032x}")
    two.sync()
    execute(two.source, "DELETE FROM tags", "DELETE FROM runs WHERE run_uuid < 'a'")
    before = dump(two.target)

    with pytest.raises(RefusedError, match="would delete more") as caught:
        two.sync(delete=True)

    assert caught.value.reasons == ("14 of 15 rows of runs",)
    assert dump(two.target) == before
    done = two.sync(delete=True, max_delete=14)
    assert done.actions.counts["runs"]["delete"] == 14


def test_aliases_count_among_what_would_be_deleted(two):
    for number in range(1, 13):
        two.model(number, alias=f"a{number}")
    two.sync()
    execute(two.source, "DELETE FROM registered_model_aliases")

    with pytest.raises(RefusedError) as caught:
        two.sync(delete=True)

    assert caught.value.reasons == ("12 of 12 rows of registered_model_aliases",)
    assert two.sync(delete=True, max_delete=12).exit_code is ExitCode.OK
    assert rows(two.target, "SELECT * FROM registered_model_aliases") == []


BURIED = (
    "UPDATE model_versions SET current_stage = 'Deleted_Internal', "
    "source = 'REDACTED-SOURCE-PATH', run_id = 'REDACTED-RUN-ID' WHERE version = 2"
)
"""What MLflow makes of a version that is deleted."""


@pytest.mark.parametrize("verb", ["sync", "copy"])
def test_a_version_that_the_source_deleted_is_kept_and_told_and_no_conflict(two, verb):
    two.model(2)
    two.model(1)
    two.sync()
    execute(two.source, BURIED)

    done = getattr(two, verb)()
    again = getattr(two, verb)()

    why = "it is gone from the source; --delete removes it"
    for result in (done, again):
        assert result.exit_code is ExitCode.OK
        assert told(result, "keep") == [("model_versions", "default/churn/2", why)]
        assert told(result, "conflict") == []
    assert told(two.sync(delete=True), "delete") == [("model_versions", "default/churn/2", "")]
    assert two.sync(delete=True).actions.counts == {}


def test_times_follow_what_they_are_the_times_of(two):
    two.sync()
    trashed = "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = {}"
    execute(two.source, trashed.format(5))
    execute(two.target, "UPDATE runs SET deleted_time = 7")  # as after `mlflow runs restore`

    done = two.sync()

    assert done.exit_code is ExitCode.OK
    assert rows(two.target, "SELECT lifecycle_stage, deleted_time FROM runs") == [("deleted", 5)]


@pytest.mark.parametrize("prefer", [None, "ours", "theirs"])
def test_what_both_deleted_at_different_times_is_no_difference(two, prefer):
    two.sync()
    for address, when in ((two.source, 1000), (two.target, 2000)):
        execute(address, f"UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = {when}")
    two.tag("source", "newer")

    result = two.sync(prefer=prefer)

    assert (result.exit_code, told(result, "keep"), told(result, "conflict")) == (0, [], [])
    assert two.tags() == {"state": "newer"}
    assert rows(two.target, "SELECT deleted_time FROM runs") == [(1000,)]
    assert mlporter.diff(two.source, two.target).identical
    assert two.sync().rows == 0


def test_a_conflict_of_a_row_names_which(two):
    two.sync()
    two.tag("source", "newer")

    with pytest.raises(ConflictError) as caught:
        two.copy(on_conflict="fail")

    assert "tags 'state': value is 'newer' at the source and 'new' at the target" in str(
        caught.value.reasons
    )
    assert "mlporter sync" in caught.value.hint

    run = rows(two.source, "SELECT run_uuid FROM runs")[0][0]
    execute(two.source, f"INSERT INTO tags VALUES ('reviewed', 'yes', '{run}')")
    with pytest.raises(ConflictError, match="conflict") as caught:
        two.copy(on_conflict="fail")
    assert "tags 'reviewed' is not in the target" in str(caught.value.reasons)


def test_a_part_does_not_make_the_rest_look_deleted(two):
    two.run("b" * 32)
    two.sync()

    done = two.sync(selection={"runs": RUN}, delete=True)

    assert done.actions.counts == {}
    assert rows(two.target, "SELECT DISTINCT lifecycle_stage FROM runs") == [("active",)]


def test_what_was_purged_at_the_target_stays_away_and_ours_brings_it_back(two):
    two.run("b" * 32)
    two.model()
    two.sync()
    execute(
        two.target,
        f"DELETE FROM tags WHERE run_uuid = '{RUN}'",
        f"DELETE FROM runs WHERE run_uuid = '{RUN}'",
        "DELETE FROM registered_model_aliases",
        "DELETE FROM model_versions",
        "DELETE FROM registered_models",
    )
    two.tag("source", "changed")
    two.model(2)

    done = two.sync()

    assert rows(two.target, "SELECT run_uuid FROM runs") == [("b" * 32,)]
    assert rows(two.target, "SELECT * FROM registered_models") == []
    assert set(told(done, "keep")) == {
        ("runs", RUN, "it was removed at the target"),
        ("registered_models", "default/churn", "it was removed at the target"),
        ("model_versions", "default/churn/1", "it was removed at the target"),
        ("model_versions", "default/churn/2", "its model was removed at the target"),
    }
    assert done.exit_code is ExitCode.OK
    back = two.sync(prefer="ours")
    assert ("runs", RUN) in {(unit, name) for unit, name, _ in told(back, "create")}
    assert mlporter.diff(two.source, two.target).identical


def test_what_is_new_is_counted_once(two):
    two.sync()
    execute(
        two.source,
        "INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace)"
        " VALUES (1, 'a', 'active', 'default')",
    )
    two.model()
    planned = two.sync(dry_run=True)
    kinds = ("experiments", "model_versions", "registered_models")
    assert planned.actions.counts == {kind: {"create": 1} for kind in kinds}
    assert two.sync().actions.digest == planned.actions.digest


def test_rows_that_go_are_counted_among_what_changes(two):
    two.model(2)
    two.model(1)
    two.sync()
    two.tag("source", None)
    execute(two.source, BURIED)

    planned = two.sync(delete=True, dry_run=True)
    done = two.sync(delete=True)

    for result in (planned, done):
        counts = {one.table: (one.changed, one.already_there) for one in result.tables}
        assert counts["tags"] == (1, 0)
        assert counts["model_versions"] == (1, 1)
    assert two.sync(delete=True).rows == 0


def plain(two, **wanted):
    """A copy that changes nothing of what the target has."""
    return mlporter.copy(two.source, two.target, artifact_root=two.root, **wanted)


def test_what_only_the_target_has_is_no_conflict_of_a_plain_copy(two):
    two.sync()
    two.tag("target", "yes", key="reviewed")
    execute(two.target, f"INSERT INTO params VALUES ('depth', '3', '{RUN}')")
    point = f"INSERT INTO metrics VALUES ('loss', 0.5, 1, '{RUN}', 1, 0)"
    execute(two.target, point)

    done = plain(two)

    assert (done.exit_code, done.rows) == (ExitCode.OK, 0)
    assert {why for _, _, why in told(done, "keep")} == {"it is only in the target"}
    assert len(told(done, "keep")) == 3
    assert two.tags() == {"state": "new", "reviewed": "yes"}


def test_what_the_source_removed_is_a_conflict_of_a_plain_copy(two):
    two.sync()
    two.tag("source", None)
    with pytest.raises(ConflictError) as caught:
        plain(two)
    assert "tags.state" in str(caught.value.reasons)
    assert two.tags() == {"state": "new"}
    skipped = plain(two, on_conflict="skip")
    assert skipped.exit_code is ExitCode.INCOMPLETE
    assert [(item.kind, item.id) for item in skipped.left_out.first] == [("runs", RUN)]


def test_an_experiment_that_the_source_renamed_is_refused_by_a_plain_copy_and_moved_by_update(two):
    execute(
        two.source,
        "INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace)"
        " VALUES (1, 'a', 'active', 'default')",
        f"UPDATE runs SET experiment_id = 1 WHERE run_uuid = '{RUN}'",
    )
    plain(two)
    execute(two.source, "UPDATE experiments SET name = 'b' WHERE experiment_id = 1")
    names = "SELECT experiment_id, name FROM experiments ORDER BY 1"

    with pytest.raises(ConflictError) as caught:
        plain(two)
    assert "called 'a' in the target" in str(caught.value.reasons)
    beside = plain(two, on_conflict="skip")
    assert [(item.kind, item.id) for item in beside.left_out.first] == [("experiments", "b")]
    assert rows(two.target, names) == [(0, "Default"), (1, "a")]
    renamed = plain(two, on_conflict="rename")
    assert [(one.old, one.new) for one in renamed.renamed] == [("b", "a")]
    assert rows(two.target, names) == [(0, "Default"), (1, "a")]
    moved = two.copy()
    assert told(moved, "move") == [("experiments", "1", "")]
    assert rows(two.target, names) == [(0, "Default"), (1, "b")]


def test_force_brings_back_what_the_target_removed(two):
    two.model()
    two.sync()
    execute(
        two.target,
        "DELETE FROM registered_model_aliases",
        f"DELETE FROM tags WHERE run_uuid = '{RUN}'",
        f"DELETE FROM runs WHERE run_uuid = '{RUN}'",
    )
    assert two.sync().exit_code is ExitCode.OK
    assert rows(two.target, "SELECT run_uuid FROM runs") == []

    done = two.sync(force=True)

    assert rows(two.target, "SELECT run_uuid FROM runs") == [(RUN,)]
    assert rows(two.target, "SELECT alias FROM registered_model_aliases") == [("champion",)]
    assert {unit for unit, _, why in told(done, "create") if "put back" in why} == {
        "runs",
        "registered_model_aliases",
    }


@pytest.mark.parametrize(
    "fault",
    [
        "BEFORE DELETE ON tags BEGIN SELECT RAISE(IGNORE); END",
        "AFTER DELETE ON tags BEGIN DELETE FROM tags; END",
        "AFTER UPDATE ON runs BEGIN UPDATE tags SET value = 'other' WHERE key = 'kept'; END",
    ],
)
def test_what_is_not_as_it_was_planned_is_not_kept(two, fault):
    """A plan that was carried out is made again: whatever it would still do was not done."""
    two.tag("source", "same", key="kept")
    two.sync()
    two.tag("source", None)
    execute(two.source, "UPDATE runs SET name = 'b'")
    execute(two.target, f"CREATE TRIGGER fault {fault}")
    before = dump(two.target)

    with pytest.raises(ReadBackError):
        two.sync()

    assert dump(two.target) == before
    execute(two.target, "DROP TRIGGER fault")
    assert two.sync().exit_code is ExitCode.OK
    assert two.tags() == {"kept": "same"}


# --- Plans ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["copy", "sync"])
def test_a_plan_is_carried_out_and_nothing_else(two, verb):
    carry = getattr(two, verb)
    carry()
    two.tag("source", "newer")
    before = dump(two.target)
    plan = two.folder / "plan.json"

    planned = carry(plan_out=str(plan))
    assert dump(two.target) == before
    assert mlporter.apply(plan, dry_run=True).actions.digest == planned.actions.digest
    done = mlporter.apply(plan)

    assert done.actions.digest == planned.actions.digest
    assert two.tags() == {"state": "newer"}
    first, *actions = map(json.loads, plan.read_text().splitlines())
    assert (first["format"], first["verb"]) == ("mlporter-plan", verb)
    assert [one["id"] for one in actions] == [RUN]


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_plan_is_refused_if_either_side_changed_since(two, side):
    two.sync()
    two.tag("source", "newer")
    plan = two.folder / "plan.json"
    two.sync(plan_out=str(plan))
    two.tag(side, "newest")
    before = dump(two.target)

    with pytest.raises(RefusedError, match="changed since the plan was made"):
        mlporter.apply(plan)

    assert dump(two.target) == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_refused_plan_says_what_would_be_done_now_and_what_no_more(two, dry_run):
    two.sync()
    two.tag("source", "newer")
    plan = two.folder / "plan.json"
    two.sync(plan_out=str(plan))
    two.tag("source", "newest")

    with pytest.raises(RefusedError) as caught:
        mlporter.apply(plan, dry_run=dry_run)

    now, no_more = caught.value.reasons
    assert now == f"now: update runs {RUN!r}: tags.state: 'new' -> 'newest'"
    assert no_more == f"no more: update runs {RUN!r}: tags.state: 'new' -> 'newer'"
    assert caught.value.subject == str(plan)


def test_a_dry_run_of_a_plan_names_the_command_that_carries_it_out(two):
    plan = two.folder / "plan.json"
    two.sync(plan_out=str(plan))

    assert mlporter.apply(plan, dry_run=True).next_command == f"mlporter apply {plan}"


def test_a_plan_of_what_is_new_is_refused_if_more_is_new(two):
    plan = two.folder / "plan.json"
    two.sync(plan_out=str(plan))
    two.run("b" * 32)

    with pytest.raises(RefusedError):
        mlporter.apply(plan)


def test_a_plan_holds_no_password(two):
    plan = two.folder / "plan.json"
    two.sync(plan_out=str(plan))
    head, *rest = plan.read_text().splitlines()
    given = json.loads(head) | {"target": "postgresql://me:***@host/db"}
    plan.write_text("\n".join([json.dumps(given), *rest]))

    with pytest.raises(UsageError, match="password"):
        mlporter.apply(plan)


@pytest.mark.parametrize("text", ["", "{}", "[]", "no json", '{"format": "mlporter-bundle"}'])
def test_what_is_no_plan_is_refused(tmp_path, text):
    (tmp_path / "plan.json").write_text(text)

    with pytest.raises(UsageError, match="is no plan"):
        mlporter.apply(tmp_path / "plan.json")


# --- What is remembered ---------------------------------------------------------------------------


def test_a_sync_that_is_stopped_anywhere_is_all_there_or_not_at_all(two):
    two.sync()
    two.tag("source", "new")
    phases = {}
    told = itertools.count(1)
    two.sync(on_progress=lambda step, *_: phases.setdefault(step.split()[0], []).append(next(told)))
    assert len(phases) > 3
    two.tag("source", "newer")
    # When it begins with reading, writing and so on, in the middle of that, and at its end.
    for number in sorted({each[at] for each in phases.values() for at in (0, len(each) // 2, -1)}):
        before = dump(two.target)
        left = number

        def stop(*_):
            nonlocal left
            left -= 1
            if not left:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            two.sync(on_progress=stop)
        assert dump(two.target) == before
    two.tag("source", "newest")
    assert two.sync().exit_code is ExitCode.OK
    assert two.tags() == {"state": "newest"}


def test_two_at_a_time_are_one_too_many(two):
    state = two.folder / "state"
    two.sync(state=state)
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(state), ready, done))
    other.start()
    try:
        assert ready.wait(60)
        with pytest.raises(StateInUseError) as caught:
            two.sync(state=state)
        assert caught.value.exit_code == 7
        with pytest.raises(StateInUseError):
            two.copy(state=state)
    finally:
        done.set()
        other.join()
    assert two.sync(state=state).exit_code is ExitCode.OK


def _hold(state, ready, done):
    from pathlib import Path  # noqa: PLC0415 -- in another process

    from mlporter.stores.rows.last_sent import LastSent  # noqa: PLC0415

    held = LastSent(Path(state))
    ready.set()
    done.wait(60)
    held.close()


def test_a_copy_into_a_new_database_under_an_old_name_starts_anew(two):
    two.sync()
    path = two.folder / "target.db"
    path.unlink()

    done = two.sync()

    assert two.tags() == {"state": "new"}
    assert any("sent again" in note for note in done.notes)


def test_what_is_sent_the_first_time_or_did_not_change_is_read_once(two, monkeypatch):
    """Of a large table, which is read from where it is each time."""
    read, digested = [], remembering._digested

    def counted(sides):
        read.append(sides.pair.table.name)
        return digested(sides)

    monkeypatch.setattr(remembering, "Room", lambda: Room(each=0))
    monkeypatch.setattr(remembering, "_digested", counted)
    two.sync()
    assert {"runs", "tags"} <= set(read)
    assert len(read) == len(set(read))

    two.tag("source", "changed")
    two.sync()
    read.clear()
    assert two.copy().actions.counts == {}
    assert {"runs", "tags"} <= set(read)
    assert len(read) == len(set(read))
