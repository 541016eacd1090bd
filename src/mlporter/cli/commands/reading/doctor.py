"""`mlporter doctor`: versions, drivers, settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.completion import places
from mlporter.cli.options import (
    CONTEXT,
    output_options,
    retry_time_option,
    source_env_option,
)

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]


@click.command("doctor", context_settings=CONTEXT, short_help="Versions, drivers, settings.")
@click.argument("address", required=False, shell_complete=places)
@source_env_option("ADDRESS")
@retry_time_option
@output_options
def command(
    session: Session, /, *, address: str | None, source_env: str | None, retry_time: float
) -> int:
    """Check what mlporter needs: versions, drivers, settings.

    With ADDRESS, also whether that place can be reached, and which MLflow release it belongs to.
    """
    report = mlporter.doctor(address, retry_time=retry_time, source_env=source_env)
    session.output.checked(report)
    return report.exit_code
