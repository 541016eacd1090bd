"""`mlporter apply`: a plan that was looked at, carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.completion import files
from mlporter.cli.options import CONTEXT, epoch_option, explain_option, output_options

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]


@click.command("apply", context_settings=CONTEXT, short_help="Carry out a plan.")
@click.argument("plan", shell_complete=files)
@click.option("-n", "--dry-run", is_flag=True, help="Only check whether the plan still holds.")
@epoch_option
@explain_option
@output_options
def command(session: Session, /, *, plan: str, dry_run: bool) -> int:
    """Carry out PLAN, a file that --plan-out wrote; `mlporter show PLAN` shows it.

    Exactly that is done. If the source or the target has changed, so that something else would be
    done, it is refused (exit code 4), and nothing is written. Gates of a
    promotion are checked again.
    """
    with session.working() as on_progress:
        result = mlporter.apply(plan, dry_run=dry_run, on_progress=on_progress)
    if isinstance(result, mlporter.PromotionResult):
        session.output.promoted(result)
    elif isinstance(result, mlporter.BackupResult):
        session.output.backed_up(result)
    elif isinstance(result, mlporter.ForgetResult):
        session.output.forgot(result)
    else:
        session.output.transferred(result)
    return int(result.exit_code)
