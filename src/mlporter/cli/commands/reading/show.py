"""`mlporter show`: the rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.options import (
    CONTEXT,
    auth_option,
    epoch_option,
    output_options,
    registry_option,
    retry_time_option,
    source_env_option,
)
from mlporter.errors import ExitCode
from mlporter.redaction import redact_address

if TYPE_CHECKING:
    from mlporter.cli.output import RowFormat
    from mlporter.cli.session import Session

__all__ = ["command"]

_TABLE_LIMIT = 100


def _names(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = tuple(name.strip() for name in value.split(","))
    if not all(names):
        raise click.BadParameter(f"{value!r} is not a list of names such as name,version")
    return names


@click.command("show", context_settings=CONTEXT, short_help="Rows, as a table, CSV or JSON.")
@click.argument("address")
@click.argument("table")
@click.option(
    "--format",
    "how",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="For people; or all rows, as they are stored, as CSV or as a JSON array.",
)
@click.option("--columns", metavar="NAMES", callback=_names, help="Only these, as in name,version.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help=f"Show this many rows.  [default: {_TABLE_LIMIT} for a table, else all]",
)
@source_env_option("ADDRESS")
@registry_option
@auth_option
@retry_time_option
@epoch_option
@output_options
def command(
    session: Session,
    /,
    *,
    address: str,
    table: str,
    how: RowFormat,
    columns: tuple[str, ...] | None,
    limit: int | None,
    registry: str | None,
    auth: str | None,
    retry_time: float,
    source_env: str | None,
) -> int:
    """Show the rows of a table of ADDRESS, sorted by its key.

    TABLE is one of MLflow's own tables, such as runs or model_versions; or, of a bundle, artifacts,
    left_out or unknown_fields. `mlporter inspect ADDRESS -v` lists the tables that have rows.
    """
    # Imported here because it needs pyarrow, and `--help` does not.
    from mlporter.cli.render.rows import Rows  # noqa: PLC0415

    reader = mlporter.show(
        address,
        table,
        columns=columns,
        registry=registry,
        auth=auth,
        retry_time=retry_time,
        source_env=source_env,
    )
    if limit is None and how == "table":
        limit = _TABLE_LIMIT
    session.output.listed(Rows(redact_address(address), table, reader, limit), how)
    return ExitCode.OK
