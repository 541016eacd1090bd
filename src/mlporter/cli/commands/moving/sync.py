"""`mlporter sync`: a target follows a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import mlporter
from mlporter.cli.options import (
    CONTEXT,
    ROUNDS_STAY,
    epoch_option,
    explain_option,
    output_options,
    said_when_interrupted,
    source_and,
)
from mlporter.cli.selection_options import sync_options, transfer_options, watch_option
from mlporter.cli.watching import watching
from mlporter.errors import ExitCode

if TYPE_CHECKING:
    from mlporter.cli.session import Session
    from mlporter.execute.result import Result
    from mlporter.progress import OnProgress

__all__ = ["command"]


@click.command("sync", context_settings=CONTEXT, short_help="Keep a registry in step with another.")
@source_and("TARGET")
@transfer_options(sync_options)
@watch_option
@epoch_option
@explain_option
@output_options
def command(
    session: Session, /, *, source: str, target: str, watch: float | None, **options: Any
) -> int:
    """Bring TARGET in step with SOURCE: what is new there, what changed, and what moved.

    TARGET is a database or a server. What was last sent is remembered, so that it is known which
    side changed what. An edit at the target stays, and is listed. What changed on both sides stays,
    too: it is a conflict, which is named, and the rest is done (exit code 3).

    Nothing is deleted without --delete. What the source marked as deleted is marked at the target,
    too. A database takes all of it or nothing; a server takes it step by step: run the same command
    again to continue.
    """
    session.when_interrupted = ROUNDS_STAY if watch else said_when_interrupted(target)

    def once(on_progress: OnProgress) -> Result:
        result = mlporter.sync(source, target, **options, on_progress=on_progress)
        if watch is not None and _is_remembered(result, options["state"]):
            options["state"] = None
        return result

    if watch is not None:
        return watching(session, once, watch, said=f"{source} to {target}")
    with session.working() as on_progress:
        result = once(on_progress)
    session.output.transferred(result)
    return result.exit_code


def _is_remembered(result: Result, state: str | None) -> bool:
    """Whether what a bundle said of the base is remembered now: later rounds go on from there."""
    from mlporter.execute.memory import is_snapshot  # noqa: PLC0415 -- numpy, which `--help` needs not

    is_done = not result.dry_run and result.exit_code is not ExitCode.REFUSED
    return is_done and is_snapshot(state)
