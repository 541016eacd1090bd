"""How much is shown, how wide, and in what colours."""

import io
import os
import pty
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from mlporter.cli.output import ConsoleOutput
from mlporter.cli.render.layout import View
from mlporter.cli.terminal.failures import Failure
from tests.cli.examples import BY_RULE, COMPLETE, IN_STEP, PLAN_RENAMED, incomplete

EXPORT = ("export", "sqlite:///mlflow.db", "backup")


def test_a_transfer_takes_a_dozen_lines(mlporter, fake):
    fake("export", COMPLETE)

    assert len(mlporter(*EXPORT).err.splitlines()) <= 12


def test_verbose_shows_every_table(mlporter, fake, golden):
    fake("export", COMPLETE)

    lines = mlporter(*EXPORT, "-v").err.splitlines(keepends=True)
    assert lines[0].startswith("mlporter.cli.session: took ")
    golden("export-verbose", "".join(lines[1:]))


def test_what_is_left_out_by_design_is_for_those_who_ask(mlporter, fake):
    fake("export", COMPLETE)
    assert "job_locks" not in mlporter(*EXPORT).err
    assert "- table job_locks: transient: True of one" in mlporter(*EXPORT, "--explain").err

    secret = replace(BY_RULE, kind="webhooks", id="notify", reason="hidden")
    fake("export", replace(COMPLETE, left_out=replace(COMPLETE.left_out, first=(secret,))))
    assert "left out on purpose: webhook notify (--explain)" in mlporter(*EXPORT).err


def test_a_long_note_is_cut_to_its_first_words(mlporter, fake):
    note = f"A server sets these fields itself: {', '.join(f'runs.field_{n}' for n in range(20))}."
    fake("export", replace(COMPLETE, notes=(note,)))

    assert "note: A server sets these fields itself (--explain)\n" in mlporter(*EXPORT).err
    assert "runs.field_19." in mlporter(*EXPORT, "--explain").err


def test_no_table_hides_what_failed(mlporter, fake):
    result = incomplete(1)
    tables = (*result.tables, replace(result.tables[0], table="params", copied=5, failed=3))
    fake("export", replace(result, tables=tables))

    assert "  params       5              1       3\n" in mlporter(*EXPORT).err


def test_more_is_named_to_those_who_ask(mlporter, fake):
    fake("copy", PLAN_RENAMED)
    command = ("copy", "sqlite:///dev.db", "sqlite:///prod.db", "-n")

    assert "…and 1,996 more" in mlporter(*command).out
    assert "…and 1,924 more" in mlporter(*command, "-v").out


def test_times_of_actions(mlporter, fake):
    fake("sync", IN_STEP)
    command = ("sync", "sqlite:///dev.db", "sqlite:///prod.db")

    assert "2023-11-14T22:13:20Z" in mlporter(*command).err
    assert "1700000000000" in mlporter(*command, "--epoch").err


@pytest.mark.parametrize("width", [50, 100])
def test_the_width_that_is_asked_for(mlporter, fake, width):
    fake("export", incomplete(3))

    lines = mlporter(*EXPORT, "--width", width).err.splitlines()

    texts = [line for line in lines if not line.startswith("  …")]
    assert width - 15 < max(map(len, texts)) <= width
    assert mlporter(*EXPORT, "--width", 10).code == 2


def test_errors_wrap_between_words(mlporter):
    words = "mlporter: error: " + "one two " * 20
    failure = Failure("UsageError", "one two " * 20, hint="three four " * 20)
    out = io.StringIO()
    console = Console(file=out, width=60)
    output = ConsoleOutput(console, console, view=View(width=60))

    output.failed(failure)

    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 60
    assert (
        " ".join(out.getvalue().split()) == f"{words.strip()} hint: {('three four ' * 20).strip()}"
    )
    assert {line.strip().split()[0] for line in lines} <= {"mlporter:", "hint:", "one", "two",
                                                            "three", "four"}  # fmt: skip


def on_terminal(*argv: str, **environment: str) -> str:
    """What a command prints on a terminal of its own."""
    main, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlporter", *argv],
        stdin=other,
        stdout=other,
        stderr=other,
        env={**os.environ, "TERM": "xterm", **environment},
    )
    os.close(other)
    said = b""
    try:
        while chunk := os.read(main, 1 << 16):
            said += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    process.wait()
    os.close(main)
    return said.decode()


def test_colours_are_for_terminals_without_no_color():
    assert "\x1b[" in on_terminal("exprot", NO_COLOR="")
    assert "\x1b[" not in on_terminal("exprot", NO_COLOR="1")
    assert "did you mean" in on_terminal("exprot", NO_COLOR="1")
