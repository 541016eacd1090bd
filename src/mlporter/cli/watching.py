"""`--watch`: the same again and again, a line a round, until somebody stops it."""

from __future__ import annotations

import random
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from mlporter.cli.render.text import human_seconds, plural
from mlporter.cli.terminal.streams import pause
from mlporter.errors import ExitCode, MlporterError, StateInUseError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.cli.session import Session
    from mlporter.execute.result import Result
    from mlporter.progress import OnProgress

__all__ = ["line_of", "pause_after", "watching"]

_LONGEST = 3600.0
"""Seconds between two tries where nobody answers."""
_DOUBLINGS = 16
_GOES_ON = (UnreachableError, StateInUseError)
"""What may be over at the next round: a server that is being restarted, say."""


def watching(
    session: Session,
    once: Callable[[OnProgress], Result],
    interval: float,
    said: str,
    sleep: Callable[[float], None] | None = None,
) -> int:
    """Do something every so often; a signal ends it, between rounds or within one.

    Args:
        session: Of the command.
        once: One round.
        interval: Seconds from the end of a round to the next.
        said: What is done, for people.
        sleep: Waits; None for `streams.pause`.

    Returns:
        The exit code of what cannot go on, such as a refusal.
    """
    failed = 0
    while True:
        try:
            with session.working() as on_progress:
                result = once(on_progress)
        except _GOES_ON as error:
            failed += 1
            _tell(session, said, _first_line(error), {"exit_code": int(error.exit_code)})
        else:
            failed = 0
            _tell(session, said, line_of(result), result.as_dict())
            if result.exit_code is ExitCode.REFUSED:
                return result.exit_code
        (sleep or pause)(pause_after(failed, interval))


def _tell(session: Session, said: str, line: str, data: dict[str, Any]) -> None:
    session.output.round_done(data, f"{_now()} {said}: {line}")


def pause_after(failed: int, interval: float) -> float:
    """Seconds to wait: longer and longer while rounds fail, by a random part."""
    if not failed:
        return interval
    longest = max(_LONGEST, interval)
    doubled = interval * 2.0 ** min(failed - 1, _DOUBLINGS)
    # No two that wait for the same server are to come back to it at once, again and again.
    return min(longest, doubled) + random.uniform(0, interval)  # noqa: S311 -- no secret


def line_of(result: Result) -> str:
    """A round in a line."""
    actions = result.actions
    parts = [
        f"{count} {word}"
        for word, count in (
            ("new", sum(unit.new for unit in result.units) if result.units else result.rows),
            ("updated", actions.total("update", "move")),
            ("deleted", actions.total("delete")),
            ("kept as edited", actions.total("keep")),
            ("in conflict", actions.total("conflict")),
        )
        if count
    ]
    if result.left_out.unexpected:
        parts.append(f"{plural(result.left_out.unexpected, 'thing')} left out")
    return f"{', '.join(parts) or 'nothing to do'} ({human_seconds(result.seconds)})"


def _first_line(error: MlporterError) -> str:
    return str(error).partition("\n")[0]


def _now() -> str:
    return datetime.now(timezone.utc).astimezone().strftime("%H:%M:%S")
