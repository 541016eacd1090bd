"""`mlporter import`: a bundle into a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import mlporter
from mlporter.cli.completion import places
from mlporter.cli.options import (
    CONTEXT,
    epoch_option,
    explain_option,
    output_options,
    require_signature_option,
    said_when_interrupted,
)
from mlporter.cli.selection_options import merge_options, transfer_options

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]


@click.command("import", context_settings=CONTEXT, short_help="Import a bundle into a registry.")
@click.argument("bundle", shell_complete=places)
@click.argument("target", shell_complete=places)
@transfer_options(merge_options, from_bundle=True)
@require_signature_option("BUNDLE")
@epoch_option
@explain_option
@output_options
def command(session: Session, /, *, bundle: str, target: str, **options: Any) -> int:
    """Import BUNDLE (or a snapshot), all of it or a part, into TARGET: a database or a server.

    TARGET may be in use: new things are added to it, and nothing there is deleted. A thing that
    differs there is a conflict: everything is refused before anything is written (exit code 4),
    unless --on-conflict says what to do. `mlporter sync` keeps a target in step.

    In a database, ids, times, version numbers, stages and aliases are kept; artifact URIs are
    rewritten to the artifact root. It is all or nothing: an import that fails or is interrupted
    leaves neither rows nor files behind. A server gives runs and logged models new ids, and has no
    transactions: run the same command again to continue.
    """
    session.when_interrupted = said_when_interrupted(target)
    with session.working() as on_progress:
        result = mlporter.import_(bundle, target, **options, on_progress=on_progress)
    session.output.transferred(result)
    return result.exit_code
