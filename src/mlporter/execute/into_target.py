"""A source into a target of whatever kind: planned, and carried out unless only a plan is asked."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from mlporter.execute.database.transfer import DatabaseTransfer
from mlporter.execute.database.upgraded import as_new_as, in_todays_shape
from mlporter.execute.findings.dangling import WithoutDangling
from mlporter.execute.findings.new_columns import without_new_columns
from mlporter.execute.findings.remarks import look_through
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.needing_mlflow import needing_mlflow

if TYPE_CHECKING:
    from mlporter.execute.options import TransferOptions
    from mlporter.execute.result import Result
    from mlporter.plan.three_sides.sent.memory import Memory
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import Source

__all__ = ["into_target"]


def into_target(
    verb: str,
    source: Source,
    place: Address,
    options: TransferOptions,
    memory: Memory,
    *,
    on_progress: OnProgress,
    started: float,
) -> Result:
    """Plan what becomes of a target, and carry it out unless only a plan is asked for.

    Args:
        verb: What the result is called by.
        source: What is copied.
        place: A database or a server.
        options: What the caller asked for.
        memory: What was last sent there.
        on_progress: Called with how far it is.
        started: When the work began, by `time.monotonic`.

    Raises:
        RefusedError: conflicts and the like; nothing was written.
    """
    if place.kind is AddressKind.SERVER:
        with in_todays_shape(source, on_progress) as rows:
            return _into_server(verb, rows, place, options, on_progress, memory)
    options.check(source)
    with as_new_as(place, source, options, on_progress) as rows:
        work = DatabaseTransfer(verb, rows, place, options, on_progress, memory)
        return work.preview(started) if options.dry_run else work.run(started)


def _into_server(  # noqa: PLR0917 -- as above
    verb: str,
    source: Source,
    place: Address,
    options: TransferOptions,
    on_progress: OnProgress,
    memory: Memory,
) -> Result:
    """Copy a registry into a tracking server: step by step, as it takes no transaction."""
    # MLflow takes seconds to import, which a server's credentials need.
    with needing_mlflow("a tracking server", str(place)):
        from mlporter.execute.server.planning.same_answers import SameAnswers  # noqa: PLC0415
        from mlporter.execute.server.transfer import ServerTransfer  # noqa: PLC0415

    options.check_for_server()
    with closing(SameAnswers(source, place, options, memory)) as answers:
        if (known := answers.result(verb)) is not None:
            return known
        seen = look_through(source, on_progress)
        told = seen.others
        if seen.dangling:
            source = WithoutDangling(source, seen.dangling)
            told += tuple(source.entries())
        work = ServerTransfer(
            without_new_columns(source),
            place,
            options.policy,
            options.workers,
            options.retry_time,
            place.map_or(options.uri_map),
            on_progress,
            copies=options.copies(source),
            dry=options.dry_run,
            memory=memory,
            expected=options.expected,
            answers=answers,
        )
        try:
            for item in told:
                work.context.left_out.add(item)
            work.run()
            result = work.result(verb, options.artifacts)
            work.remember_answers(result)
            return result
        finally:
            work.close()
