"""`mlporter unpack`: the artifacts of a bundle as plain folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.completion import folders, places
from mlporter.cli.options import CONTEXT, output_options

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]


@click.command("unpack", context_settings=CONTEXT, short_help="Artifacts as plain folders.")
@click.argument("bundle", shell_complete=places)
@click.argument("directory", metavar="DIR", shell_complete=folders)
@click.option("--model", metavar="NAME", help="Only the files of this registered model.")
@click.option(
    "--version",
    metavar="V",
    help="Only this version of it: a number, latest, @alias, or a stage.",
)
@click.option("--run", metavar="ID", help="Only the files of this run.")
@output_options
def command(
    session: Session,
    /,
    *,
    bundle: str,
    directory: str,
    model: str | None,
    version: str | None,
    run: str | None,
) -> int:
    """Write the artifacts in BUNDLE to the new directory DIR as plain folders.

    All of them, or those of one model, one version, or one run. A model's folder can be loaded as
    it is: mlflow.pyfunc.load_model("DIR/…").
    """
    if version is not None and model is None:
        raise click.UsageError("--version needs --model.")
    if run is not None and model is not None:
        raise click.UsageError("--run and --model exclude each other.")
    session.when_interrupted = f"{directory} is not complete; delete it before the next try"
    with session.working() as on_progress:
        result = mlporter.unpack(
            bundle,
            directory,
            model=model,
            version=version,
            run=run,
            on_progress=on_progress,
        )
    session.output.transferred(result)
    return result.exit_code
