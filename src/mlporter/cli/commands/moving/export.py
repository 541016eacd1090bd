"""`mlporter export`: a registry into a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.options import (
    CONTEXT,
    allow_root_option,
    artifacts_option,
    auth_option,
    include_secrets_option,
    map_uri_option,
    output_options,
    registry_option,
    retry_time_option,
    source_and,
    strict_artifacts_option,
    workers_option,
)
from mlporter.cli.selection_options import include_table_option, orphans_option, selection_options
from mlporter.redaction import redact_address

if TYPE_CHECKING:
    from mlporter.cli.session import Session
    from mlporter.execute.options import ArtifactsMode
    from mlporter.selection import Selection

__all__ = ["command"]


@click.command("export", context_settings=CONTEXT, short_help="Export a registry to a bundle.")
@source_and("BUNDLE")
@artifacts_option
@strict_artifacts_option
@map_uri_option
@allow_root_option
@include_table_option
@orphans_option
@include_secrets_option
@registry_option
@auth_option
@selection_options
@workers_option
@retry_time_option
@click.option("--resume", is_flag=True, help="Continue an export that was interrupted.")
@click.option("--restart", is_flag=True, help="Begin anew, and replace what is there.")
@output_options
def command(
    session: Session,
    /,
    *,
    source: str,
    bundle: str,
    artifacts: ArtifactsMode,
    strict_artifacts: bool,
    uri_map: tuple[str, ...],
    allow_root: tuple[str, ...],
    include_tables: tuple[str, ...],
    source_env: str | None,
    orphans: bool,
    include_secrets: bool,
    registry: str | None,
    auth: str | None,
    selection: Selection | None,
    workers: int,
    retry_time: float,
    resume: bool,
    restart: bool,
) -> int:
    """Export SOURCE, or a part of it, to the new directory BUNDLE.

    The source is read in one consistent snapshot while others go on writing, and it is never
    changed. Without SOURCE, MLFLOW_TRACKING_URI says where to read. A part comes with all that it
    stands on: a model with its versions' runs. What could not be carried is listed, and the exit
    code is then 3.
    """
    if "://" in bundle:
        raise click.UsageError(f"BUNDLE is a directory, not an address: {redact_address(bundle)}")
    if resume and restart:
        raise click.UsageError("--resume and --restart exclude each other.")
    session.when_interrupted = "the same command with --resume continues it"
    with session.working() as on_progress:
        result = mlporter.export(
            source,
            bundle,
            artifacts=artifacts,
            strict_artifacts=strict_artifacts,
            uri_map=uri_map,
            allow_root=allow_root,
            include_tables=include_tables,
            source_env=source_env,
            orphans=orphans,
            include_secrets=include_secrets,
            registry=registry,
            auth=auth,
            selection=selection,
            workers=workers,
            retry_time=retry_time,
            resume=resume,
            restart=restart,
            on_progress=on_progress,
        )
    session.output.transferred(result)
    return result.exit_code
