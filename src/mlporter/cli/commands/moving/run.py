"""`mlporter run`: manifests carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.completion import files
from mlporter.cli.options import (
    CONTEXT,
    epoch_option,
    explain_option,
    has_both_sides,
    output_options,
    plan_out_option,
)
from mlporter.cli.render.transfers.manifests import render_not_run

if TYPE_CHECKING:
    from mlporter.cli.session import Session
    from mlporter.verbs.run import ManifestResult

__all__ = ["command"]

_STOPPED = (
    "what earlier manifests did stays; run the same command to continue, an export with "
    "resume: true"
)


@click.command("run", context_settings=CONTEXT, short_help="Carry out manifests.")
@click.argument("manifest", nargs=-1, required=True, metavar="MANIFEST...", shell_complete=files)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be done, and write nothing.")
@plan_out_option
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="KEY=VALUE",
    callback=has_both_sides("KEY=VALUE"),
    help="Override a value of the files, such as selection.model=churn. Repeat for a list.",
)
@epoch_option
@explain_option
@output_options
def command(
    session: Session,
    /,
    *,
    manifest: tuple[str, ...],
    dry_run: bool,
    plan_out: str | None,
    given: tuple[str, ...],
) -> int:
    """Carry out what each MANIFEST says: a transfer as a YAML file.

    A manifest has a kind (export, import, copy, sync, promote, backup, forget, diff, verify) and
    the arguments of that verb. ${NAME} and ${NAME:-default} in it come from the environment.

    All are checked before the first is carried out. They are carried out in order; one that does
    not end with exit code 0 stops those after it, which are named. Paths are relative to the
    working folder.
    """
    several = len(manifest) > 1

    def on_done(one: ManifestResult) -> None:
        session.output.ran(one, several=several)

    session.when_interrupted = _STOPPED
    with session.working() as on_progress:
        result = mlporter.run(
            manifest,
            set_=_by_key(given),
            plan_out=plan_out,
            dry_run=dry_run,
            on_done=on_done,
            on_progress=on_progress,
        )
    session.output.told(result.as_dict(), render_not_run(result))
    return int(result.exit_code)


def _by_key(pairs: tuple[str, ...]) -> dict[str, object]:
    """Values by key; a list where a key is given several times."""
    found: dict[str, list[str]] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        found.setdefault(key, []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}
