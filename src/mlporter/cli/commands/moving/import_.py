"""`mlporter import`: a bundle into a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.options import (
    CONTEXT,
    artifact_root_option,
    artifacts_option,
    include_secrets_option,
    map_uri_option,
    output_options,
    retry_time_option,
    said_when_interrupted,
    strict_artifacts_option,
    target_auth_option,
    target_env_option,
    workers_option,
)
from mlporter.cli.selection_options import include_table_option, merge_options, selection_options

if TYPE_CHECKING:
    from mlporter.cli.session import Session
    from mlporter.execute.options import ArtifactsMode
    from mlporter.plan.policy import OnConflict
    from mlporter.selection import Selection

__all__ = ["command"]


@click.command("import", context_settings=CONTEXT, short_help="Import a bundle into a registry.")
@click.argument("bundle")
@click.argument("target")
@target_env_option("TARGET")
@artifact_root_option
@artifacts_option
@strict_artifacts_option
@map_uri_option
@include_table_option
@include_secrets_option
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
    bundle: str,
    target: str,
    artifact_root: str | None,
    artifacts: ArtifactsMode,
    strict_artifacts: bool,
    uri_map: tuple[str, ...],
    include_tables: tuple[str, ...],
    target_env: str | None,
    include_secrets: bool,
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
    """Import BUNDLE, all of it or a part, into TARGET: a database or a server.

    TARGET may be in use: what is new goes beside what it has, and nothing there is deleted. What it
    has otherwise than BUNDLE is a conflict: everything is refused before anything is written (exit
    code 4), unless --on-conflict says what to do. `mlporter sync` lets a target follow.

    In a database ids, times, version numbers, stages and aliases are kept; artifact URIs are
    rewritten to the artifact root. All or nothing: an import that fails or is interrupted leaves
    neither rows nor files behind. A server gives runs and logged models ids of its own, and takes
    no transaction: what is new is sent, and the same command run again goes on.
    """
    session.when_interrupted = said_when_interrupted(target)
    with session.working() as on_progress:
        result = mlporter.import_(
            bundle,
            target,
            artifact_root=artifact_root,
            artifacts=artifacts,
            strict_artifacts=strict_artifacts,
            uri_map=uri_map,
            include_tables=include_tables,
            target_env=target_env,
            include_secrets=include_secrets,
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
