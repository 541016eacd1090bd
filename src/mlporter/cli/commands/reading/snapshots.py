"""`mlporter snapshots`: what a repository holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.completion import places
from mlporter.cli.options import CONTEXT, output_options
from mlporter.cli.render.backups.snapshots import render_snapshots

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]


@click.command("snapshots", context_settings=CONTEXT, short_help="List a repository's snapshots.")
@click.argument("repository", shell_complete=places)
@output_options
def command(session: Session, /, *, repository: str) -> int:
    """List the snapshots of REPOSITORY, oldest first: when, of what, and how much was new."""
    with session.working():
        found = mlporter.snapshots(repository)
    session.output.told(found.as_dict(), render_snapshots(found))
    return found.exit_code
