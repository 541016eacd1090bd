"""`import` and `copy`: a registry into a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.progress import OnProgress, silent
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.verbs.moving.request import Request
from mlporter.verbs.moving.transfer import run_transfer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from mlporter.execute.options import ArtifactsMode
    from mlporter.execute.result import Result
    from mlporter.plan.policy import OnConflict
    from mlporter.selection import Asked
    from mlporter.stores.addresses.address import Place

__all__ = ["copy", "import_"]


def import_(
    bundle: Place,
    target: Place,
    *,
    artifact_root: Place | None = None,
    artifacts: ArtifactsMode = "copy",
    uri_map: Sequence[str] = (),
    workers: int = 4,
    jobs: int | None = None,
    processes: int | None = None,
    dask: str | None = None,
    retry_time: float = RETRY_TIME,
    include_secrets: bool = False,
    target_auth: Place | None = None,
    strict_artifacts: bool = False,
    include_tables: Sequence[str] = (),
    target_env: str | None = None,
    selection: Asked = None,
    on_conflict: OnConflict = "fail",
    undelete: bool = False,
    rename: Sequence[str] = (),
    rename_prefix: str = "",
    to_workspace: str | None = None,
    state: str | None = None,
    force: bool = False,
    rebase: bool = False,
    drop_unknown: bool = False,
    plan_out: str | None = None,
    require_signature: str | PathLike[str] | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> Result:
    """Import a bundle into a database or a tracking server.

    Into a database everything goes, or nothing. Where it has no tables, MLflow's own code creates
    them. Where it is in use, what is there already and equal is left as it is; nothing in it is
    ever changed or deleted. Rows go in in one transaction, are read back and compared, and are only
    then committed. Files that no row points to go to the folder ``orphans``.

    A server takes no transaction: what it lacks is sent, in the order that works, and is read back
    and compared. An import that was stopped goes on where it was if it is run again.

    Args:
        bundle: The directory that `export` wrote.
        target: Address of a database or a server.
        artifact_root: Where a database's files are kept; URIs are rewritten to it. Needed where
            files are copied; a server decides itself.
        artifacts: ``copy``, ``reference`` (keep the URIs, copy no file) or ``none``.
        uri_map: ``FROM=TO`` pairs: where places below `artifact_root` are really reached from here.
        workers: Files that are written at a time.
        jobs: So many connections fill a large table of PostgreSQL; None is by the processors.
        processes: So many processes of this machine carry files instead of threads.
        dask: The workers of this Dask scheduler do, such as ``tcp://scheduler:8786``; or
            ``local:4`` for four that are started on this machine. Into a database only.
        retry_time: Seconds after which a server that keeps failing is given up.
        include_secrets: Copy secrets too, if the bundle has them; and so passwords of users,
            without which users that the target has not are left out.
        target_auth: Address of the target's database of users, if they have one of their own.
        strict_artifacts: Refuse, before the target is touched, if files are missing or unreadable.
        include_tables: Tables of other programs that are to come, too; the target's are empty.
        target_env: What the names of the target's own variables begin with, such as ``PROD_``.
        selection: What to copy, with all that it depends on: a `Selection`, or a mapping such as
            ``{"models": ["churn*"]}``; None is everything.
        on_conflict: What to do with what is different in the target: ``fail`` refuses the
            whole, ``skip`` leaves it out and says so, ``rename`` copies it under another name
            or id, ``update`` changes it where the target still has what was last sent.
        undelete: Restore what is marked as deleted in the target, but not in the source. What
            it purged (``mlflow gc``) is copied anew, and needs no such wish.
        rename: ``OLD=NEW`` pairs: new names of experiments and registered models.
        rename_prefix: What goes before the names of experiments: a folder, on Databricks.
        to_workspace: The workspace that everything goes to; None keeps them.
        state: The folder that remembers what was last sent; None is one of the user's. An earlier
            bundle is taken as what was last sent, and only read.
        force: With ``update``: also over what was edited at the target, or is newer there.
        rebase: Nothing is remembered any more: what differs counts as edited at the target.
        drop_unknown: Leave out, and name, what the target's older schema has no place for.
        plan_out: Write the plan to this file, for `apply`; nothing is written to the target then.
        require_signature: The file of a public key: the bundle must be signed with its private one.
        dry_run: Plan, and write nothing.
        on_progress: Called with how far it is.

    Raises:
        ConflictError: the target has something else under a name or an id; nothing was written.
        RefusedError: the target cannot hold a value; nothing was written.
        BundleError: the bundle is damaged or unfinished.
        UnreachableError: the target cannot be reached, or refused a row; nothing was kept.
    """
    arguments = {
        "artifact_root": artifact_root,
        "artifacts": artifacts,
        "uri_map": uri_map,
        "workers": workers,
        "jobs": jobs,
        "processes": processes,
        "dask": dask,
        "retry_time": retry_time,
        "include_secrets": include_secrets,
        "target_auth": target_auth,
        "strict_artifacts": strict_artifacts,
        "include_tables": include_tables,
        "target_env": target_env,
        "selection": selection,
        "on_conflict": on_conflict,
        "undelete": undelete,
        "rename": rename,
        "rename_prefix": rename_prefix,
        "to_workspace": to_workspace,
        "state": state,
        "force": force,
        "rebase": rebase,
        "drop_unknown": drop_unknown,
        "plan_out": plan_out,
        "require_signature": None if require_signature is None else str(require_signature),
        "dry_run": dry_run,
    }
    return run_transfer(Request("import", bundle, target, arguments), on_progress)


def copy(
    source: Place,
    target: Place,
    *,
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
    on_conflict: OnConflict = "fail",
    undelete: bool = False,
    rename: Sequence[str] = (),
    rename_prefix: str = "",
    to_workspace: str | None = None,
    state: str | None = None,
    force: bool = False,
    rebase: bool = False,
    drop_unknown: bool = False,
    plan_out: str | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> Result:
    """Copy a registry straight into a database or a tracking server.

    As `export` and `import_` in one, with nothing in between. `uri_map` says where artifact URIs
    of both sides are really found. `allow_root` names folders of this machine that the source's
    files may be read from, though it keeps none there. `orphans` copies local files too that no
    row points to: they go to the folder ``orphans`` of the artifact root. `auth` is the address of
    the source's database of users, if they have one of their own. `source_env` is what the names
    of the source's own variables begin with, such as ``DEV_``. `jobs` is how many
    connections read a large table of PostgreSQL, or fill one; None is by the processors. Other
    arguments and errors are those of `import_`.
    """
    arguments = {
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
        "on_conflict": on_conflict,
        "undelete": undelete,
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
    return run_transfer(Request("copy", source, target, arguments), on_progress)
