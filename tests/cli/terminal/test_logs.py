import io
import json
import logging
import re
import warnings
from datetime import datetime

import pytest
from rich.console import Console

from mlporter.cli.terminal.logs import logging_to
from mlporter.progress import PHASES, ProgressEvents, log_progress

ours, theirs = logging.getLogger("mlporter.bundle"), logging.getLogger("somebody.else")


def said(log_file=None, **options):
    """What comes through of everything that is said."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    with logging_to(console, log_file, **options):
        ours.debug("ours-debug")
        ours.info("ours-info")
        ours.warning("ours-warning postgresql://me:geheim@host/db")
        ours.error("ours-error")
        theirs.debug("theirs-debug")
        theirs.info("theirs-info")
        theirs.warning("theirs-warning")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("warned-of", UserWarning, stacklevel=1)
    return console.file.getvalue()


def words(text):
    """The words with a hyphen in it: what was said, without names, places and quotes of code."""
    return set(re.findall(r"\b(?:ours|theirs|warned)-\w+", text))


def test_people_see_our_warnings_only():
    assert words(said()) == {"ours-warning", "ours-error"}


def test_quiet():
    assert words(said(quiet=True)) == {"ours-error"}


def test_verbose():
    assert words(said(verbose=1)) == {
        "ours-info",
        "ours-warning",
        "ours-error",
        "theirs-warning",
        "warned-of",
    }


def test_more_verbose():
    assert words(said(verbose=5)) >= {"ours-debug", "theirs-debug"}


def test_a_file_gets_ours_from_debug_and_theirs_from_info_on(tmp_path):
    said(tmp_path / "log.txt")
    said(tmp_path / "log.txt")

    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert sum("ours-debug" in line for line in lines) == 2
    assert any("warned-of" in line for line in lines)
    assert not any("theirs-debug" in line or "geheim" in line for line in lines)


def test_a_file_of_objects_has_the_event_of_each_step(tmp_path):
    console = Console(file=io.StringIO(), width=80, color_system=None)
    with logging_to(console, tmp_path / "log.jsonl", verbose=1, how="json"):
        events = ProgressEvents(log_progress)
        events("writing", 1, 2, PHASES)
        events("writing runs", 24, 24)
        ours.warning("ours-warning postgresql://me:geheim@host/db")
        ours.error("failed", exc_info=ValueError("geheim:geheim@host"))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    shown = [json.loads(line) for line in console.file.getvalue().splitlines()]
    assert [line["message"] for line in shown[:2]] == [line["message"] for line in lines[:2]]
    assert lines[0]["message"] == "phase 1 of 2: writing"
    assert lines[1]["logger"] == "mlporter.progress"
    assert lines[1]["message"].startswith("writing runs: 24 rows in ")
    assert (lines[1]["progress"]["step"], lines[1]["progress"]["done"]) == ("writing runs", 24)
    assert datetime.fromisoformat(lines[0]["time"].replace("Z", "+00:00")).tzinfo is not None
    assert "geheim" not in lines[2]["message"]
    assert "ValueError" in lines[3]["traceback"]


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_what_makes_databases_says_nothing_below_a_warning(tmp_path, verbose, monkeypatch):
    noisy = logging.getLogger("alembic.runtime.migration")
    for logger in (noisy, logging.getLogger("alembic.runtime"), logging.getLogger("alembic")):
        monkeypatch.setattr(logger, "disabled", False)
        monkeypatch.setattr(logger, "propagate", True)
        monkeypatch.setattr(logger, "level", logging.INFO)
    console = Console(file=io.StringIO(), width=80, color_system=None)
    with logging_to(console, tmp_path / "log.txt", verbose=verbose):
        noisy.info("Running upgrade")
        noisy.error("alembic-error")
    said = console.file.getvalue() + (tmp_path / "log.txt").read_text()
    assert "Running upgrade" not in said
    assert "alembic-error" in said


def test_passwords_are_hidden():
    assert "geheim" not in said()


def test_logging_is_left_as_it_was():
    root = logging.getLogger()
    before = root.level, list(root.handlers), warnings.showwarning

    said()

    assert (root.level, list(root.handlers), warnings.showwarning) == before
