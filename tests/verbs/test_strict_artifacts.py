"""`--strict-artifacts`: what is missing is found before anything is written, and all of it."""

from __future__ import annotations

import pytest

import mlporter
from mlporter.errors import BundleDamagedError, ExitCode, RefusedError, UsageError
from mlporter.plan.misfits import MAX_REASONS
from tests.support.contents import lose_content
from tests.support.databases import tree
from tests.support.mlflow_session import sqlite_url


@pytest.fixture
def registry(plain_sqlite):
    """A plain registry, and the folder of a run's artifacts in it."""
    root = plain_sqlite.database_path.parent
    (folder,) = [p for p in root.rglob("artifacts") if plain_sqlite.run_ids[0] in str(p)]
    return plain_sqlite, folder


def to_bundle(source, tmp_path, **options):
    return mlporter.export(source, str(tmp_path / "bundle"), strict_artifacts=True, **options)


def to_new_database(source, tmp_path, **options):
    url, root = sqlite_url(tmp_path / "new.db"), str(tmp_path / "files")
    return mlporter.copy(source, url, artifact_root=root, strict_artifacts=True, **options)


both_ways = pytest.mark.parametrize("carry", [to_bundle, to_new_database])


@both_ways
def test_what_is_whole_is_carried(registry, tmp_path, carry):
    steps = set()
    result = carry(registry[0].tracking_uri, tmp_path, on_progress=lambda step, *_: steps.add(step))
    assert result.exit_code == ExitCode.OK
    assert "checking artifacts" in steps


@both_ways
def test_everything_that_is_missing_is_named_and_nothing_is_written(registry, tmp_path, carry):
    plain, folder = registry
    # Found, and not readable: it goes up in itself.
    (folder / "loop").symlink_to(folder / "loop")
    other = plain.run_ids[-1]
    (second,) = [p for p in plain.database_path.parent.rglob("artifacts") if other in str(p)]
    (second / "gone").symlink_to(second / "elsewhere")
    before = tree(tmp_path)

    with pytest.raises(RefusedError) as caught:
        carry(plain.tracking_uri, tmp_path)

    assert caught.value.exit_code == ExitCode.REFUSED
    assert "2 artifacts are missing or unreadable" in caught.value.message
    assert "--map-uri" in caught.value.hint
    assert sorted(reason.partition(":")[0] for reason in caught.value.reasons) == sorted(
        [f"{plain.run_ids[0]}/loop", f"{other}/gone"]
    )
    assert tree(tmp_path) == before


def test_a_file_that_is_there_and_cannot_be_opened_is_found(registry, tmp_path, monkeypatch):
    plain, _ = registry
    from mlporter.stores.database.source import DatabaseSource  # noqa: PLC0415 -- beside its use

    really = DatabaseSource.open_file

    def refuse_one(self, file):
        # Root may read everything, so that permissions would not do.
        if file.path == "report.txt" and file.owner_id == plain.run_ids[0]:
            raise PermissionError(13, "Permission denied")
        return really(self, file)

    monkeypatch.setattr(DatabaseSource, "open_file", refuse_one)
    with pytest.raises(RefusedError, match="1 artifact is missing or unreadable") as caught:
        to_bundle(plain.tracking_uri, tmp_path)
    name = f"{plain.run_ids[0]}/report.txt"
    assert caught.value.reasons == (f"{name}: unreadable: Permission denied",)
    assert not (tmp_path / "bundle").exists()


def test_more_than_people_read_is_counted(registry, tmp_path):
    plain, folder = registry
    for number in range(MAX_REASONS + 7):
        (folder / f"loop {number}").symlink_to(folder / f"loop {number}")
    with pytest.raises(RefusedError, match=f"{MAX_REASONS + 7} artifacts are missing") as caught:
        to_bundle(plain.tracking_uri, tmp_path)
    assert len(caught.value.reasons) == MAX_REASONS + 1
    assert caught.value.reasons[-1] == "and 7 more artifacts"


def import_strictly(bundle, tmp_path):
    url, root = sqlite_url(tmp_path / "new.db"), str(tmp_path / "files")
    return mlporter.import_(str(bundle), url, artifact_root=root, strict_artifacts=True)


def test_what_an_export_could_not_carry_is_missing_from_its_bundle(registry, tmp_path):
    plain, folder = registry
    (folder / "loop").symlink_to(folder / "loop")
    bundle = tmp_path / "bundle"
    assert mlporter.export(plain.tracking_uri, str(bundle)).exit_code == ExitCode.INCOMPLETE
    before = tree(tmp_path)
    with pytest.raises(RefusedError, match="1 artifact is missing or unreadable"):
        import_strictly(bundle, tmp_path)
    assert tree(tmp_path) == before
    (folder / "loop").unlink()
    mlporter.export(plain.tracking_uri, str(bundle), restart=True)
    assert import_strictly(bundle, tmp_path).exit_code == ExitCode.OK


def test_a_blob_that_is_missing_is_found_before_the_target_is_touched(registry, tmp_path):
    bundle = tmp_path / "bundle"
    mlporter.export(registry[0].tracking_uri, str(bundle))
    lose_content(bundle)
    before = tree(tmp_path)
    with pytest.raises(BundleDamagedError):
        import_strictly(bundle, tmp_path)
    assert tree(tmp_path) == before


def test_secrets_that_a_bundle_lacks_are_no_artifacts(rich_sqlite, tmp_path):
    """What is left out for another reason than a file's stops nothing."""
    bundle = tmp_path / "bundle"
    result = mlporter.export(rich_sqlite.tracking_uri, str(bundle))
    missing = {i.id for i in result.left_out.first if i.reason == "missing"}
    with pytest.raises(RefusedError) as caught:
        import_strictly(bundle, tmp_path)
    assert len(caught.value.reasons) == len(missing)


@pytest.mark.parametrize("artifacts", ["reference", "none"])
@both_ways
def test_nobody_can_be_strict_about_files_that_are_not_copied(registry, tmp_path, carry, artifacts):
    with pytest.raises(UsageError, match="copies none"):
        carry(registry[0].tracking_uri, tmp_path, artifacts=artifacts)
