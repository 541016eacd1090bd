"""`mlporter diff`: two places, field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.completion import places
from mlporter.cli.options import (
    CONTEXT,
    allow_root_option,
    auth_of_a_option,
    auth_of_b_option,
    epoch_option,
    explain_option,
    html_option,
    jobs_option,
    map_uri_option,
    output_options,
    registry_of_a_option,
    retry_time_option,
    source_env_option,
    target_env_option,
    worker_options,
    workers_option,
)
from mlporter.cli.selection_options import include_table_option, selection_options

if TYPE_CHECKING:
    from mlporter.cli.session import Session
    from mlporter.selection import Selection
    from mlporter.verbs.reading.diff import FilesCompared

__all__ = ["command"]


@click.command("diff", context_settings=CONTEXT, short_help="Compare two places, field by field.")
@click.argument("a", shell_complete=places)
@click.argument("b", shell_complete=places)
@source_env_option("A")
@target_env_option("B")
@click.option(
    "--strict", is_flag=True, help="Compare file locations, JSON as text and derived tables too."
)
@click.option(
    "--artifacts",
    type=click.Choice(["content", "listing", "none"]),
    default="content",
    show_default=True,
    help="Compare files by SHA-256, by path and size, or not at all.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="How many differences to list; all are counted.",
)
@map_uri_option
@auth_of_a_option
@auth_of_b_option
@registry_of_a_option
@allow_root_option
@include_table_option
@selection_options
@html_option
@workers_option
@jobs_option
@worker_options
@retry_time_option
@epoch_option
@explain_option
@output_options
def command(
    session: Session,
    /,
    *,
    a: str,
    b: str,
    strict: bool,
    artifacts: FilesCompared,
    limit: int,
    uri_map: tuple[str, ...],
    auth: str | None,
    target_auth: str | None,
    registry: str | None,
    allow_root: tuple[str, ...],
    include_tables: tuple[str, ...],
    source_env: str | None,
    target_env: str | None,
    selection: Selection | None,
    workers: int,
    jobs: int | None,
    processes: int | None,
    dask: str | None,
    retry_time: float,
    html: str | None,
) -> int:
    """Compare all tables and files of two places, A and B.

    A line for each difference: + only in A, - only in B, * differs, ! could not be read. Then how
    many there are of each table. The exit code is 0 if they are identical, and 1 if not. --explain
    says what was not compared, and why.
    """
    with session.working() as on_progress:
        report = mlporter.diff(
            a,
            b,
            strict=strict,
            artifacts=artifacts,
            limit=limit,
            uri_map=uri_map,
            auth=auth,
            target_auth=target_auth,
            registry=registry,
            allow_root=allow_root,
            include_tables=include_tables,
            source_env=source_env,
            target_env=target_env,
            selection=selection,
            workers=workers,
            jobs=jobs,
            processes=processes,
            dask=dask,
            retry_time=retry_time,
            html=html,
            on_progress=on_progress,
        )
    session.output.compared(report)
    return report.exit_code
