"""Whatever went wrong, as one object: what people read and what ``--json`` prints."""

from __future__ import annotations

import os
import tempfile
import traceback
from dataclasses import asdict, dataclass
from typing import Any

import click

from mlporter.cli.terminal.streams import reader_has_gone
from mlporter.errors import ExitCode, InterruptedByUserError, MlporterError
from mlporter.redaction import redact

__all__ = ["Failure", "as_failure", "short_traceback", "write_crash_report"]

_FRAMES_SHOWN = 6


@dataclass(frozen=True)
class Failure:
    """Why a command ended early.

    Attributes:
        type: The class of the error: ``BundleDamagedError``, ``UsageError``, ….
        message: One sentence, credentials redacted.
        subject: The object it is about, or None.
        hint: What to do next, or None.
        reasons: Where several things are wrong at once, a line for each.
        exit_code: What the process exits with.
    """

    type: str
    message: str
    subject: str | None = None
    hint: str | None = None
    reasons: tuple[str, ...] = ()
    exit_code: int = ExitCode.BUG

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {"error": {**asdict(self), "exit_code": int(self.exit_code)}}


def as_failure(error: BaseException, when_interrupted: str | None = None) -> Failure:
    """Tell people what an exception means.

    Args:
        error: What was raised.
        when_interrupted: The hint of the running command, in case that it was interrupted.
    """
    interrupt = _interrupt_behind(error)
    if interrupt is not None:
        code = getattr(interrupt, "exit_code", ExitCode.SIGINT)
        code = ExitCode.SIGPIPE if reader_has_gone() else code
        name = InterruptedByUserError.__name__
        return Failure(name, "interrupted", hint=when_interrupted, exit_code=code)
    if isinstance(error, MlporterError):
        return _on_purpose(error, when_interrupted)
    if isinstance(error, click.ClickException):
        return _wrong_usage(error)
    message = redact(f"unexpected {type(error).__name__}: {error}".removesuffix(": "))
    return Failure(type(error).__name__, message + "\nThis is a bug in mlporter.")


def _interrupt_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interrupt that an error is, or that it came from.

    ADBC drivers take SIGINT for themselves while they work: they try to cancel, and raise whatever
    comes of it *from* KeyboardInterrupt.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return error
        error = error.__cause__
    return None


def _on_purpose(error: MlporterError, when_interrupted: str | None) -> Failure:
    hint = error.hint
    if hint is None and isinstance(error, InterruptedByUserError):
        hint = when_interrupted
    return Failure(
        type=type(error).__name__,
        message=redact(error.message),
        subject=redact(error.subject) if error.subject else None,
        hint=redact(hint) if hint else None,
        reasons=tuple(redact(reason) for reason in error.reasons),
        exit_code=error.exit_code,
    )


def _wrong_usage(error: click.ClickException) -> Failure:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        message = "a verb is missing"
    else:
        message = redact(error.format_message())
    return Failure(
        type="UsageError",
        message=message,
        hint=f"{context.command_path if context else 'mlporter'} --help",
        exit_code=ExitCode.USAGE,
    )


def short_traceback(error: BaseException) -> str:
    """The innermost frames and the messages of an exception, credentials redacted."""
    lines = traceback.format_exception(error, limit=-_FRAMES_SHOWN)
    return redact("".join(lines)).rstrip()


def write_crash_report(error: BaseException) -> str:
    """Write the whole traceback to a new file that only its owner can read; return its path."""
    handle, path = tempfile.mkstemp(prefix="mlporter-crash-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(redact("".join(traceback.format_exception(error))))
    return path
