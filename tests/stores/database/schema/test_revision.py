from __future__ import annotations

import pytest

from mlporter.catalogue import HEAD_REVISION
from mlporter.catalogue.revisions import REVISIONS
from mlporter.errors import RevisionError
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.schema.revision import (
    check_revision,
    installed_head,
    installed_mlflow,
)

ADDRESS = parse_address("sqlite:///mlflow.db")


def test_the_installed_head_is_what_alembic_says():
    from pathlib import Path  # noqa: PLC0415 -- beside MLflow, which takes seconds

    import mlflow  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    folder = Path(mlflow.__file__).parent / "store" / "db_migrations"
    assert installed_head() == ScriptDirectory(str(folder)).get_current_head()
    assert installed_mlflow() == mlflow.__version__


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
    ("revision", "release"), [r for r in REVISIONS[HEAD + 1 :] if r[0] != installed_head()]
)
def test_a_known_newer_revision_is_refused_by_the_release_that_made_it(revision, release):
    with pytest.raises(RevisionError) as caught:
        check_revision(revision, ADDRESS, older=True)
    assert f"{revision} (MLflow {release})" in str(caught.value)
    assert "pip install --upgrade" in caught.value.hint


@pytest.mark.parametrize("revision", ["ffffffffffff", "", "None"])
def test_an_unknown_revision_is_taken_for_a_newer_one(revision):
    with pytest.raises(RevisionError, match="not known here") as caught:
        check_revision(revision, ADDRESS, older=True)
    assert "pip install --upgrade" in caught.value.hint
