"""`diff`: prove that nothing was lost."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from mlporter.catalogue import source_tags
from mlporter.catalogue.types import Kind
from mlporter.compare.diff import OPENING, diff_sources, phases_of_diff
from mlporter.compare.scope import CompareOptions
from mlporter.errors import UsageError
from mlporter.execute.options import check_jobs
from mlporter.plan.matching.aligned import aligned
from mlporter.plan.matching.counterparts import WithoutSourceTags, has_source_tags
from mlporter.progress import OnProgress, silent
from mlporter.reports.reading.sides import read_beside
from mlporter.reports.report_file import check_report_file
from mlporter.reports.things import Beside
from mlporter.selection import Selection, as_selection, select
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.addresses.locating import locate, locate_users
from mlporter.stores.opening import open_source, settled
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.stores.rows.version_locations import rows_of
from mlporter.stores.views.foreign_tables import WithoutForeign, is_foreign
from mlporter.stores.views.older_tables import for_older_tables
from mlporter.verbs.reports import write_difference
from mlporter.workers.choice import check_workers, task_pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from mlporter.compare.report import DiffReport
    from mlporter.selection import Asked
    from mlporter.stores.addresses.address import Place
    from mlporter.stores.protocols import Source

__all__ = ["diff", "diff_places"]

FilesCompared = Literal["content", "listing", "none"]
"""How files are compared: byte by byte (by SHA-256), by path and size, or not at all."""


def diff(
    a: Place,
    b: Place,
    *,
    strict: bool = False,
    artifacts: FilesCompared = "content",
    limit: int = 1000,
    uri_map: Sequence[str] = (),
    allow_root: Sequence[Place] = (),
    workers: int = 4,
    jobs: int | None = None,
    processes: int | None = None,
    dask: str | None = None,
    retry_time: float = RETRY_TIME,
    auth: Place | None = None,
    target_auth: Place | None = None,
    registry: Place | None = None,
    include_tables: Sequence[str] = (),
    source_env: str | None = None,
    target_env: str | None = None,
    selection: Asked = None,
    html: str | PathLike[str] | None = None,
    on_progress: OnProgress = silent,
) -> DiffReport:
    """Compare two places, field by field and file by file. Neither is changed.

    A bundle of a part of a registry is compared with the same part of the other place.

    Args:
        a: Address of a bundle or a database.
        b: The other one.
        strict: Compare also what a move may change: places, derived tables, secrets.
        artifacts: How files are compared.
        limit: How many differences are kept by name; all are counted.
        uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found.
        allow_root: Folders of this machine that files may be read from, though the registry keeps
            none there.
        workers: Files that are read, and requests sent, at a time.
        jobs: So many connections read a large table of PostgreSQL; None is by the processors.
        processes: So many processes of this machine read files instead of threads.
        dask: The workers of this Dask scheduler do; or ``local:4``.
        retry_time: Seconds after which a server that keeps failing is given up.
        auth: Where the users of A are, if they have a database of their own.
        target_auth: The same of B.
        registry: Where the registered models of A are, if they are in another place.
        include_tables: Compare these tables of other programs, too.
        source_env: What the names of the variables of `a` alone begin with, such as ``DEV_``.
        target_env: The same of `b`.
        selection: Compare only this part of both, of what each of them has of it.
        html: Write a report to this file, too.
        on_progress: Called with how far it is.

    Raises:
        MlporterError: as `mlporter.stores.opening.open_source`.
    """
    page = check_report_file(html)
    compared = diff_places(
        a,
        b,
        strict=strict,
        artifacts=artifacts,
        limit=limit,
        uri_map=uri_map,
        allow_root=allow_root,
        workers=workers,
        jobs=jobs,
        processes=processes,
        dask=dask,
        retry_time=retry_time,
        auth=auth,
        target_auth=target_auth,
        registry=registry,
        include_tables=include_tables,
        source_env=source_env,
        target_env=target_env,
        selection=selection,
        for_report=page is not None,
        on_progress=on_progress,
    )
    if page is not None:
        write_difference(*compared, page)
    return compared[0]


def diff_places(
    a: Place,
    b: Place,
    *,
    strict: bool = False,
    artifacts: FilesCompared = "content",
    limit: int = 1000,
    uri_map: Sequence[str] = (),
    allow_root: Sequence[Place] = (),
    workers: int = 4,
    jobs: int | None = None,
    processes: int | None = None,
    dask: str | None = None,
    retry_time: float = RETRY_TIME,
    auth: Place | None = None,
    target_auth: Place | None = None,
    registry: Place | None = None,
    include_tables: Sequence[str] = (),
    source_env: str | None = None,
    target_env: str | None = None,
    selection: Asked = None,
    for_report: bool = False,
    on_progress: OnProgress = silent,
) -> tuple[DiffReport, Beside]:
    """As `diff`; with what a report shows beside it, if it is `for_report`."""
    one_place, other_place = settled(locate(a, source_env)), settled(locate(b, target_env))
    selection = as_selection(selection)
    check_workers(processes, dask)
    models = None if registry is None else locate_users(registry, one_place)
    check_jobs(jobs, one_place, other_place, models)
    options = CompareOptions(strict=strict, artifacts=artifacts, limit=limit, workers=workers)
    dedupe = not strict and not all(_may_repeat(address) for address in (one_place, other_place))
    opened = partial(
        open_source,
        uri_map=tuple(uri_map),
        allow_root=allow_root,
        workers=workers,
        jobs=jobs,
        retry_time=retry_time,
        dedupe=dedupe,
        on_progress=on_progress,
    )
    phases_of_diff(on_progress, artifacts).begin(OPENING)
    with ExitStack() as stack:
        pool = stack.enter_context(task_pool(workers, processes, dask))
        options, opened = replace(options, pool=pool), partial(opened, pool=pool)
        users = None if auth is None else locate_users(auth, one_place)
        theirs = None if target_auth is None else locate_users(target_auth, other_place)
        left = stack.enter_context(closing(opened(one_place, auth=users, registry=models)))
        right = stack.enter_context(closing(opened(other_place, auth=theirs)))
        left, right, foreign = _without_foreign(left, right, tuple(include_tables))
        one, other, limits = _alike(left, right, selection)
        briefly = {"what was not asked for": 0} if limits else {}
        briefly |= {"tables of other programs": len(foreign)} if foreign else {}
        limits += [f"Tables that are not MLflow's: {', '.join(foreign)}."] if foreign else []
        if not strict:
            # Each as the other has it, where that is older than MLflow 3.17.
            one, other = (
                for_older_tables(one, other.tables),
                for_older_tables(other, one.tables),
            )
            copied = has_source_tags(one) or has_source_tags(other)
            one, said = aligned(one, other)
            limits += said
            if copied:
                one, other = WithoutSourceTags(one), WithoutSourceTags(other)
                options = replace(options, copied=True)
                set_there = ", ".join(source_tags.SERVERS_OWN)
                limits.append(f"Tags {source_tags.OURS}*, and what a server sets: {set_there}.")
            one, other = _as_rest_shows(one, other, stack)
        report = diff_sources(one, other, options, on_progress)
        beside = read_beside(report, one, other) if for_report else Beside()
        report = replace(
            report,
            ignored=[*report.ignored, *limits],
            not_compared={**report.not_compared, **briefly},
        )
        return report, beside


def _without_foreign(
    left: Source, right: Source, include: tuple[str, ...]
) -> tuple[Source, Source, list[str]]:
    """Both sources without other programs' tables, but for some, and the names of these."""
    tables = (*left.tables, *right.tables)
    # One side may know, by its MLflow, that a table is MLflow's.
    names = {t.name for t in tables if is_foreign(t)} - {
        t.name for t in tables if t.kind is Kind.NEWER
    }
    if unknown := [name for name in include if name not in names]:
        raise UsageError(f"neither side has a table {unknown[0]!r} of another program")
    names -= set(include)
    if not names:
        return left, right, []
    one, other = (WithoutForeign(source, frozenset(names)) for source in (left, right))
    return one, other, sorted(names)


