"""`--state BUNDLE`: an earlier bundle says what was sent, and who changed what since."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

import mlporter
from mlporter.errors import BundleUnfinishedError, UsageError
from tests.support.databases import execute, rows
from tests.verbs.test_sync import RUN, Two, told

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def two(mlflow_sqlite_template, tmp_path):
    made = Two(mlflow_sqlite_template, tmp_path)
    made.run()
    made.model()
    return made


@pytest.fixture
def forget(monkeypatch, tmp_path):
    """Lose all that is remembered of what was sent."""
    return lambda: monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "nothing"))


def sums(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): sha256(path.read_bytes()).hexdigest() for path in files}


def bundle_of(two, name="bundle"):
    mlporter.export(two.source, two.folder / name)
    return two.folder / name


def test_a_snapshot_says_it_as_well_and_a_whole_repository_does_not(two, forget):
    mlporter.backup(two.source, two.folder / "backups")
    latest = f"{two.folder}/backups/@latest"
    mlporter.import_(latest, two.target, artifact_root=two.root)
    forget()
    two.tag("source", "newer")
    before = sums(two.folder / "backups")
    with pytest.raises(UsageError, match="repository of snapshots"):
        two.sync(state=two.folder / "backups")
    assert two.sync(state=latest).exit_code == 0
    assert sums(two.folder / "backups") == before


def test_what_changed_since_the_bundle_follows_and_edits_are_told(two, forget):
    two.tag("source", "first", "both")
    bundle = bundle_of(two)
    mlporter.import_(bundle, two.target, artifact_root=two.root)
    forget()
    two.tag("source", "newer")
    two.tag("source", "here", "both")
    two.tag("target", "there", "both")
    (two.here / "notes.txt").write_text("second")
    execute(two.target, "UPDATE model_versions SET description = 'ours'")
    before = sums(bundle)
    assert two.sync(dry_run=True).exit_code == 3  # nobody knows who changed what

    plan = two.sync(dry_run=True, state=bundle)
    result = two.sync(state=bundle)

    assert plan.actions.digest == result.actions.digest
    assert sums(bundle) == before
    assert two.tags() == {"state": "newer", "both": "there"}
    assert (two.there / "notes.txt").read_text() == "second"
    (left,) = [item for item in result.left_out.first if not item.expected]
    assert "'first' was last sent" in left.detail
    assert told(result, "keep") == [("model_versions", "default/churn/1", "edited at the target")]
    # It is remembered where it always is, and the bundle is not needed any more.
    two.tag("source", "newest")
    assert ("runs", RUN, "") in told(two.sync(), "update")
    assert two.tags()["state"] == "newest"


def test_experiments_that_have_another_number_and_another_name_there(two, forget):
    made = "INSERT INTO experiments (experiment_id, workspace, name, lifecycle_stage"
    execute(two.target, f"{made}) VALUES (1, 'default', 'other', 'active')")
    churn = f"VALUES (1, 'default', 'churn', 'active', '{two.files}')"
    execute(two.source, f"{made}, artifact_location) {churn}")
    execute(two.source, "UPDATE runs SET experiment_id = 1")
    bundle = bundle_of(two)
    mlporter.import_(bundle, two.target, artifact_root=two.root)
    forget()
    execute(two.source, "UPDATE experiments SET name = 'churn 2' WHERE experiment_id = 1")
    two.tag("source", "newer")

    result = two.sync(state=bundle)

    assert result.exit_code == 0
    assert two.tags() == {"state": "newer"}
    names = rows(two.target, "SELECT name FROM experiments ORDER BY experiment_id")
    assert [name for (name,) in names] == ["Default", "other", "churn 2"]
    assert two.sync(dry_run=True).actions.total("update", "move", "conflict", "keep") == 0


@pytest.mark.parametrize("verb", ["copy", "import"])
def test_copy_and_import_take_a_bundle_too(two, forget, verb):
    first = bundle_of(two, "first")
    mlporter.import_(first, two.target, artifact_root=two.root)
    forget()
    two.tag("source", "newer")
    asked = {"on_conflict": "update", "artifact_root": two.root, "state": first}
    execute(two.target, "UPDATE runs SET name = 'ours'")

    with pytest.raises(mlporter.ConflictError, match="edited at the target"):
        mlporter.copy(two.source, two.target, **asked)
    execute(two.target, "UPDATE runs SET name = 'a'")
    if verb == "copy":
        mlporter.copy(two.source, two.target, **asked)
    else:
        mlporter.import_(bundle_of(two, "second"), two.target, **asked)

    assert two.tags() == {"state": "newer"}


def test_what_the_source_removed_since_the_bundle_goes_with_delete(two, forget):
    bundle = bundle_of(two)
    mlporter.import_(bundle, two.target, artifact_root=two.root)
    forget()
    execute(two.source, "DELETE FROM registered_model_aliases")

    assert "registered_model_aliases" in str(told(two.sync(state=bundle), "keep"))
    two.sync(state=bundle, delete=True)

    assert rows(two.target, "SELECT alias FROM registered_model_aliases") == []


def test_an_unfinished_bundle_is_no_base(two):
    bundle = bundle_of(two)
    (bundle / ".mlporter").mkdir()
    (bundle / "manifest.yaml").unlink()

    with pytest.raises(BundleUnfinishedError):
        two.sync(state=bundle)
