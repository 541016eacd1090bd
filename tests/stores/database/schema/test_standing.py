from __future__ import annotations

import pytest

from mlporter.catalogue import HEAD_REVISION
from mlporter.errors import ExitCode, RevisionError, UnsupportedError
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.schema.scripts import Scripts
from mlporter.stores.database.schema.standing import (
    Standing,
    check_standing,
    how_to_hold,
    revision_to_make,
    standing_of,
)

ADDRESS = parse_address("sqlite:///mlflow.db")
OLD, HEAD, NEXT, LATER = "0584bdc529eb", HEAD_REVISION, "0ae1b2c3d4f5", "1ae1b2c3d4f5"
TODAY = Scripts((OLD, HEAD))
TOMORROW = Scripts((OLD, HEAD, NEXT))


@pytest.mark.parametrize(
    ("target", "source", "scripts", "standing"),
    [
        (HEAD, HEAD, TODAY, Standing.SAME),
        (NEXT, NEXT, TODAY, Standing.SAME),
        (OLD, HEAD, TODAY, Standing.OLDER),
        (HEAD, NEXT, TODAY, Standing.OLDER),
        (HEAD, NEXT, TOMORROW, Standing.OLDER),
        (HEAD, OLD, TODAY, Standing.NEWER),
        (NEXT, HEAD, TODAY, Standing.NEWER),
        (NEXT, HEAD, TOMORROW, Standing.NEWER),
        (NEXT, LATER, TOMORROW, Standing.OLDER),
        (NEXT, LATER, TODAY, Standing.UNRELATED),
    ],
)
def test_how_a_target_stands_to_a_source(target, source, scripts, standing):
    assert standing_of(target, source, scripts) is standing
    if standing in {Standing.SAME, Standing.OLDER}:
        check_standing(target, source, scripts, ADDRESS)
        return
    with pytest.raises(RevisionError) as refused:
        check_standing(target, source, scripts, ADDRESS)
    assert refused.value.exit_code == ExitCode.REFUSED
    assert refused.value.hint


@pytest.mark.parametrize(
    ("source", "scripts", "made"),
    [
        (HEAD, TODAY, HEAD),
        (HEAD, TOMORROW, HEAD),
        (OLD, TOMORROW, OLD),
        (NEXT, TOMORROW, NEXT),
        (NEXT, TODAY, HEAD),
    ],
)
def test_a_target_is_made_at_the_source_s_revision_where_mlflow_knows_it(source, scripts, made):
    assert revision_to_make(source, scripts, ADDRESS) == made


def test_without_mlflow_nothing_is_made():
    with pytest.raises(UnsupportedError, match="not installed"):
        revision_to_make(HEAD, Scripts(), ADDRESS)


def test_what_holds_more_is_said():
    assert "pip install --upgrade mlflow" in how_to_hold(NEXT, TODAY, ADDRESS)
    assert "mlflow db upgrade" in how_to_hold(NEXT, TOMORROW, ADDRESS)
    assert "mlflow>=2.18.0" in how_to_hold(OLD, Scripts(("97727af70f4d",)), ADDRESS)
