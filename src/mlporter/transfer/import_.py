"""`import` and `copy`: a registry into a database."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from time import monotonic
from typing import TYPE_CHECKING

from mlporter.errors import RefusedError, UsageError
from mlporter.progress import OnProgress, silent
from mlporter.stores.address import Address, AddressKind, parse_address
from mlporter.stores.database.target import open_database_target
from mlporter.stores.opening import open_source
from mlporter.transfer.apart import check_apart, check_outside
from mlporter.transfer.export import ArtifactsMode, check_options
from mlporter.transfer.left_out import secrets_left_out
from mlporter.transfer.load import Load
from mlporter.transfer.plan import plan_transfer, strange_tables
from mlporter.transfer.preflight import MAX_REASONS
from mlporter.transfer.result import Result
from mlporter.transfer.rewrite import Rewrite
from mlporter.transfer.target_files import TargetFiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlporter.stores.database.target import DatabaseTarget
    from mlporter.stores.protocols import Source

__all__ = ["copy", "import_"]


def import_(
    bundle: str,
    target: str,
    *,
    artifact_root: str | None = None,
    artifacts: ArtifactsMode = "copy",
    uri_map: Sequence[str] = (),
    workers: int = 4,
    include_secrets: bool = False,
    on_progress: OnProgress = silent,
) -> Result:
    """Import a bundle into an empty database: everything, or nothing.

    Where the database has no tables, MLflow's own code creates them. Rows go in in one
    transaction, are read back and compared, and are only then committed.

    Args:
        bundle: The directory that `export` wrote.
        target: Address of a database.
        artifact_root: Where the target keeps artifact files; URIs are rewritten to it. Needed
            where files are copied.
        artifacts: ``copy``, ``reference`` (keep the URIs, copy no file) or ``none``.
        uri_map: ``FROM=TO`` pairs: where places below `artifact_root` are really reached from here.
        workers: Files that are written at a time.
        include_secrets: Carry secrets too, if the bundle has them.
        on_progress: Told how far it is.

    Raises:
        RefusedError: the target is not empty, or cannot hold a value; nothing was written.
        BundleError: the bundle is damaged or unfinished.
        UnreachableError: the target cannot be reached, or refused a row; nothing was kept.
    """
    if parse_address(bundle).kind is not AddressKind.BUNDLE:
        raise UsageError(
            "import reads a bundle", subject=str(parse_address(bundle)), hint="use mlporter copy"
        )
    wishes = _Wishes(artifact_root, artifacts, tuple(uri_map), workers, include_secrets)
    return _transfer("import", bundle, target, wishes, on_progress)


def copy(
    source: str,
    target: str,
    *,
    artifact_root: str | None = None,
    artifacts: ArtifactsMode = "copy",
    uri_map: Sequence[str] = (),
    workers: int = 4,
    include_secrets: bool = False,
    on_progress: OnProgress = silent,
) -> Result:
    """Copy a registry straight into an empty database: everything, or nothing.

    As `export` and `import_` in one, with nothing in between. `uri_map` says where artifact URIs
    of both sides are really found. Arguments and errors are those of `import_`.
    """
    wishes = _Wishes(artifact_root, artifacts, tuple(uri_map), workers, include_secrets)
    return _transfer("copy", source, target, wishes, on_progress)


@dataclass(frozen=True)
class _Wishes:
    """What the caller asked for: the options of `import_` and `copy`."""

    artifact_root: str | None
    artifacts: ArtifactsMode
    uri_map: tuple[str, ...]
    workers: int
    include_secrets: bool

    def check(self, source: Source) -> None:
        """Refuse wishes that exclude each other, or leave out where files go."""
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

    def copies(self, source: Source) -> bool:
        """Whether files are to be copied, and the source has any to copy."""
        return self.artifacts == "copy" and source.description.artifacts == "copy"


def _transfer(
    verb: str, source: str, target: str, wishes: _Wishes, on_progress: OnProgress
) -> Result:
    check_options(wishes.artifacts, wishes.workers)
    place = _database(target)
    origin = parse_address(source)
    check_apart(origin, place)
    check_outside(origin, place.path, "the target")
    check_outside(origin, wishes.artifact_root, "the artifact root")
    started = monotonic()
    opened = open_source(
        source,
        uri_map=wishes.uri_map,
        workers=wishes.workers,
        include_secrets=wishes.include_secrets,
    )
    try:
        wishes.check(opened)
        load = _open_load(opened, place, wishes, on_progress)
        load.run()
    finally:
        opened.close()
    return Result(
        verb=verb,
        source=opened.description.address,
        target=str(place),
        tables=tuple(load.carried),
        files=load.files_result,
        left_out=load.left_out.summary(),
        notes=tuple(load.notes),
        seconds=monotonic() - started,
        next_command=f"mlporter diff {quote(opened.description.address)} {quote(str(place))}",
    )


def _open_load(source: Source, place: Address, wishes: _Wishes, on_progress: OnProgress) -> Load:
    root = wishes.artifact_root
    rewrite = None if root is None else Rewrite(source, root)
    files = None
    if rewrite is not None and wishes.copies(source):
        files = TargetFiles(rewrite, wishes.uri_map)
    counts = {table.name: source.count(table.name) for table in source.tables}
    target = open_database_target(place, source.description.revision)
    try:
        _check_tables(source, target)
        plan = plan_transfer(
            source.tables, counts, target.tables, include_secrets=wishes.include_secrets
        )
        load = Load(source, target, plan, rewrite, files, wishes.workers, on_progress)
        for item in secrets_left_out(source):
            load.left_out.add(item)
    except BaseException:
        target.rollback()
        raise
    return load


def _check_tables(source: Source, target: DatabaseTarget) -> None:
    if reasons := strange_tables(source.tables, target.tables):
        raise RefusedError(
            f"its tables are not those of schema revision {target.revision}",
            subject=source.description.address,
            hint="it was edited, or made by something else than mlporter",
            reasons=reasons[:MAX_REASONS],
        )


def _database(address: str) -> Address:
    place = parse_address(address)
    if place.kind is AddressKind.BUNDLE:
        raise UsageError(
            "the target is a database; a directory is written by `mlporter export`",
            subject=str(place),
            hint="name it as sqlite:///name.db or postgresql://user@host/name",
        )
    return place
