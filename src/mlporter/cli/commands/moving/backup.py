"""`mlporter backup`: a registry into a repository, as one more snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import mlporter
from mlporter.cli.options import CONTEXT, output_options, plan_out_option, source_and
from mlporter.cli.selection_options import transfer_options

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]


@click.command("backup", context_settings=CONTEXT, short_help="Add a snapshot to a repository.")
@source_and("REPOSITORY")
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="Mark the snapshot. Repeatable.")
@click.option("--full", is_flag=True, help="Read all points, list all files of a server.")
@click.option("--reread", is_flag=True, help="Read all files, also those that look unchanged.")
@click.option(
    "--append-only", is_flag=True, help="For a new repository: nothing is ever removed from it."
)
@click.option(
    "--encrypt",
    multiple=True,
    metavar="RECIPIENT",
    help="For a new repository: encrypt everything to this public key. Repeatable.",
)
@click.option("--metrics", metavar="FILE", help="Write how it ended for Prometheus (*.prom).")
@click.option(
    "--notify", metavar="URL", help="Call this URL at the end; {exit} in it is the exit code."
)
@plan_out_option
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@transfer_options(to_bundle=True)
@output_options
def command(session: Session, /, *, source: str, repository: str, **options: Any) -> int:
    """Back SOURCE up, all of it or a part, as a new snapshot in REPOSITORY.

    REPOSITORY is a folder or a place in object storage (s3://bucket/backups); the first backup
    makes it. What an earlier snapshot holds is not stored again, so that a backup of what hardly
    changed costs next to nothing. Each snapshot is complete: `mlporter copy REPOSITORY/@latest
    TARGET` restores it. Without SOURCE, MLFLOW_TRACKING_URI says where to read.
    """
    session.when_interrupted = "the same command goes on with what was stored"
    with session.working() as on_progress:
        result = mlporter.backup(source, repository, **options, on_progress=on_progress)
    session.output.backed_up(result)
    return result.exit_code
