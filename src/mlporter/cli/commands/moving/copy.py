"""`mlporter copy`: a registry into another, without a bundle in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.options import (
    CONTEXT,
    allow_root_option,
    artifact_root_option,
    artifacts_option,
    auth_option,
    include_secrets_option,
    map_uri_option,
    output_options,
    registry_option,
    retry_time_option,
    said_when_interrupted,
    source_and,
    strict_artifacts_option,
    target_auth_option,
    target_env_option,
    workers_option,
)
from mlporter.cli.selection_options import (
    include_table_option,
    merge_options,
    orphans_option,
    selection_options,
)

if TYPE_CHECKING:
    from mlporter.cli.session import Session
    from mlporter.execute.options import ArtifactsMode
    from mlporter.plan.policy import OnConflict
    from mlporter.selection import Selection

__all__ = ["command"]


@click.command("copy", context_settings=CONTEXT, short_help="Copy a registry into another.")
@source_and("TARGET")
@target_env_option("TARGET")
@artifact_root_option
@artifacts_option
@strict_artifacts_option
@map_uri_option
@allow_root_option
@include_table_option
@orphans_option
@include_secrets_option
@registry_option
@auth_option
@target_auth_option
@merge_options
@selection_options
@workers_option
@retry_time_option
@output_options
def command(
    session: Session,
    /,
    *,
    source: str,
    target: str,
    artifact_root: str | None,
    artifacts: ArtifactsMode,
    strict_artifacts: bool,
    uri_map: tuple[str, ...],
    allow_root: tuple[str, ...],
    include_tables: tuple[str, ...],
    source_env: str | None,
    target_env: str | None,
    orphans: bool,
    include_secrets: bool,
    registry: str | None,
    auth: str | None,
    target_auth: str | None,
    dry_run: bool,
    plan_out: str | None,
    force: bool,
    state: str | None,
    rebase: bool,
    on_conflict: OnConflict,
    undelete: bool,
    rename: tuple[str, ...],
    rename_prefix: str,
    to_workspace: str | None,
    selection: Selection | None,
    workers: int,
    retry_time: float,
) -> int:
    """Copy SOURCE, all of it or a part, into TARGET: a database or a server.

    TARGET may be in use: what is new goes beside what it has, and nothing there is deleted. What it
    has otherwise than SOURCE is a conflict: everything is refused before anything is written (exit
    code 4), unless --on-conflict says what to do. `mlporter sync` lets a target follow.

    As an export and an import in one, without a bundle in between. Without SOURCE,
    MLFLOW_TRACKING_URI says where to read; TARGET is always named.
    """
    session.when_interrupted = said_when_interrupted(target)
    with session.working() as on_progress:
        result = mlporter.copy(
            source,
            target,
            artifact_root=artifact_root,
            artifacts=artifacts,
            strict_artifacts=strict_artifacts,
            uri_map=uri_map,
            allow_root=allow_root,
            include_tables=include_tables,
            source_env=source_env,
            target_env=target_env,
            orphans=orphans,
            include_secrets=include_secrets,
            registry=registry,
            auth=auth,
            target_auth=target_auth,
            dry_run=dry_run,
            plan_out=plan_out,
            force=force,
            state=state,
            rebase=rebase,
            on_conflict=on_conflict,
            undelete=undelete,
            rename=rename,
            rename_prefix=rename_prefix,
            to_workspace=to_workspace,
            selection=selection,
            workers=workers,
            retry_time=retry_time,
            on_progress=on_progress,
        )
    session.output.transferred(result)
    return result.exit_code
