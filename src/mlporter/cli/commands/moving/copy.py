"""`mlporter copy`: a registry into another, without a bundle in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import mlporter
from mlporter.cli.options import (
    CONTEXT,
    epoch_option,
    explain_option,
    output_options,
    said_when_interrupted,
    source_and,
)
from mlporter.cli.selection_options import merge_options, transfer_options

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]


@click.command("copy", context_settings=CONTEXT, short_help="Copy a registry into another.")
@source_and("TARGET")
@transfer_options(merge_options)
@epoch_option
@explain_option
@output_options
def command(session: Session, /, *, source: str, target: str, **options: Any) -> int:
    """Copy SOURCE, all of it or a part, into TARGET: a database or a server.

    TARGET may be in use: new things are added to it, and nothing there is deleted. A thing that
    differs there is a conflict: everything is refused before anything is written (exit code 4),
    unless --on-conflict says what to do. `mlporter sync` keeps a target in step.

    Like an export and an import in one, without a bundle. Without SOURCE, MLFLOW_TRACKING_URI
    says where to read; TARGET must always be given.
    """
    session.when_interrupted = said_when_interrupted(target)
    with session.working() as on_progress:
        result = mlporter.copy(source, target, **options, on_progress=on_progress)
    session.output.transferred(result)
    return result.exit_code
