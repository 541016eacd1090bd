"""`mlporter rebuild`: a registry out of artifact files alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.completion import folders, places
from mlporter.cli.options import (
    CONTEXT,
    allow_root_option,
    artifact_root_option,
    explain_option,
    output_options,
    retry_time_option,
    said_when_interrupted,
    source_env_option,
    target_env_option,
    workers_option,
)

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]


@click.command(
    "rebuild", context_settings=CONTEXT, short_help="Rebuild a registry from artifacts alone."
)
@click.argument("folder", shell_complete=folders)
@click.argument("target", shell_complete=places)
@source_env_option("FOLDER")
@target_env_option("TARGET")
@artifact_root_option
@allow_root_option
@click.option(
    "--register",
    multiple=True,
    metavar="NAME=MODEL_ID",
    help="Make a logged model a version of NAME. Repeatable; versions are numbered in order.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be done, and write nothing.")
@workers_option
@retry_time_option
@explain_option
@output_options
def command(
    session: Session,
    /,
    *,
    folder: str,
    target: str,
    artifact_root: str | None,
    allow_root: tuple[str, ...],
    register: tuple[str, ...],
    dry_run: bool,
    workers: int,
    retry_time: float,
    source_env: str | None,
    target_env: str | None,
) -> int:
    """Make a registry in TARGET out of the artifacts in FOLDER, after its database was lost.

    FOLDER is an artifact root in MLflow's layout, such as mlartifacts/ or s3://bucket/mlflow. The
    files stay where they are, unless --artifact-root says where to copy them.
    """
    session.when_interrupted = said_when_interrupted(target)
    with session.working() as on_progress:
        result = mlporter.rebuild(
            folder,
            target,
            artifact_root=artifact_root,
            allow_root=allow_root,
            register=register,
            dry_run=dry_run,
            workers=workers,
            retry_time=retry_time,
            source_env=source_env,
            target_env=target_env,
            on_progress=on_progress,
        )
    session.output.transferred(result)
    return result.exit_code
