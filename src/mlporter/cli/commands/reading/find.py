"""`mlporter find`: which snapshots hold something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.completion import places
from mlporter.cli.options import CONTEXT, output_options
from mlporter.cli.render.backups.snapshots import render_found

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]


@click.command("find", context_settings=CONTEXT, short_help="Find what snapshots hold.")
@click.argument("repository", shell_complete=places)
@click.argument("name")
@output_options
def command(session: Session, /, *, repository: str, name: str) -> int:
    """Find the snapshots of REPOSITORY that hold NAME, and in which state.

    NAME is the name of experiments, runs or models, or a glob such as 'churn*', or the id of a run
    or an experiment. The exit code is 1 where no snapshot holds any.
    """
    with session.working() as on_progress:
        found = mlporter.find(repository, name, on_progress=on_progress)
    session.output.told(found.as_dict(), render_found(found))
    return found.exit_code
