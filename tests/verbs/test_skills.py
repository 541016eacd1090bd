"""Skills and issues of MLflow 3.18, with MLflow itself as the judge."""

from __future__ import annotations

import shutil
from pathlib import Path

import mlflow
import pyarrow.parquet as pq
import pytest

import mlporter
from tests.support.databases import rows
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.rich_skills import HAS_SKILLS, ORGANIZATION, SKILL_FILES, SKILL_NAME

pytestmark = pytest.mark.skipif(not HAS_SKILLS, reason="skills came with MLflow 3.18")

CATEGORIES = "SELECT issue_id, category_hash, category FROM issue_categories ORDER BY 1, 2"


def test_a_bundle_holds_the_files_of_skills(rich_bundle):
    files = pq.read_table(rich_bundle / "tables" / "artifacts").to_pylist()
    owned = {(f["owner_id"], f["path"]) for f in files if f["owner_kind"] == "skill_version"}
    owners = (f"default/{SKILL_NAME}/2", f"default/@{ORGANIZATION}/{SKILL_NAME}/2")
    assert owned == {(owner, path) for owner in owners for path in SKILL_FILES}


def test_mlflow_downloads_them_from_the_target(rich_bundle, tmp_path):
    target = sqlite_url(tmp_path / "new.db")
    assert (
        mlporter.import_(str(rich_bundle), target, artifact_root=str(tmp_path / "f")).exit_code == 0
    )
    with mlflow_at(target):
        store = mlflow.tracking._tracking_service.utils._get_store()
        for organization in ("", ORGANIZATION):
            version = store.get_skill_version_by_alias(SKILL_NAME, "stable", organization)
            found = Path(mlflow.artifacts.download_artifacts(version.source.artifact_path))
            assert found.is_relative_to(tmp_path / "f" / "skills")
            for path, content in SKILL_FILES.items():
                assert (found / path).read_text(encoding="utf-8") == content + organization


def test_a_second_copy_changes_nothing(rich_sqlite, tmp_path):
    target = sqlite_url(tmp_path / "new.db")
    root = str(tmp_path / "files")
    mlporter.copy(rich_sqlite.tracking_uri, target, artifact_root=root)
    again = mlporter.copy(rich_sqlite.tracking_uri, target, artifact_root=root)
    assert (again.rows, again.files.stored_files) == (0, 0)
    assert mlporter.diff(rich_sqlite.tracking_uri, target).identical


def test_skills_alone_are_selected(rich_sqlite, tmp_path):
    only = mlporter.Selection(only=("skills",))
    mlporter.export(rich_sqlite.tracking_uri, str(tmp_path / "part"), selection=only)
    target = sqlite_url(tmp_path / "new.db")
    mlporter.import_(str(tmp_path / "part"), target, artifact_root=str(tmp_path / "files"))
    assert rows(target, "SELECT count(*) FROM skill_versions") == [(6,)]
    assert rows(target, "SELECT count(*) FROM runs") == [(0,)]
    assert len(list((tmp_path / "files" / "skills").rglob("SKILL.md"))) == 2


def test_mlflow_finds_issues_by_their_categories(rich_bundle, rich_sqlite_template, tmp_path):
    target = sqlite_url(tmp_path / "new.db")
    mlporter.import_(str(rich_bundle), target, artifact_root=str(tmp_path / "files"))
    assert rows(target, CATEGORIES) == rows(rich_sqlite_template.tracking_uri, CATEGORIES)
    with mlflow_at(target):
        found = mlflow.tracking._tracking_service.utils._get_store().search_issues(
            categories=["TONE"]
        )
    assert [issue.issue_id for issue in found] == [rich_sqlite_template.rest.issue_ids[0]]


def test_categories_follow_what_is_updated_and_removed(rich_sqlite, tmp_path):
    source, target = rich_sqlite.tracking_uri, sqlite_url(tmp_path / "new.db")
    root = str(tmp_path / "files")
    mlporter.sync(source, target, artifact_root=root)
    with mlflow_at(source):
        store = mlflow.tracking._tracking_service.utils._get_store()
        store.update_issue(rich_sqlite.rest.issue_ids[0], categories=["Cost ", "cost", "new"])
    mlporter.sync(source, target, artifact_root=root)
    assert rows(target, CATEGORIES) == rows(source, CATEGORIES)
    assert len(rows(target, CATEGORIES)) == 2


def test_a_database_of_317_becomes_what_mlflow_makes_of_it(tmp_path):
    from tests.support.old_schemas import fill, make_schema, upgrade  # noqa: PLC0415

    old, newer = tmp_path / "old.db", tmp_path / "upgraded.db"
    make_schema(sqlite_url(old), "dc11669786a5")
    fill(sqlite_url(old))
    shutil.copy(old, newer)
    upgrade(sqlite_url(newer))
    target = sqlite_url(tmp_path / "new.db")
    mlporter.copy(sqlite_url(old), target, artifacts="reference")
    for query in (CATEGORIES, "SELECT * FROM issues ORDER BY 1"):
        assert rows(target, query) == rows(sqlite_url(newer), query)
        assert rows(target, query)
