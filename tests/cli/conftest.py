"""The command line, run in this process; what it printed; and golden files to hold that against."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import mlporter as api
from tests.support.command_line import command_line

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "MLPORTER_UPDATE_GOLDEN"


@pytest.fixture
def mlporter(capsys, monkeypatch):
    """Run a command line as on a pipe, 80 columns wide: ``mlporter("diff", "a", "b")``."""
    return command_line(capsys, monkeypatch)


@pytest.fixture
def fake(monkeypatch):
    """Let a public function return this, for how it looks; the list gets the calls' arguments."""

    def replace(name, result):
        calls = []
        returned = lambda *args, **options: calls.append((args, options)) or result  # noqa: E731
        monkeypatch.setattr(api, name, returned, raising=False)
        return calls

    return replace


@pytest.fixture
def golden():
    """Hold a text against tests/cli/golden/NAME.txt; MLPORTER_UPDATE_GOLDEN=1 writes it."""

    def check(name, text):
        path = GOLDEN / f"{name}.txt"
        if os.environ.get(UPDATE):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")
        assert max(len(line) for line in text.splitlines()) <= 80 or name.endswith("lines")

    return check
