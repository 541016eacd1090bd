"""`mlporter forget`: snapshots that are no longer wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import mlporter
from mlporter.cli.completion import places
from mlporter.cli.options import CONTEXT, AnyCommand, output_options, plan_out_option
from mlporter.cli.selection_options import seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.cli.session import Session

__all__ = ["command"]


def _keep(what: str, of: str) -> Callable[[AnyCommand], AnyCommand]:
    return click.option(
        f"--keep-{what}",
        type=click.IntRange(0),
        default=0,
        metavar="N",
        help=of,
        show_default=False,
    )


@click.command("forget", context_settings=CONTEXT, short_help="Remove old snapshots.")
@click.argument("repository", shell_complete=places)
@click.argument("names", nargs=-1, metavar="[SNAPSHOT]...")
@_keep("last", "Keep the last N snapshots of each registry.")
@_keep("hourly", "Keep the last one of each of the last N hours that have any.")
@_keep("daily", "So of days.")
@_keep("weekly", "So of weeks.")
@_keep("monthly", "So of months.")
@_keep("yearly", "So of years.")
@click.option("--keep-within", metavar="TIME", callback=seconds, help="Keep what is younger: 30d.")
@click.option(
    "--keep-tag", "keep_tags", multiple=True, metavar="WORD", help="Keep what has this tag."
)
@click.option("--prune", "prune_unused", is_flag=True, help="Remove what no snapshot needs, too.")
@click.option(
    "--grace",
    metavar="TIME",
    callback=seconds,
    default="1h",
    show_default=True,
    help="Leave alone what was written so recently.",
)
@plan_out_option
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and remove nothing.")
@output_options
def command(session: Session, /, *, repository: str, names: tuple[str, ...], **options: Any) -> int:
    """Forget snapshots of REPOSITORY: the SNAPSHOTs named, or all that no --keep option keeps.

    The options together keep what each of them keeps, of each registry in the repository. With
    --prune the space is freed; without it, a later --prune does that. Times are UTC.
    """
    with session.working() as on_progress:
        result = mlporter.forget(repository, *names, **options, on_progress=on_progress)
    session.output.forgot(result)
    return result.exit_code
