"""Databases of the next MLflow, made up: read as they are found, carried whole or named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import mlporter
from mlporter.bundle.documents.manifest import load_manifest
from mlporter.errors import ExitCode, RefusedError, RevisionError
from mlporter.stores.database.schema.scripts import installed_head
from tests.support.databases import execute, row_counts, rows, tree
from tests.support.mlflow_session import sqlite_url
from tests.support.next_mlflow import (
    AFTER_NEXT,
    LONGER,
    NEW_TABLES,
    NEXT,
    add_rows,
    change_meaning,
    make_next,
    rename_column,
)

FILE = "other/reviews/evidence/r-1/proof.txt"
UNHELD = {
    "column experiments.visibility",
    "column runs.team",
    "table reviews",
    "table review_comments",
}


@pytest.fixture(scope="module")
def newer(plain_sqlite_template, tmp_path_factory):
    """A registry of the next MLflow, with rows and a file in what is new. Do not touch."""
    from tests.support.rich_registry import copy_with_artifacts  # noqa: PLC0415 -- brings MLflow

    registry = copy_with_artifacts(plain_sqlite_template, tmp_path_factory.mktemp("newer"))
    make_next(registry.tracking_uri)
    add_rows(registry.tracking_uri, Path(registry.artifact_root) / "plain")
    return registry


@pytest.fixture(scope="module")
def newer_bundle(newer, tmp_path_factory):
    """An export of it. Do not touch."""
    bundle = tmp_path_factory.mktemp("bundles") / "newer"
    result = mlporter.export(newer.tracking_uri, str(bundle))
    assert result.exit_code == ExitCode.OK, result.left_out
    assert len([note for note in result.notes if NEXT in note]) == 1
    return bundle


def empty_next(template, folder):
    """An empty database of the next MLflow."""
    folder.mkdir()
    url = sqlite_url(Path(shutil.copy(template, folder / "target.db")))
    make_next(url)
    return url


@pytest.fixture
def next_target(mlflow_sqlite_template, tmp_path):
    return empty_next(mlflow_sqlite_template, tmp_path / "target")


# --- Reading --------------------------------------------------------------------------------------


def test_all_of_it_is_in_the_bundle(newer, newer_bundle):
    manifest = load_manifest(newer_bundle)
    assert manifest.schema_revision == NEXT
    assert {manifest.tables[name].kind for name in NEW_TABLES} == {"newer"}
    reviews = manifest.tables["reviews"]
    assert {(r.columns, r.table) for r in reviews.references} == {
        (("run_uuid",), "runs"),
        (("of_experiment",), "experiments"),
    }
    assert reviews.places == ("evidence",)
    with mlporter.open(str(newer_bundle)) as registry:
        assert registry.read("review_comments").read_all()["said"].to_pylist() == [
            "yes",
            "and again",
        ]
        files = registry.read("artifacts").read_all().to_pylist()
    (file,) = (row for row in files if row["owner_kind"] == "other")
    assert (file["owner_id"], file["path"]) == ("reviews/evidence/r-1", "proof.txt")
    assert mlporter.verify(str(newer_bundle), against=newer.tracking_uri).exit_code == ExitCode.OK


def test_every_verb_reads_it_and_says_once_what_was_taken_as_found(newer, newer_bundle, cli):
    before = tree(newer.database_path.parent)
    for address in (newer.tracking_uri, str(newer_bundle)):
        for words in (
            ("inspect", address),
            ("show", address, "reviews"),
            ("diff", address, newer.tracking_uri),
        ):
            done = cli(*words)
            assert done.code == 0, (words, done.err)
            text = " ".join((done.out + done.err).split())
            sides = 2 if words[0] == "diff" else 1
            assert text.count("unknown to this release") == sides, words
            assert "table reviews" in text
            assert "column runs.team" in text
    assert cli("doctor", newer.tracking_uri).code == 0
    assert tree(newer.database_path.parent) == before


def test_a_backup_of_it_is_whole_and_restored(newer, next_target, tmp_path):
    repository = tmp_path / "backups"
    assert mlporter.backup(newer.tracking_uri, str(repository)).exit_code == ExitCode.OK
    latest = f"{repository}/@latest"
    assert mlporter.verify(latest, against=newer.tracking_uri).exit_code == ExitCode.OK
    root = str(tmp_path / "root")
    assert mlporter.import_(latest, next_target, artifact_root=root).exit_code == ExitCode.OK
    assert mlporter.diff(latest, next_target).identical


REFUSED = {
    rename_column: "there is no column runs.user_id (there is owner_id, which is new)",
    change_meaning: "column runs.end_time is a text, and was a number",
}


@pytest.mark.parametrize(("change", "said"), REFUSED.items())
def test_what_was_renamed_or_means_something_else_is_refused_by_name(change, said, mlflow_sqlite):
    url = sqlite_url(mlflow_sqlite)
    change(url)
    with pytest.raises(RevisionError) as refused:
        mlporter.inspect(url)
    assert refused.value.exit_code == ExitCode.REFUSED
    assert refused.value.reasons == (said,)
    assert NEXT in refused.value.message


def test_what_is_not_carried_may_be_lacking(mlflow_sqlite):
    url = sqlite_url(mlflow_sqlite)
    make_next(url)
    execute(url, "DROP TABLE scheduler_leases", "ALTER TABLE jobs DROP COLUMN progress")
    assert mlporter.inspect(url).revision == NEXT


# --- Into the same newer schema -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["database", "bundle"])
def test_into_the_same_revision_all_is_carried(kind, newer, newer_bundle, next_target, tmp_path):
    root = tmp_path / "root"
    source = newer.tracking_uri if kind == "database" else str(newer_bundle)
    carry = mlporter.copy if kind == "database" else mlporter.import_
    result = carry(source, next_target, artifact_root=str(root))
    assert result.exit_code == ExitCode.OK, result.left_out
    assert mlporter.diff(source, next_target).identical
    assert (root / FILE).read_text() == "seen\n"
    found = rows(next_target, "SELECT evidence FROM reviews")
    assert found == [(str((root / FILE).parent),)]
    assert rows(next_target, "SELECT max(length(name)) FROM runs") == [(LONGER - 1,)]
    again = carry(source, next_target, artifact_root=str(root))
    assert (again.exit_code, again.rows) == (ExitCode.OK, 0)


def test_into_a_target_in_use_references_follow_foreign_keys(newer_bundle, next_target, tmp_path):
    columns = "name, artifact_location, lifecycle_stage, workspace"
    values = ", ".join(f"('taken {n}', '/nowhere', 'active', 'default')" for n in range(3))
    execute(next_target, f"INSERT INTO experiments ({columns}) VALUES {values}")
    result = mlporter.import_(str(newer_bundle), next_target, artifact_root=str(tmp_path / "root"))
    assert result.exit_code == ExitCode.OK, result.left_out
    joined = (
        "SELECT e.name FROM reviews r JOIN experiments e ON e.experiment_id = r.of_experiment"
        " JOIN runs u ON u.run_uuid = r.run_uuid AND u.experiment_id = r.of_experiment"
    )
    assert rows(next_target, joined) == [("plain",)]
    (note,) = (note for note in result.notes if "nobody knows which do" in note)
    assert "reviews.verdict" in note
    assert "reviews.run_uuid" not in note
    assert (tmp_path / "root" / FILE).exists()


def test_another_row_under_the_same_key_refuses_everything(newer_bundle, next_target, tmp_path):
    root = str(tmp_path / "root")
    mlporter.import_(str(newer_bundle), next_target, artifact_root=root)
    execute(next_target, "UPDATE reviews SET verdict = 'bad'")
    before = row_counts(next_target)
    with pytest.raises(RefusedError) as refused:
        mlporter.import_(str(newer_bundle), next_target, artifact_root=root)
    assert "r-1" in str(refused.value.reasons)
    assert row_counts(next_target) == before


def test_sync_leaves_another_row_under_the_same_key_and_says_so(
    newer_bundle, newer, next_target, tmp_path
):
    root = str(tmp_path / "root")
    mlporter.import_(str(newer_bundle), next_target, artifact_root=root)
    execute(
        next_target,
        "UPDATE reviews SET verdict = 'bad'",
        "DELETE FROM review_comments WHERE place = 2",
    )
    result = mlporter.sync(newer.tracking_uri, next_target, artifact_root=root)
    assert result.exit_code == ExitCode.INCOMPLETE
    (item,) = (item for item in result.left_out.first if not item.expected)
    assert (item.kind, item.id, item.reason) == ("reviews", "r-1", "conflict")
    assert rows(next_target, "SELECT verdict FROM reviews") == [("bad",)]
    assert rows(next_target, "SELECT count(*) FROM review_comments") == [(2,)]


def test_between_two_unknown_revisions_nothing_goes(newer_bundle, mlflow_sqlite, tmp_path):
    url = sqlite_url(mlflow_sqlite)
    make_next(url, AFTER_NEXT)
    with pytest.raises(RevisionError, match=AFTER_NEXT):
        mlporter.import_(str(newer_bundle), url, artifact_root=str(tmp_path / "root"))


# --- Into an older schema, and from one -----------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
def test_what_an_older_target_cannot_hold_is_named_and_refused(
    there, newer, mlflow_sqlite, tmp_path
):
    url = sqlite_url(mlflow_sqlite if there else tmp_path / "new.db")
    before = tree(tmp_path)
    for dry_run in (True, False):
        with pytest.raises(RefusedError) as refused:
            mlporter.copy(newer.tracking_uri, url, artifacts="none", dry_run=dry_run)
        assert {reason.partition(":")[0] for reason in refused.value.reasons} == UNHELD
        assert "--drop-unknown" in refused.value.hint
        assert "pip install" in refused.value.hint
    assert tree(tmp_path) == before


def test_what_an_older_target_cannot_hold_is_left_out_if_asked_for(newer_bundle, tmp_path, cli):
    url, root = sqlite_url(tmp_path / "new.db"), tmp_path / "root"
    words = ("import", str(newer_bundle), url, "--artifact-root", str(root), "--drop-unknown")
    planned = cli(*words, "--dry-run", "--json")
    done = cli(*words, "--json")
    for result in (planned, done):
        assert result.code == ExitCode.INCOMPLETE, result.err
        left = [item for item in result.json["left_out"]["first"] if not item["expected"]]
        named = {f"{i['kind']} {i['id']}" + (f".{i['path']}" if i["path"] else "") for i in left}
        assert named == UNHELD
    assert rows(url, "SELECT version_num FROM alembic_version") == [(installed_head(),)]
    assert not (root / "other").exists()


def test_what_says_nothing_new_goes_into_an_older_target(plain_sqlite, tmp_path):
    make_next(plain_sqlite.tracking_uri)
    execute(plain_sqlite.tracking_uri, "ALTER TABLE experiments DROP COLUMN visibility")
    url = sqlite_url(tmp_path / "new.db")
    result = mlporter.copy(plain_sqlite.tracking_uri, url, artifacts="reference")
    assert result.exit_code == ExitCode.OK, result.left_out
    assert mlporter.diff(plain_sqlite.tracking_uri, url, artifacts="none").identical


def test_an_older_source_never_goes_straight_into_a_newer_schema(
    plain_sqlite, next_target, tmp_path
):
    before = row_counts(next_target)
    for dry_run in (True, False):
        with pytest.raises(RevisionError, match="newer than the source's") as refused:
            mlporter.copy(plain_sqlite.tracking_uri, next_target, artifacts="none", dry_run=dry_run)
        assert refused.value.exit_code == ExitCode.REFUSED
    assert row_counts(next_target) == before


# --- A part of it ---------------------------------------------------------------------------------


def test_what_hangs_on_a_selected_run_comes_and_the_rest_is_named(newer, tmp_path):
    reviewed, other = (
        run
        for (run,) in rows(
            newer.tracking_uri,
            "SELECT run_uuid FROM runs ORDER BY (run_uuid IN (SELECT run_uuid FROM reviews)) DESC"
            " LIMIT 2",
        )
    )
    for run, count in ((reviewed, 1), (other, 0)):
        bundle = str(tmp_path / run)
        result = mlporter.export(newer.tracking_uri, bundle, selection={"runs": [run]})
        assert result.exit_code == ExitCode.INCOMPLETE
        left = [item.id for item in result.left_out.first if not item.expected]
        assert left == ["review_comments"]
        with mlporter.open(bundle) as registry:
            assert registry.count("reviews") == count
            kinds = registry.read("artifacts").read_all()["owner_kind"].to_pylist()
        assert kinds.count("other") == count


def test_files_that_lie_in_no_artifact_root_are_named(newer, tmp_path):
    registry = tmp_path / "copy.db"
    shutil.copy(newer.database_path, registry)
    url = sqlite_url(registry)
    execute(url, "UPDATE reviews SET evidence = 's3://elsewhere/proof'")
    result = mlporter.export(url, str(tmp_path / "bundle"))
    assert result.exit_code == ExitCode.INCOMPLETE
    (item,) = (item for item in result.left_out.first if not item.expected)
    assert (item.id, item.path, item.reason) == ("reviews", "evidence", "outside")


# --- Other engines --------------------------------------------------------------------------------

ENGINES = pytest.mark.parametrize("target_url", ["postgresql", "mysql"], indirect=True)


@ENGINES
def test_on_other_engines_it_is_the_same(target_url, newer_bundle, tmp_path):
    make_next(target_url)
    root = tmp_path / "root"
    result = mlporter.import_(str(newer_bundle), target_url, artifact_root=str(root))
    assert result.exit_code == ExitCode.OK, result.left_out
    assert mlporter.diff(str(newer_bundle), target_url).identical
    assert (root / FILE).exists()
    assert rows(target_url, "SELECT max(length(name)) FROM runs") == [(LONGER - 1,)]
    result = mlporter.export(target_url, str(tmp_path / "back"))
    assert result.exit_code == ExitCode.OK, result.left_out
    assert len([note for note in result.notes if NEXT in note]) == 1
    tables = load_manifest(tmp_path / "back").tables
    assert {t for t, entry in tables.items() if entry.kind == "newer"} == set(NEW_TABLES)
    again, first = tables["reviews"], load_manifest(newer_bundle).tables["reviews"]
    assert set(again.references) == set(first.references)
    assert (again.key, again.places) == (first.key, first.places)

    # The same row may be there; another one under its key refuses everything.
    again = mlporter.import_(str(newer_bundle), target_url, artifact_root=str(root))
    assert (again.exit_code, again.rows) == (ExitCode.OK, 0)
    execute(target_url, "UPDATE reviews SET verdict = 'bad'")
    before = row_counts(target_url)
    with pytest.raises(RefusedError) as refused:
        mlporter.import_(str(newer_bundle), target_url, artifact_root=str(root))
    assert "r-1" in str(refused.value.reasons)
    assert row_counts(target_url) == before

    # What an older schema cannot hold is named.
    new = sqlite_url(tmp_path / "new.db")
    with pytest.raises(RefusedError) as refused:
        mlporter.copy(target_url, new, artifacts="none")
    assert {reason.partition(":")[0] for reason in refused.value.reasons} == UNHELD


@ENGINES
def test_on_other_engines_an_older_schema_holds_none_of_it(target_url, newer, tmp_path):
    source, before = sqlite_url(tmp_path / "source.db"), row_counts(target_url)
    shutil.copy(newer.database_path, tmp_path / "source.db")
    for options, said in (({}, UNHELD), ({"drop_unknown": True}, {"name has 999 characters"})):
        with pytest.raises(RefusedError) as refused:
            mlporter.copy(source, target_url, artifacts="none", **options)
        assert all(name in str(refused.value.reasons) for name in said)
        assert row_counts(target_url) == before
    execute(source, "UPDATE runs SET name = 'short'")
    result = mlporter.copy(source, target_url, artifacts="none", drop_unknown=True)
    assert result.exit_code == ExitCode.INCOMPLETE
    left = [item for item in result.left_out.first if not item.expected]
    assert {f"{i.kind} {i.id}" + (f".{i.path}" if i.path else "") for i in left} == UNHELD
    count = "SELECT count(*) FROM runs"
    assert rows(target_url, count) == rows(source, count)


@ENGINES
@pytest.mark.parametrize(("change", "said"), REFUSED.items())
def test_on_other_engines_what_is_missing_is_refused_by_name(change, said, target_url):
    change(target_url)
    with pytest.raises(RevisionError) as refused:
        mlporter.inspect(target_url)
    assert refused.value.reasons == (said,)
