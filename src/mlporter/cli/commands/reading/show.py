"""`mlporter show`: the rows of a table, or what a plan would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

import mlporter
from mlporter.cli.completion import places, tables
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
@click.argument("address", shell_complete=places)
@click.argument("table", required=False, shell_complete=tables)
@click.option(
    "--format",
    "how",
    type=click.Choice(["table", "csv", "json", "markdown"]),
    default="table",
    show_default=True,
    help="For people; or all rows, as they are stored, as CSV or as a JSON array; a plan also as "
    "Markdown, for a comment.",
)
@click.option("--columns", metavar="NAMES", callback=_names, help="Only these, as in name,version.")
@click.option(
    "--where",
    metavar="CONDITION",
    help="Only rows that meet it: of runs as MLflow searches, such as 'metrics.rmse < 0.1'; "
    "of any table by its columns, such as \"status = 'FAILED'\".",
)
@click.option(
    "--sort", metavar="[-]COLUMN", help="Sort by this column; with - the greatest come first."
)
@click.option(
    "--wide",
    is_flag=True,
    help="Of runs: with params.…, metrics.… (the last) and tags.… as columns.",
)
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
    table: str | None,
    how: str,
    columns: tuple[str, ...] | None,
    where: str | None,
    sort: str | None,
    wide: bool,
    limit: int | None,
    registry: str | None,
    auth: str | None,
    retry_time: float,
    source_env: str | None,
) -> int:
    """Show the rows of a table of ADDRESS, sorted by its key; or a plan.

    TABLE is one of MLflow's own tables, such as runs or model_versions; or, of a bundle, artifacts,
    left_out or unknown_fields. `mlporter inspect ADDRESS -v` lists the tables that have rows.

    Without TABLE, ADDRESS is a file that --plan-out wrote: what would be done is shown, counted and
    then one by one. `mlporter apply` does it.
    """
    if table is None:
        return _show_plan(session, address, how)
    if how == "markdown":
        raise click.UsageError("Rows are shown as a table, csv or json; only a plan as markdown.")
    # Imported here because it needs pyarrow, and `--help` does not.
    from mlporter.cli.render.rows import Rows  # noqa: PLC0415

    if limit is None and how == "table":
        limit = _TABLE_LIMIT
    reader = mlporter.show(
        address,
        table,
        columns=columns,
        where=where,
        sort=sort,
        # One more, so that it can be said that there are more.
        limit=None if limit is None else limit + 1,
        wide=wide,
        registry=registry,
        auth=auth,
        retry_time=retry_time,
        source_env=source_env,
    )
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
