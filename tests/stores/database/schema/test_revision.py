from __future__ import annotations

import pytest

from mlporter.catalogue import HEAD_REVISION
from mlporter.catalogue.revisions import REVISIONS
from mlporter.errors import RevisionError
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.schema.revision import check_needed, check_revision
from mlporter.stores.database.schema.scripts import installed_head

ADDRESS = parse_address("sqlite:///mlflow.db")


@pytest.mark.parametrize("revision", {HEAD_REVISION, installed_head()})
def test_the_newest_revisions_pass(revision):
    check_revision(revision, ADDRESS)


HEAD = [revision for revision, _ in REVISIONS].index(HEAD_REVISION)


@pytest.mark.parametrize("revision", [revision for revision, _ in REVISIONS[:HEAD]])
def test_every_older_revision_is_a_source(revision):
    check_revision(revision, ADDRESS, older=True)


@pytest.mark.parametrize(
    ("revision", "release"), [r for r in REVISIONS[:HEAD] if r[0] != installed_head()]
)
def test_every_older_revision_is_refused_as_a_target_with_the_command(revision, release):
    with pytest.raises(RevisionError) as caught:
        check_revision(revision, ADDRESS)
    assert f"{revision} (MLflow {release})" in str(caught.value)
    assert caught.value.hint.endswith("mlflow db upgrade sqlite:///mlflow.db")


@pytest.mark.parametrize(
    "revision", [*(revision for revision, _ in REVISIONS[HEAD + 1 :]), "ffffffffffff", "", "None"]
)
def test_a_newer_revision_passes_if_all_is_there_that_is_needed(revision):
    check_revision(revision, ADDRESS, older=True)
    check_needed(revision, (), ADDRESS)
    with pytest.raises(RevisionError) as caught:
        check_needed(revision, ("there is no column runs.user_id",), ADDRESS)
    assert "pip install --upgrade" in caught.value.hint
    assert caught.value.reasons == ("there is no column runs.user_id",)


def test_another_program_s_revision_does_not_pass():
    with pytest.raises(RevisionError, match="ffffffffffff"):
        check_revision("ffffffffffff", ADDRESS, ("runs", "dag", "dag_run"), older=True)
