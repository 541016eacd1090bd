"""`mlporter sync`: a target follows a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

import mlporter
from mlporter.cli.options import (
    CONTEXT,
    ROUNDS_STAY,
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
    orphans_option,
    selection_options,
    sync_options,
    watch_option,
)
from mlporter.cli.watching import watching

if TYPE_CHECKING:
    from mlporter.cli.session import Session
    from mlporter.execute.options import ArtifactsMode
    from mlporter.execute.result import Result
    from mlporter.progress import OnProgress
    from mlporter.selection import Selection

__all__ = ["command"]


@click.command("sync", context_settings=CONTEXT, short_help="Let a registry follow another.")
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
@sync_options
@selection_options
@workers_option
@retry_time_option
@watch_option
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
    delete: bool,
    max_delete: int | None,
    prefer: Literal["ours", "theirs"] | None,
    full: bool,
    watch: float | None,
    rename: tuple[str, ...],
    rename_prefix: str,
    to_workspace: str | None,
    selection: Selection | None,
    workers: int,
    retry_time: float,
) -> int:
    """Let TARGET follow SOURCE: what is new there, what changed, and what moved.

    TARGET is a database or a server. What was last sent is remembered, so that it is known who
    changed what. What was edited at the target only stays as it is, and is told. What changed on
    both sides stays, too, and is a conflict: it is named, and the rest goes on (exit code 3).

    Nothing is deleted without --delete. What the source put into MLflow's trash goes there at the
    target, too. A database takes all of it or nothing; a server step by step, and the same
    command run again goes on.
    """
    session.when_interrupted = ROUNDS_STAY if watch else said_when_interrupted(target)

    def once(on_progress: OnProgress) -> Result:
        return mlporter.sync(
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
            delete=delete,
            max_delete=max_delete,
            prefer=prefer,
            full=full,
            rename=rename,
            rename_prefix=rename_prefix,
            to_workspace=to_workspace,
            selection=selection,
            workers=workers,
            retry_time=retry_time,
            on_progress=on_progress,
        )

    if watch is not None:
        return watching(session, once, watch, said=f"{source} to {target}")
    with session.working() as on_progress:
        result = once(on_progress)
    session.output.transferred(result)
    return result.exit_code
