import sys

import mlporter.verbs.reading.doctor  # noqa: F401 -- `mlporter.doctor` is the function
from tests.cli.examples import CHECKS

doctor = sys.modules["mlporter.verbs.reading.doctor"]


def test_checks_and_hints(mlporter, fake, golden):
    fake("doctor", CHECKS)

    finished = mlporter("doctor")

    assert (finished.code, finished.err) == (0, "")
    golden("doctor", finished.out)


def test_json(mlporter, fake):
    fake("doctor", CHECKS)

    assert mlporter("doctor", "--json").json["checks"][1]["hint"] == "pip install pyarrow"


def test_a_place_that_is_not_there(mlporter):
    finished = mlporter("doctor", "sqlite:///nowhere.db")

    assert finished.code == 6
    assert "!!  sqlite:///nowhere.db" in finished.out


def test_this_installation(mlporter):
    assert mlporter("doctor").code == 0


def test_a_newer_mlflow_than_is_known_is_told_and_no_failure(mlporter, monkeypatch):
    monkeypatch.setattr(doctor, "installed_head", lambda: "ffffffffffff")
    finished = mlporter("doctor")
    assert finished.code == 0
    assert "ffffffffffff, newer than this release knows" in " ".join(finished.out.split())
