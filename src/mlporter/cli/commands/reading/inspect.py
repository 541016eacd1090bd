"""`mlporter inspect`: what a place holds, counted."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

import mlporter
from mlporter.cli.completion import experiments, places
from mlporter.cli.options import (
    CONTEXT,
    allow_root_option,
    auth_option,
    epoch_option,
    explain_option,
    html_option,
    output_options,
    registry_option,
    retry_time_option,
    source_env_option,
)
from mlporter.errors import ExitCode

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]


@click.command("inspect", context_settings=CONTEXT, short_help="What is in a place, counted.")
@click.argument("address", shell_complete=places)
@click.option(
    "--experiment",
    metavar="NAME",
    shell_complete=experiments,
    help="Look into the experiments of this name or glob.",
)
@click.option("--run", metavar="ID", help="Look into this run: params, metrics, tags, files.")
@source_env_option("ADDRESS")
@registry_option
@allow_root_option
@auth_option
@html_option
@retry_time_option
@epoch_option
@explain_option
@output_options
def command(
    session: Session,
    /,
    *,
    address: str,
    experiment: str | None,
    run: str | None,
    auth: str | None,
    registry: str | None,
    allow_root: tuple[str, ...],
    html: str | None,
    **options: Any,
) -> int:
    """Show what ADDRESS holds: experiments and their runs, models and their versions.

    -v adds the rows of every table. --experiment and --run show what is in that one.
    """
    if experiment is not None and run is not None:
        raise click.UsageError("--experiment and --run exclude each other.")
    if html is not None and (experiment or run):
        raise click.UsageError("--html reports on the whole place, not on one experiment or run.")
    output = session.output
    with session.working() as on_progress:
        options["on_progress"] = on_progress
        if experiment is not None:
            show = partial(
                output.experiment, mlporter.inspect_experiment(address, experiment, **options)
            )
        elif run is not None:
            options |= {"registry": registry, "allow_root": allow_root}
            show = partial(output.one_run, mlporter.inspect_run(address, run, **options))
        else:
            options |= {"registry": registry, "allow_root": allow_root, "auth": auth}
            options["html"] = html
            show = partial(output.counted, mlporter.inspect(address, **options))
    show()
    return ExitCode.OK
