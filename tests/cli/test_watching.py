"""`sync --watch`: a line a round, on and on, until something cannot go on."""

import json

import pytest

from mlporter.cli.watching import pause_after
from mlporter.errors import RefusedError, StateInUseError, UnreachableError
from tests.cli.examples import COMPLETE


class EnoughError(Exception):
    """The test has seen enough rounds."""


@pytest.fixture
def rounds(mlporter, monkeypatch, fake):
    """Run `sync --watch` with a given outcome a round; returns what was said, and the pauses."""

    def run(*outcomes, options=()):
        left, pauses = list(outcomes), []

        def once(*_args, **_options):
            outcome = left.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        def sleep(seconds):
            pauses.append(seconds)
            if not left:
                raise KeyboardInterrupt

        monkeypatch.setattr("mlporter.sync", once)
        monkeypatch.setattr("mlporter.cli.terminal.streams.time.sleep", sleep)
        done = mlporter("sync", "a.db", "sqlite:///b.db", "--watch", "5m", *options)
        return done, pauses

    return run


def test_a_bundle_is_the_base_of_the_first_round_alone(mlporter, monkeypatch, fake, tmp_path):
    """It is remembered then what was sent since."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.yaml").write_text("format: mlporter-bundle\n")
    states = []

    def once(*_args, state, **_options):
        states.append(state)
        if len(states) == 3:
            raise KeyboardInterrupt
        return COMPLETE

    monkeypatch.setattr("mlporter.sync", once)
    monkeypatch.setattr("mlporter.cli.terminal.streams.time.sleep", lambda _: None)
    bundle = str(tmp_path / "bundle")
    mlporter("sync", "a.db", "sqlite:///b.db", "--watch", "5m", "--state", bundle)

    assert states == [bundle, None, None]


def test_a_line_a_round(rounds):
    done, pauses = rounds(COMPLETE, COMPLETE, options=("--json",))

    first, end = json.JSONDecoder().raw_decode(done.out)
    second, _ = json.JSONDecoder().raw_decode(done.out[end:].lstrip())
    assert all("a.db to sqlite:///b.db" in one["round"] for one in (first, second))
    assert first["exit_code"] == second["exit_code"] == 0
    assert pauses == [300, 300]
    assert done.code == 130


@pytest.mark.parametrize("error", [UnreachableError("is away"), StateInUseError("is at work")])
def test_it_goes_on_when_somebody_does_not_answer(rounds, error):
    done, pauses = rounds(error, error, COMPLETE)

    assert done.out.count(error.message) == 2
    assert pauses[0] >= 300
    assert pauses[2] == 300
    assert done.code == 130


def test_it_ends_with_what_does_not_go_away(rounds):
    done, pauses = rounds(COMPLETE, RefusedError("would delete more"))

    assert done.code == 4
    assert len(pauses) == 1


def test_pauses_grow_while_rounds_fail_and_end_somewhere():
    assert pause_after(0, 5) == 5
    assert all(5 <= pause_after(failed, 5) <= 3605 for failed in range(1, 2000))
    assert pause_after(1, 5) <= 10
    assert pause_after(4, 5) >= 40
    assert pause_after(100, 7200) <= 7200 * 2
