import signal
import sqlite3
import threading
from pathlib import Path

import pytest

import mlporter as api
from mlporter import stopping
from mlporter.cli.terminal.signals import Terminated, stopping_on_signals
from mlporter.errors import UnreachableError

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def interrupting(monkeypatch, name, number, *, step):
    """Let the real function be interrupted when it first tells of such a step."""
    real = getattr(api, name)

    def interrupted(*args, on_progress, **options):
        def tell(told, done, total, unit="rows"):
            if step in told:
                signal.raise_signal(number)

        return real(*args, on_progress=tell, **options)

    monkeypatch.setattr(api, name, interrupted, raising=False)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_an_interrupted_export_can_be_resumed(mlporter, monkeypatch, plain_sqlite, number, code):
    with monkeypatch.context() as patch:
        interrupting(patch, "export", number, step="artifacts")
        finished = mlporter("export", plain_sqlite.tracking_uri, "backup")

    assert finished.code == code
    assert finished.err == (
        "mlporter: error: interrupted\nhint: run the same command with --resume to continue\n"
    )
    assert mlporter("verify", "backup").code == 5
    assert mlporter("export", plain_sqlite.tracking_uri, "backup", "--resume").code == 0
    assert mlporter("verify", "backup", "--against", plain_sqlite.tracking_uri).code == 0


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_an_interrupted_import_leaves_nothing(mlporter, monkeypatch, plain_sqlite, number, code):
    assert mlporter("export", plain_sqlite.tracking_uri, "backup").code == 0
    with monkeypatch.context() as patch:
        interrupting(patch, "import_", number, step="artifacts")
        finished = mlporter(
            "import", "backup", "sqlite:///new.db", "--artifact-root", "files", "--json"
        )

    assert finished.code == finished.json["error"]["exit_code"] == code
    assert finished.json["error"]["type"] == "InterruptedByUserError"
    assert not [path for path in Path("files").rglob("*") if path.is_file()]
    if Path("new.db").exists():
        with sqlite3.connect("new.db") as database:
            assert not database.execute("SELECT * FROM runs").fetchall()
        database.close()
    again = mlporter("import", "backup", "sqlite:///new.db", "--artifact-root", "files")
    assert again.code == 0, again.err


def test_a_second_signal_does_not_disturb_the_cleaning_up(capfd):
    cleaned = []

    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)
            cleaned.append(True)

    with pytest.raises(Terminated), stopping_on_signals():
        work()

    assert cleaned
    assert "once more to stop at once" in capfd.readouterr().err


def test_a_third_signal_stops_at_once():
    def work():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            pytest.fail("still going on")

    with pytest.raises(KeyboardInterrupt), stopping_on_signals():
        work()


def test_the_next_command_is_not_stopped_by_the_last_ones_signal():
    """A thread ends what others wait for; it may come late, and must not come into the next."""
    aborted = threading.Event()
    is_next = threading.Event()

    class Slow:
        def abort(self):
            is_next.wait(0.2)
            aborted.set()

    waiting = Slow()
    stopping.when_stopped(waiting)
    with pytest.raises(Terminated), stopping_on_signals():
        signal.raise_signal(signal.SIGTERM)
    is_next.set()

    assert aborted.is_set()
    assert not stopping.is_asked()


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)

    with stopping_on_signals():
        assert signal.getsignal(signal.SIGTERM) is not before

    assert signal.getsignal(signal.SIGTERM) is before


def test_a_driver_that_caught_the_interrupt_is_not_believed(mlporter, monkeypatch):
    """ADBC raises whatever comes of its own try to cancel, from KeyboardInterrupt."""

    def cancelled(*args, **options):
        driver = OSError("NOT_IMPLEMENTED")
        driver.__cause__ = KeyboardInterrupt()
        raise UnreachableError("NOT_IMPLEMENTED", hint="see the log") from driver

    monkeypatch.setattr(api, "export", cancelled, raising=False)

    finished = mlporter("export", "a", "backup")

    assert finished.code == 130
    assert "--resume" in finished.err