def _as_rest_shows(left: Source, right: Source, stack: ExitStack) -> tuple[Source, Source]:
    """Both sources as MLflow's REST API shows them, if one of them was read over it."""
    if not (left.description.over_rest or right.description.over_rest):
        return left, right
    # It needs a database driver, which comparing bundles does not.
    from mlporter.stores.views.rest_view import RestView  # noqa: PLC0415

    one, other = (stack.enter_context(closing(RestView(source))) for source in (left, right))
    return one, other


def _may_repeat(address: Address) -> bool:
    """Whether a place may hold rows that are exactly alike, which a database holds once."""
    return address.kind in {AddressKind.BUNDLE, AddressKind.SNAPSHOT, AddressKind.FILESTORE}


def _alike(
    left: Source, right: Source, selection: Selection | None
) -> tuple[Source, Source, list[str]]:
    """Both sources, reduced to what was asked for, or to what the other one was reduced to.

    A place that lacks some of it is what a comparison is for, and no error.
    """
    if selection is not None and not selection.is_everything:
        selection = _by_name(left, selection)
        chosen = [select(source, selection, partly=True) for source in (left, right)]
        return chosen[0], chosen[1], [f"What was not asked for: {selection.options()}."]
    one, other = left.description.selection, right.description.selection
    recorded = _recorded(one or other or {}) if bool(one) != bool(other) else None
    if recorded is None:
        return left, right, []
    whose = "A" if one else "B"
    limits = [f"What is not in the part that {whose} holds: {recorded.options()}."]
    if one:
        return left, select(right, recorded, partly=True), limits
    return select(left, recorded, partly=True), right, limits


def _by_name(source: Source, selection: Selection) -> Selection:
    """A selection with names in place of ids of A's experiments: B has other ids."""
    names = dict(rows_of(source, "experiments", ("experiment_id", "name")))
    taken = set(names.values())
    asked = (
        names.get(int(pattern), pattern)
        if pattern.isdecimal() and pattern not in taken
        else pattern
        for pattern in selection.experiments
    )
    return replace(selection, experiments=tuple(asked))


def _recorded(words: Mapping[str, object]) -> Selection | None:
    """The selection that a manifest records; None if it does not say all, or says it otherwise."""
    try:
        return Selection.from_words(words)
    except UsageError:
        return None
