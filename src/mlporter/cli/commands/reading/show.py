"""`mlporter show`: the rows of a table, or what a plan would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

import mlporter
from mlporter.cli.options import (
    CONTEXT,
    auth_option,
    output_options,
    registry_option,
    retry_time_option,
    source_env_option,
)
from mlporter.errors import ExitCode
from mlporter.execute.plan_files import is_plan
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


@click.command("show", context_settings=CONTEXT, short_help="Rows of a table, or a plan.")
@click.argument("address")
@click.argument("table", required=False)
@click.option(
    "--format",
    "how",
    type=click.Choice(["table", "csv", "json", "markdown"]),
    default="table",
    show_default=True,
    help="For people; or all rows as CSV with a header, or as a JSON array; a plan also as "
    "Markdown, for a comment.",
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
@output_options
def command(
    session: Session,
    /,
    *,
    address: str,
    table: str | None,
    how: str,
    columns: tuple[str, ...] | None,
    limit: int | None,
    registry: str | None,
    auth: str | None,
    retry_time: float,
    source_env: str | None,
) -> int:
    """Show the rows of a table of ADDRESS, sorted by its key; or a plan.

    TABLE is one of MLflow's own tables, such as runs or model_versions; or, of a bundle, artifacts,
    left_out or unknown_fields. `mlporter inspect ADDRESS` names the tables that hold rows.

    Without TABLE, ADDRESS is a file that --plan-out wrote: what would be done is shown, counted and
    then one by one. `mlporter apply` does it.
    """
    if table is None:
        return _show_plan(session, address, how)
    if how == "markdown":
        raise click.UsageError("Rows are shown as a table, csv or json; only a plan as markdown.")
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
    rows = Rows(redact_address(address), table, reader, limit)
    session.output.listed(rows, cast("RowFormat", how))
    return ExitCode.OK


def _show_plan(session: Session, address: str, how: str) -> int:
    """Show a plan file."""
    if not is_plan(address):
        raise click.UsageError(
            f"{redact_address(address)} is no plan; of a registry, name the TABLE to show."
        )
    if how == "csv":
        raise click.UsageError("A plan is shown as table, json or markdown.")
    session.output.planned(mlporter.read_plan(address), how)
    return ExitCode.OK
