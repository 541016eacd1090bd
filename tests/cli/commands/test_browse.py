"""When `browse` opens a browser: only where somebody would see it."""

from __future__ import annotations

import sys

import pytest

from mlporter.cli.commands.browse import _has_screen
from mlporter.errors import ExitCode


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")


@pytest.mark.parametrize(("terminal", "screen"), [(True, True), (True, False), (False, True)])
def test_a_screen_is_a_terminal_and_a_display(terminal, screen, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    if screen:
        monkeypatch.setenv("DISPLAY", ":0")
    assert _has_screen() is (terminal and screen)


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_what_is_no_port(cli, port):
    assert cli("browse", "backup", "--port", port).code == ExitCode.USAGE


def test_a_server_is_refused(cli):
    done = cli("browse", "http://127.0.0.1:9", "--json")
    assert done.code == ExitCode.USAGE
    assert "browser" in done.json["error"]["hint"]
