"""What an export would do: looked at in the source and at the place, with nothing written."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlporter.execute.plan_files import check_expected, write_plan
from mlporter.execute.result import ActionsResult
from mlporter.plan.merge.resolve import resolve_fresh
from mlporter.plan.policy import Policy
from mlporter.plan.table_plan import plan_transfer
from mlporter.plan.three_sides.actions import Action, ActionBook, ActionKind
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.verbs.moving.bundle_places import check_free, replaced_bundle
from mlporter.verbs.moving.counted_export import counted_export

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.bundle.writer import Mode
    from mlporter.execute.result import Result
    from mlporter.progress import OnProgress
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source
    from mlporter.verbs.moving.request import Request

__all__ = ["check_planned", "mode_of", "note_contents", "plan_export"]

_LARGEST = (1 << 63) - 1
"""A bundle holds any number of an experiment."""


def mode_of(given: Mapping[str, Any]) -> Mode:
    """What is done where the directory is used."""
    return "resume" if given["resume"] else "restart" if given["restart"] else "new"


def plan_export(
    request: Request, source: Source, origin: Address, place: Address, on_progress: OnProgress
) -> Result:
    """Say what an export would do: rows are counted and files listed, but none is read.

    Args:
        request: What is asked for; maybe that the plan is written to a file, or held against one.
        source: What would be exported.
        origin: Where that is.
        place: The directory.
        on_progress: Told how far it is.

    Raises:
        RefusedError: the directory is used otherwise; or the plan is not that of the file.
    """
    check_free(place, mode_of(request.arguments))
    with _actions(request, source, place) as book:
        check_expected(request.expected, book)
        result = _counted(request.arguments, source, place, on_progress)
        if request.plan_out is not None:
            write_plan(request.plan_out, request.header(origin, place), book, [result])
        actions = ActionsResult.of(book)
    return replace(result, actions=actions, next_command=request.next_command)


def check_planned(request: Request, source: Source, place: Address) -> None:
    """Refuse an export that is not the one of the plan file that is carried out.

    Raises:
        RefusedError: it is another.
    """
    if request.expected is not None:
        with _actions(request, source, place) as book:
            check_expected(request.expected, book)


@contextmanager
def _actions(request: Request, source: Source, place: Address) -> Iterator[ActionBook]:
    """What would be done: all is new there, as in a registry that holds nothing."""
    memory = Memory(lists=request.lists)
    try:
        if request.lists:
            replaced = replaced_bundle(place, mode_of(request.arguments))
            if replaced is not None:
                why = "it is replaced"
                memory.book.add(Action(ActionKind.DELETE, "bundle", replaced, why=why))
            note_contents(request, source, memory)
        yield memory.book
    finally:
        memory.book.close()


def note_contents(request: Request, source: Source, memory: Memory) -> None:
    """Note everything that a bundle or a snapshot would hold, as new."""
    secrets = request.arguments["include_secrets"]
    tables = plan_transfer(source.tables, {}, include_secrets=secrets).tables
    resolve_fresh(source, tables, Policy(), _LARGEST, memory)


def _counted(
    given: Mapping[str, Any], source: Source, place: Address, on_progress: OnProgress
) -> Result:
    return counted_export(
        "export",
        source,
        str(place),
        artifacts=given["artifacts"],
        include_secrets=given["include_secrets"],
        on_progress=on_progress,
    )
