"""Where the files of versions of skills lie, and whose they are."""

from __future__ import annotations

from contextlib import closing

import pytest

from mlporter.catalogue.tables.own import owner_key, skill_owner_id
from mlporter.stores.database.scratch_registry import ScratchRegistry
from mlporter.stores.rows.skill_places import skill_places

TOKEN = "a" * 32
RUN = {"run_uuid": "b" * 32, "artifact_uri": "mlflow-artifacts:/1/b/artifacts"}


def version(number, source, **other):
    kind = other.pop("source_type", "mlflow")
    own = {"workspace": "default", "organization": "", "name": "review", "status": "active"}
    return {**own, "version": number, "source": source, "source_type": kind, **other}


@pytest.fixture
def registry():
    with closing(ScratchRegistry("scratch")) as scratch:
        scratch.append_rows("runs", [RUN])
        yield scratch


def test_only_uploaded_files_are_a_skill_s_own(registry):
    rows = [
        version(1, f"mlflow-artifacts:/skills/review/{TOKEN}"),
        version(2, "https://example.com/skills.git", source_type="git"),
        version(3, RUN["artifact_uri"] + "/skills", subpath="review"),  # the run's
        version(4, "runs:/abc/skill"),
        version(5, "s3://bucket/elsewhere", status="deleted"),
    ]
    registry.append_rows("skill_versions", rows)
    found = skill_places(registry.reader)
    assert {owner: place.folder for owner, place in found.items()} == {
        "default/review/1": TOKEN,
        "default/review/5": "5",
    }
    assert found["default/review/5"].is_deleted


def test_behind_a_proxy_a_workspace_has_a_folder(registry):
    source = f"mlflow-artifacts:/skills/@acme/review/{TOKEN}"
    registry.append_rows(
        "skill_versions", [version(1, source, workspace="team", organization="acme")]
    )
    (place,) = skill_places(registry.reader).values()
    assert place.owner == "team/@acme/review/1"
    assert place.uri == f"mlflow-artifacts:/workspaces/team/skills/@acme/review/{TOKEN}"


@pytest.mark.parametrize("key", [("w", "", "a", "1"), ("w", "acme", "a", "12")])
def test_an_owner_s_id_is_its_key(key):
    assert owner_key("skill_version", skill_owner_id(*key)) == key
