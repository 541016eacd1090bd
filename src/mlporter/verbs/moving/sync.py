"""`sync`: two registries that stay in step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mlporter.progress import OnProgress, silent
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.verbs.moving.request import Request
from mlporter.verbs.moving.transfer import run_transfer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlporter.execute.options import ArtifactsMode
    from mlporter.execute.result import Result
    from mlporter.selection import Asked
    from mlporter.stores.addresses.address import Place

__all__ = ["sync"]


def sync(
    source: Place,
    target: Place,
    *,
    delete: bool = False,
    max_delete: int | None = None,
    prefer: Literal["ours", "theirs"] | None = None,
    full: bool = False,
    artifact_root: Place | None = None,
    artifacts: ArtifactsMode = "copy",
    uri_map: Sequence[str] = (),
    allow_root: Sequence[Place] = (),
    workers: int = 4,
    jobs: int | None = None,
    processes: int | None = None,
    dask: str | None = None,
    retry_time: float = RETRY_TIME,
    include_secrets: bool = False,
    auth: Place | None = None,
    registry: Place | None = None,
    target_auth: Place | None = None,
    strict_artifacts: bool = False,
    orphans: bool = False,
    include_tables: Sequence[str] = (),
    source_env: str | None = None,
    target_env: str | None = None,
    selection: Asked = None,
    rename: Sequence[str] = (),
    rename_prefix: str = "",
    to_workspace: str | None = None,
    state: Place | None = None,
    force: bool = False,
    rebase: bool = False,
    drop_unknown: bool = False,
    plan_out: str | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> Result:
    """Let a target follow a source: what is new, what changed, what moved.

    What was last sent is remembered, so that it is known who changed what. What was edited at the
    target only stays as it is there, and is listed. What changed on both sides is a conflict: it
    stays, is named, and makes the exit code 3; the rest goes on.

    `delete` deletes what the source has no more, and that is still as it was sent: runs and
    experiments go to MLflow's trash; versions, aliases and the rest are deleted as MLflow does.
    Without it they are kept and listed. `max_delete` is the most that may be deleted of a kind;
    None is a fifth of what the target has of it, and ten in any case. More is refused.

    `prefer` says who wins where the target was edited: ``ours`` puts back what was edited there,
    and lets the source win where both changed; ``theirs`` keeps the target's there. `force` lets
    the source win over whatever differs. `full` reads everything on both sides, and not only what
    seems to have changed.

    `state` is the folder that remembers what was last sent; None is one of the user's. If it is a
    bundle, what is in it is taken as what was last sent, and it is only read. Where nothing is
    remembered any more, `rebase` takes what differs now as edited at the target.
    `plan_out` writes the plan to a file, for `apply`, and nothing to the target. Other arguments
    are those of `copy`.

    Raises:
        RefusedError: this would delete more than seems intended, or as `copy`; nothing was
            written.
        StateInUseError: another process is at work between these places.
        UnreachableError: a side cannot be reached, or what was sent cannot be remembered.
    """
    arguments = {
        "delete": delete,
        "max_delete": max_delete,
        "prefer": prefer,
        "full": full,
        "artifact_root": artifact_root,
        "artifacts": artifacts,
        "uri_map": uri_map,
        "allow_root": allow_root,
        "workers": workers,
        "jobs": jobs,
        "processes": processes,
        "dask": dask,
        "retry_time": retry_time,
        "include_secrets": include_secrets,
        "auth": auth,
        "registry": registry,
        "target_auth": target_auth,
        "strict_artifacts": strict_artifacts,
        "orphans": orphans,
        "include_tables": include_tables,
        "source_env": source_env,
        "target_env": target_env,
        "selection": selection,
        "rename": rename,
        "rename_prefix": rename_prefix,
        "to_workspace": to_workspace,
        "state": state,
        "force": force,
        "rebase": rebase,
        "drop_unknown": drop_unknown,
        "plan_out": plan_out,
        "dry_run": dry_run,
    }
    return run_transfer(Request("sync", source, target, arguments), on_progress)
