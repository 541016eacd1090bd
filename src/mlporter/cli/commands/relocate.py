"""`mlporter relocate`: the files have moved, and a database's URIs follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.text import Text

import mlporter
from mlporter.cli.completion import places
from mlporter.cli.options import (
    CONTEXT,
    map_uri_option,
    output_options,
    source_env_option,
    workers_option,
)
from mlporter.cli.render.text import plural, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.cli.session import Session
    from mlporter.verbs.relocate import Relocated

__all__ = ["command"]


@click.command("relocate", context_settings=CONTEXT, short_help="Change artifact URIs in place.")
@click.argument("database", shell_complete=places)
@source_env_option("DATABASE")
@map_uri_option
@click.option("-n", "--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@click.option(
    "--no-check", is_flag=True, help="Do not check that the files are in their new places."
)
@workers_option
@output_options
def command(
    session: Session,
    /,
    *,
    database: str,
    uri_map: tuple[str, ...],
    dry_run: bool,
    no_check: bool,
    workers: int,
    source_env: str | None,
) -> int:
    """Rewrite the artifact URIs of DATABASE after its files have moved.

    In one transaction, and only if the files are there. No file is touched.
    """
    with session.working() as on_progress:
        result = mlporter.relocate(
            database,
            uri_map,
            dry_run=dry_run,
            check=not no_check,
            workers=workers,
            source_env=source_env,
            on_progress=on_progress,
        )
    is_quiet = session.output.terse and not result.exit_code and not dry_run
    session.output.told(result.as_dict(), () if is_quiet else _lines(result))
    return result.exit_code


def _lines(result: Relocated) -> Iterator[Text]:
    verb = "Would change" if result.dry_run else "Changed"
    yield Text(f"{verb} {plural(result.changed, 'URI')} of {visible(result.address)}")
    for table, count in result.tables.items():
        yield Text(f"  {table}: {count}")
    if result.first:
        change = result.first[0]
        yield Text(f"  {visible(change.old)} to {visible(change.new)}, for one")
    for reason in (*result.missing, *result.misfits):
        yield Text(f"  refused: {visible(reason)}")
