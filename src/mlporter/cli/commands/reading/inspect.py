"""`mlporter inspect`: what a place holds, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.options import (
    CONTEXT,
    allow_root_option,
    auth_option,
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
@click.argument("address")
@source_env_option("ADDRESS")
@registry_option
@allow_root_option
@auth_option
@html_option
@retry_time_option
@output_options
def command(
    session: Session,
    /,
    *,
    address: str,
    auth: str | None,
    retry_time: float,
    source_env: str | None,
    registry: str | None,
    allow_root: tuple[str, ...],
    html: str | None,
) -> int:
    """Tell what ADDRESS holds.

    Experiments with their runs, models with their versions, stages and aliases, and the rows of
    every table.
    """
    with session.working() as on_progress:
        inventory = mlporter.inspect(
            address,
            auth=auth,
            retry_time=retry_time,
            source_env=source_env,
            registry=registry,
            allow_root=allow_root,
            html=html,
            on_progress=on_progress,
        )
    session.output.counted(inventory)
    return ExitCode.OK
