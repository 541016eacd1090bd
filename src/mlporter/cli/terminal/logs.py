"""Log lines: what the libraries say goes nowhere, to people who ask (``-v``), or to a file."""

from __future__ import annotations

import json
import logging
import os
import warnings
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from rich.text import Text

from mlporter.cli.render.text import visible
from mlporter.errors import UsageError
from mlporter.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

__all__ = ["LogFormat", "calm_environment", "logging_to"]

_BEGINNING = 4096
_EVERYBODY = 2
"""How many ``-v`` let everybody speak."""
_NOISY = ("alembic", "mlflow.store.db.utils")
_CONSOLE_FORMAT = "%(name)s: %(message)s"
_FILE_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_STYLES = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}
_CALM = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nobody asked for a call home
    "MLFLOW_CONFIGURE_LOGGING": "false",  # or it installs handlers that write to stderr
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def calm_environment() -> None:
    """Keep MLflow, where it is needed at all, from writing to the terminal by itself.

    What the user has set stays. To be called once by the console script: MLflow looks when it is
    imported.
    """
    for name, value in _CALM.items():
        os.environ.setdefault(name, value)


LogFormat = Literal["text", "json"]


class _RedactingFormatter(logging.Formatter):
    """Whatever a library logs, tracebacks included, leaves without passwords."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _JsonFormatter(logging.Formatter):
    """An object a line; steps of the work have their counts and seconds in ``progress``."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        said: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            said["traceback"] = redact(self.formatException(record.exc_info))
        if (progress := getattr(record, "progress", None)) is not None:
            said["progress"] = progress
        return json.dumps(said)


class _ConsoleHandler(logging.Handler):
    """Writes through the console that also draws the progress, so that neither breaks the other."""

    def __init__(self, console: Console, level: int) -> None:
        super().__init__(level)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        lines = (visible(line) for line in self.format(record).split("\n"))
        style = _STYLES.get(record.levelno, "dim")
        self._console.print(Text("\n".join(lines), style=style), soft_wrap=True)


def _of_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == "mlporter"


def _not_chatter(record: logging.LogRecord) -> bool:
    """Steps of libraries (Alembic has many) say nothing to people."""
    return _of_ours(record) or record.levelno >= logging.WARNING


def _no_noise(record: logging.LogRecord) -> bool:
    """What MLflow's databases are made and upgraded with says a line for each of 60 revisions."""
    return record.levelno >= logging.WARNING or not record.name.startswith(_NOISY)


def _console_handler(
    console: Console, verbose: int, how: LogFormat, *, quiet: bool
) -> logging.Handler:
    level = logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[verbose]
    handler = _ConsoleHandler(console, level)
    handler.setFormatter(_formatter(how, _CONSOLE_FORMAT))
    handler.addFilter(_no_noise)
    if verbose < _EVERYBODY:
        handler.addFilter(_of_ours if not verbose else _not_chatter)
    return handler


def _formatter(how: LogFormat, text: str) -> logging.Formatter:
    return _JsonFormatter() if how == "json" else _RedactingFormatter(text)


def _file_handler(path: Path, how: LogFormat) -> logging.Handler:
    try:
        if path.is_file() and _holds_no_text(path):
            raise UsageError(
                "is there, and is no text that a log file could be appended to",
                subject=str(path),
                hint="--log-file names a new file, or an earlier log file",
            )
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(
            f"the log file cannot be written: {error.strerror}", subject=str(path)
        ) from error
    handler.setFormatter(_formatter(how, _FILE_FORMAT))
    handler.addFilter(_no_noise)
    return handler


def _holds_no_text(path: Path) -> bool:
    """Whether a file is a database, say: whatever is appended to it would damage it."""
    with path.open("rb") as file:
        return b"\0" in file.read(_BEGINNING)


@contextmanager
def logging_to(
    console: Console,
    log_file: Path | None,
    *,
    verbose: int = 0,
    quiet: bool = False,
    how: LogFormat = "text",
) -> Iterator[None]:
    """Send log lines where the options say, and leave logging as it was found.

    Args:
        console: For people: ours from WARNING on; with ``-v`` ours from INFO on and everybody's
            from WARNING on; with ``-vv`` everything.
        log_file: Appended to: everybody's lines from INFO on and ours from DEBUG on.
        verbose: How many ``-v``; more than two mean two.
        quiet: Only errors go to the console.
        how: Lines as text, or as JSON objects.

    Raises:
        UsageError: the log file cannot be written, or is something else.
    """
    verbose = min(verbose, 2)
    handlers = [_console_handler(console, verbose, how, quiet=quiet)]
    if log_file is not None:
        handlers.append(_file_handler(log_file, how))
    root, ours = logging.getLogger(), logging.getLogger("mlporter")
    levels = root.level, ours.level
    root.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
    ours.setLevel(logging.DEBUG)
    for handler in handlers:
        root.addHandler(handler)
    with warnings.catch_warnings():  # restores showwarning, which captureWarnings replaces
        logging.captureWarnings(capture=True)
        try:
            yield
        finally:
            logging.captureWarnings(capture=False)
            root.setLevel(levels[0])
            ours.setLevel(levels[1])
            for handler in handlers:
                root.removeHandler(handler)
                handler.close()
