"""`mlporter copy`: a registry into another, without a bundle in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.options import (
    CONTEXT,
    NOTHING_LEFT_BEHIND,
    artifact_root_option,
    artifacts_option,
    map_uri_option,
    output_options,
    source_and,
    workers_option,
)

if TYPE_CHECKING:
    from mlporter.cli.session import Session
    from mlporter.transfer.export import ArtifactsMode

__all__ = ["command"]


@click.command("copy", context_settings=CONTEXT, short_help="Copy a registry into another.")
@source_and("TARGET")
@artifact_root_option
@artifacts_option
@map_uri_option
@workers_option
@output_options
def command(
    session: Session,
    /,
    *,
    source: str,
    target: str,
    artifact_root: str | None,
    artifacts: ArtifactsMode,
    uri_map: tuple[str, ...],
    workers: int,
) -> int:
    """Copy all of SOURCE into the empty database TARGET.

    As an export and an import in one, without a bundle in between. Without SOURCE,
    MLFLOW_TRACKING_URI says where to read; TARGET is always named.
    """
    session.when_interrupted = NOTHING_LEFT_BEHIND
    with session.working() as on_progress:
        result = mlporter.copy(
            source,
            target,
            artifact_root=artifact_root,
            artifacts=artifacts,
            uri_map=uri_map,
            workers=workers,
            on_progress=on_progress,
        )
    session.output.transferred(result)
    return result.exit_code
