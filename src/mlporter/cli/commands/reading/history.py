"""`mlporter history`: the promotions of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.completion import models
from mlporter.cli.options import (
    CONTEXT,
    epoch_option,
    output_options,
    retry_time_option,
    source_env_option,
)

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]


@click.command("history", context_settings=CONTEXT, short_help="Show a model's promotions.")
@click.argument("model", shell_complete=models)
@click.option("--at", "place", metavar="ADDRESS", required=True, help="The registry.")
@source_env_option("ADDRESS")
@retry_time_option
@epoch_option
@output_options
def command(
    session: Session, /, *, model: str, place: str, source_env: str | None, retry_time: float
) -> int:
    """Show the promotions that brought the versions of MODEL (models:/NAME), oldest first.

    When, from where, by whom, how many gates it passed, and the digest of the model's files: the
    SHA-256 of what `sha256sum` prints for them, sorted by path.
    """
    with session.working() as on_progress:
        found = mlporter.history(
            model, place, env=source_env, retry_time=retry_time, on_progress=on_progress
        )
    session.output.promotions(found)
    return 0
