from tests.cli.examples import CHECKS


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
