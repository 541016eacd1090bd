import io
from threading import Event

from rich.console import Console

from mlporter.cli.terminal.progress import TerminalProgress
from mlporter.progress import PHASES


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def terminal():
    return Console(
        file=io.StringIO(), force_terminal=True, width=80, height=24, color_system=None, _environ={}
    )


def test_nothing_is_drawn_before_the_delay():
    console = terminal()
    progress = TerminalProgress(console, delay=3600)

    progress("reading metrics", 10, 100)
    progress.close()

    assert console.file.getvalue() == ""


def test_it_is_drawn_after_the_delay_even_if_nothing_is_told():
    console, drawn = terminal(), Event()
    console.file.write = lambda text, write=console.file.write: drawn.set() or write(text)

    progress = TerminalProgress(console, delay=0)
    progress("reading metrics", 10, 100)

    assert drawn.wait(10)
    progress.close()


def test_a_line_tells_step_amount_rate_and_time_left():
    console, clock = terminal(), Clock()
    progress = TerminalProgress(console, delay=3600, clock=clock)
    progress("reading metrics", 0, 100_000)
    progress("copying artifacts", 0, None, "bytes")
    clock.now = 10.0
    progress("reading metrics", 50_000, 100_000)
    progress("copying artifacts", 123_000_000, None, "bytes")

    progress.show()
    progress.close()

    text = console.file.getvalue()
    assert "reading metrics" in text
    assert "50,000 rows" in text
    assert "5,000/s" in text
    assert "00:10" in text
    assert "123.0 MB" in text
    assert "12.3 MB/s" in text


def test_a_phase_has_a_line_above_its_steps_and_ends_those_before():
    console = terminal()
    progress = TerminalProgress(console, delay=3600)
    progress("planning", 2, 5, PHASES)
    progress("looking at runs", 3, None)
    progress("writing", 3, 5, PHASES)
    progress("copying artifacts", 1_000_000, 4_000_000, "bytes")

    progress.show()
    progress.close()

    lines = [line for line in console.file.getvalue().splitlines() if line.strip()]
    assert "writing" in lines[0]
    assert "3 of 5" in lines[0]
    assert "copying artifacts" in lines[1]
    assert "1.0 MB of 4.0 MB" in lines[1]
    assert "looking at runs" not in console.file.getvalue()


def test_there_is_a_line_before_anything_is_told():
    console = terminal()
    progress = TerminalProgress(console, delay=3600)

    progress.show()
    progress.close()

    assert "working" in console.file.getvalue()


def test_a_finished_step_goes_away():
    console = terminal()
    progress = TerminalProgress(console, delay=3600)
    progress("reading metrics", 1, 2)
    progress("reading metrics", 2, 2)
    progress("never begun", 0, 0)

    progress.show()
    progress.close()

    assert "reading metrics" not in console.file.getvalue()


def test_a_step_that_counts_nothing_goes_away_with_the_next():
    console = terminal()
    progress = TerminalProgress(console, delay=3600)
    progress("comparing runs", 0, None)
    progress("comparing scorers", 0, None)

    progress.show()
    progress.close()

    text = console.file.getvalue()
    assert "comparing runs" not in text
    assert "comparing scorers" in text
    assert "0 rows" not in text


def test_nothing_is_drawn_after_the_end():
    console = terminal()
    progress = TerminalProgress(console, delay=3600)
    progress.close()

    progress.show()

    assert console.file.getvalue() == ""


def test_a_step_may_be_named_after_anything():
    console = terminal()
    progress = TerminalProgress(console, delay=3600)
    progress("copying [red]\x1b[2J", 1, 2)

    progress.show()
    progress.close()

    assert "copying [red]\\x1b[2J" in console.file.getvalue()
