"""What the caller of `import_` and `copy` asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from mlporter.errors import UsageError
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.workers.choice import MOST_JOBS, check_workers, said_of_workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.plan.policy import Policy
    from mlporter.selection import Selection
    from mlporter.stores.protocols import Source
    from mlporter.workers.task_pool import TaskPool

__all__ = ["WORKERS", "ArtifactsMode", "Expected", "TransferOptions", "check_workers_fit"]
__all__ += ["check_jobs", "check_options", "reads_runs", "refuse_idle_workers", "refuse_workers"]

WORKERS = 4
"""What `import_` and `copy` do unless told."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A plan file that is carried out.

    Attributes:
        path: The file.
        digest: Of the actions that it holds.
    """

    path: str
    digest: str


@dataclass(frozen=True)
class TransferOptions:
    """What the caller asked for: the options of `import_` and `copy`."""

    artifact_root: str | None
    artifacts: ArtifactsMode
    uri_map: tuple[str, ...]
    workers: int
    policy: Policy
    selection: Selection | None
    include_secrets: bool
    strict_artifacts: bool
    dry_run: bool
    retry_time: float
    orphans: bool = False
    auth: Address | None = None
    target_auth: Address | None = None
    include_tables: tuple[str, ...] = ()
    source_env: str | None = None
    target_env: str | None = None
    registry: Address | None = None
    allow_root: tuple[str, ...] = ()
    state: str | None = None
    expected: Expected | None = None
    """The plan file that is carried out; other actions than its are refused."""
    jobs: int | None = None
    processes: int | None = None
    dask: str | None = None
    has_runs: bool = False
    """Whether there are runs that other processes can read: in folders of a file store."""
    pool: TaskPool | None = field(default=None, compare=False)
    """Who carries files, once they are there."""

    def check(self, source: Source) -> None:
        """Refuse options that exclude each other, or leave out where files go."""
        if self.copies(source) and self.artifact_root is None:
            raise UsageError(
                "say where the target keeps artifact files",
                subject=source.description.address,
                hint="--artifact-root /srv/mlartifacts or s3://bucket/mlflow; or, to copy no "
                "files, --artifacts reference or --artifacts none",
            )
        if self.artifacts == "reference" and self.artifact_root is not None:
            raise UsageError(
                "--artifacts reference keeps the artifact URIs, --artifact-root changes them",
                hint="leave one of the two out",
            )

    def check_for_server(self) -> None:
        """Refuse what a server does not let itself be told."""
        if self.target_auth is not None:
            raise UsageError(
                "users and permissions are copied into a database together with the rest",
                hint="name the server's database as the target, or leave --target-auth out",
            )
        if not self.has_runs:
            refuse_workers(self.processes, self.dask)
        if self.artifact_root is not None:
            raise UsageError(
                "a server decides by itself where it keeps files",
                hint="leave --artifact-root out",
            )
        if self.artifacts == "reference":
            raise UsageError(
                "a server chooses where its runs and models keep files, and keeps no URIs",
                hint="--artifacts copy or --artifacts none",
            )

    def copies(self, source: Source) -> bool:
        """Whether files are to be copied, and the source has any to copy."""
        return self.artifacts == "copy" and source.description.artifacts == "copy"

    def sides(self) -> Iterator[tuple[str, str | bool]]:
        """Where the variables of each side are, in the words of the command line."""
        yield "source-env", self.source_env or ""
        yield "target-env", self.target_env or ""

    def words(self) -> Iterator[tuple[str, str | bool]]:
        """What was asked for, in the words of the command line; the selection has its own."""
        yield "artifact-root", self.artifact_root or ""
        yield "artifacts", "" if self.artifacts == "copy" else self.artifacts
        yield "strict-artifacts", self.strict_artifacts
        yield "orphans", self.orphans
        yield "registry", self.registry.as_typed if self.registry else ""
        yield "auth", self.auth.as_typed if self.auth else ""
        yield "target-auth", self.target_auth.as_typed if self.target_auth else ""
        yield from self.sides()
        yield from (("map-uri", pair) for pair in self.uri_map)
        yield from (("allow-root", folder) for folder in self.allow_root)
        yield "include-secrets", self.include_secrets
        yield from (("include-table", name) for name in self.include_tables)
        policy = self.policy
        is_said = policy.on_conflict != "fail" and policy.step is None
        yield "on-conflict", policy.on_conflict if is_said else ""
        yield from self._of_sync()
        yield "drop-unknown", policy.drop_unknown
        yield "force", self.policy.force
        yield "rebase", self.policy.rebase
        yield "state", self.state or ""
        yield "undelete", self.policy.undelete
        yield from (("rename", pair) for pair in self.policy.renames)
        yield "rename-prefix", self.policy.rename_prefix
        yield "to-workspace", self.policy.to_workspace or ""
        yield "workers", "" if self.workers == WORKERS else str(self.workers)
        yield "jobs", "" if self.jobs is None else str(self.jobs)
        yield "processes", "" if self.processes is None else str(self.processes)
        yield "dask", self.dask or ""
        yield "retry-time", "" if self.retry_time == RETRY_TIME else str(self.retry_time)

    def _of_sync(self) -> Iterator[tuple[str, str | bool]]:
        step = self.policy.step
        if step is not None:
            yield "delete", step.delete
            yield "max-delete", "" if step.max_delete is None else str(step.max_delete)
            yield step.prefer or "ours", step.prefer is not None
            yield "full", step.full


ArtifactsMode = Literal["copy", "reference", "none"]
"""What to do with artifact files: copy them, keep the URIs and copy nothing, or leave them out."""


def reads_runs(*places: Address | None) -> bool:
    """Whether there are runs that workers can read: in folders of a file store."""
    return any(place is not None and place.kind is AddressKind.FILESTORE for place in places)


def check_jobs(jobs: int | None, *places: Address | None) -> None:
    """Refuse a number of connections where none of the places can have several.

    Args:
        jobs: What was asked for; None is nothing.
        places: Those that are read, and one that is written.

    Raises:
        UsageError: it is no such number, or there is no PostgreSQL among them.
    """
    if jobs is None:
        return
    if not 1 <= jobs <= MOST_JOBS:
        raise UsageError(f"jobs is from 1 to {MOST_JOBS}, not {jobs}")
    if not any(place is not None and place.kind is AddressKind.POSTGRESQL for place in places):
        raise UsageError(
            "--jobs is about PostgreSQL, which several connections can read and fill at a time, "
            "and there is none here",
            hint="leave it out",
        )


def check_workers_fit(
    artifacts: str, processes: int | None, dask: str | None, *, has_runs: bool
) -> None:
    """Refuse other processes where they have nothing to do, or cannot be meant.

    Args:
        artifacts: What becomes of files.
        processes: What was asked for.
        dask: Likewise.
        has_runs: Whether there are runs that they can read.

    Raises:
        UsageError: no files are copied; or see `check_workers`.
    """
    check_workers(processes, dask)
    if artifacts != "copy" and not has_runs:
        refuse_idle_workers(processes, dask, f"--artifacts {artifacts}")


def refuse_idle_workers(processes: int | None, dask: str | None, because: str) -> None:
    """Refuse other processes where no files are copied, because of an option.

    Raises:
        UsageError: they were asked for.
    """
    if option := said_of_workers(processes, dask):
        raise UsageError(
            f"{option} is about files, and {because} copies none", hint="leave one of the two out"
        )


def refuse_workers(processes: int | None, dask: str | None) -> None:
    """Refuse other processes where the target is a server.

    Raises:
        UsageError: they were asked for.
    """
    if option := said_of_workers(processes, dask):
        raise UsageError(
            f"{option} is for files that go to a database's artifact root: those of a server are "
            "sent by this process",
            hint="leave it out, or say --workers N",
        )


def check_options(artifacts: str, workers: int) -> None:
    """Refuse options that make no sense.

    Raises:
        UsageError: an unknown way to treat artifacts, or no worker.
    """
    if artifacts not in get_args(ArtifactsMode):
        raise UsageError(f"artifacts must be copy, reference or none, not {artifacts!r}")
    if workers < 1:
        raise UsageError(f"workers is at least 1, not {workers}")
