"""`mlporter export`: a registry into a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import mlporter
from mlporter.cli.options import (
    CONTEXT,
    explain_option,
    output_options,
    plan_out_option,
    sign_option,
    source_and,
)
from mlporter.cli.selection_options import transfer_options

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]


@click.command("export", context_settings=CONTEXT, short_help="Export a registry to a bundle.")
@source_and("BUNDLE")
@transfer_options(to_bundle=True)
@click.option("--resume", is_flag=True, help="Continue an export that was interrupted.")
@click.option("--restart", is_flag=True, help="Start over, and replace what is there.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be done, and write nothing.")
@plan_out_option
@sign_option("the bundle's manifest")
@explain_option
@output_options
def command(session: Session, /, *, source: str, bundle: str, **options: Any) -> int:
    """Export SOURCE, or a part of it, to the new directory BUNDLE.

    BUNDLE may also be a new place in object storage, such as s3://bucket/bundle.

    The source is read in one consistent snapshot while others go on writing, and is never changed.
    Without SOURCE, MLFLOW_TRACKING_URI says where to read. A part is exported with all that it
    depends on: a model with the runs of its versions. What could not be copied is listed, and the
    exit code is then 3.
    """
    if options["resume"] and options["restart"]:
        raise click.UsageError("--resume and --restart exclude each other.")
    session.when_interrupted = "run the same command with --resume to continue"
    with session.working() as on_progress:
        result = mlporter.export(source, bundle, **options, on_progress=on_progress)
    session.output.transferred(result)
    return result.exit_code
