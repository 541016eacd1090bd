"""What an export or a backup would do: looked at in the source, with nothing written."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlporter.execute.options import check_jobs, check_workers_fit, reads_runs
from mlporter.execute.plan_files import check_expected, write_plan
from mlporter.execute.result import ActionsResult
from mlporter.plan.merge.resolve import resolve_fresh
from mlporter.plan.policy import Policy
from mlporter.plan.table_plan import plan_transfer
from mlporter.plan.three_sides.actions import Action, ActionBook, ActionKind
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.stores.addresses.locating import locate_users
from mlporter.stores.opening import open_source
from mlporter.verbs.moving.counted_export import counted_export

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.bundle.writer import Mode
    from mlporter.execute.result import Result
    from mlporter.progress import OnProgress
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source
    from mlporter.verbs.moving.request import Request
    from mlporter.workers.task_pool import TaskPool

__all__ = ["check_planned", "mode_of", "needs_workers", "open_asked", "plan_export"]

_LARGEST = (1 << 63) - 1
"""A bundle holds any number of an experiment."""


def mode_of(given: Mapping[str, Any]) -> Mode:
    """What is done where the directory is used."""
    return "resume" if given["resume"] else "restart" if given["restart"] else "new"


def needs_workers(origin: Address, given: Mapping[str, Any]) -> bool:
    """Whether other processes have something to do before anything is written: runs to be read.

    Args:
        origin: The source of an `export` or a `backup`.
        given: What the verb was given.

    Raises:
        UsageError: they were asked for, and have nothing to do at all; or there are no tables to
            be read by several connections.
    """
    registry = given["registry"]
    models = None if registry is None else locate_users(registry, origin)
    check_jobs(given["jobs"], origin, models)
    has_runs = reads_runs(origin, models)
    workers = given["processes"], given["dask"]
    check_workers_fit(given["artifacts"], *workers, has_runs=has_runs)
    return has_runs


def open_asked(
    origin: Address,
    given: Mapping[str, Any],
    *,
    part: bool,
    pool: TaskPool,
    on_progress: OnProgress,
) -> Source:
    """Open the source of an `export` or a `backup`, as its arguments ask; the caller closes it.

    Args:
        origin: Where it is.
        given: What the verb was given.
        pool: Who reads the runs of a file store.
        part: Only a part will be read; see `open_source`.
        on_progress: Called with how far reading is.

    Raises:
        MlporterError: as `open_source` says.
    """
    auth, registry = given["auth"], given["registry"]
    return open_source(
        origin,
        uri_map=tuple(given["uri_map"]),
        allow_root=given["allow_root"],
        workers=given["workers"],
        jobs=given["jobs"],
        pool=pool,
        include_secrets=given["include_secrets"],
        retry_time=given["retry_time"],
        part=part,
        orphans=given["orphans"],
        auth=None if auth is None else locate_users(auth, origin),
        registry=None if registry is None else locate_users(registry, origin),
        include_tables=tuple(given["include_tables"]),
        on_progress=on_progress,
    )


def plan_export(
    request: Request,
    source: Source,
    origin: Address,
    place: Address,
    *,
    replaced: str | None,
    on_progress: OnProgress,
) -> Result:
    """Say what an export or a backup would do: rows are counted and files listed, none is read.

    Args:
        request: What is asked for; maybe that the plan is written to a file, or held against one.
        source: What would be copied.
        origin: Where that is.
        place: Where to.
        replaced: The id of the bundle that would be replaced there, if there is one.
        on_progress: Called with how far it is.

    Raises:
        RefusedError: the plan is not that of the file.
    """
    given = request.arguments
    with _actions(request, source, replaced) as book:
        check_expected(request.expected, book)
        result = counted_export(
            request.verb,
            source,
            str(place),
            artifacts=given["artifacts"],
            include_secrets=given["include_secrets"],
            on_progress=on_progress,
        )
        if request.plan_out is not None:
            write_plan(request.plan_out, request.header(origin, place), book, [result])
        actions = ActionsResult.of(book)
    return replace(result, actions=actions, next_command=request.next_command)


def check_planned(request: Request, source: Source, replaced: str | None) -> None:
    """Refuse an export or a backup that is not the one of the plan file that is carried out.

    Raises:
        RefusedError: it is another.
    """
    if request.expected is not None:
        with _actions(request, source, replaced) as book:
            check_expected(request.expected, book)


@contextmanager
def _actions(request: Request, source: Source, replaced: str | None) -> Iterator[ActionBook]:
    """What would be done: all is new there, as in a registry that holds nothing."""
    memory = Memory(lists=request.lists)
    with closing(memory.book):
        if request.lists:
            if replaced is not None:
                why = "it is replaced"
                memory.book.add(Action(ActionKind.DELETE, "bundle", replaced, why=why))
            secrets = request.arguments["include_secrets"]
            tables = plan_transfer(source.tables, {}, include_secrets=secrets).tables
            resolve_fresh(source, tables, Policy(), _LARGEST, memory)
        yield memory.book
