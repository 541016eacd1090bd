"""Trying again: for how long, with what pauses, and when it is no use."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

import tenacity

from mlporter.errors import UnreachableError
from mlporter.stores.rest.answers import LostAnswerError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

__all__ = ["RETRY_TIME", "persist"]

RETRY_TIME = 120.0
"""Seconds after which a server that keeps failing is given up, unless told otherwise."""

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 30.0
_TRIES = 4
"""Where MLflow itself says that it failed."""

_T = TypeVar("_T")


def persist(ask: Callable[[], _T], *, again: bool, seconds: float, stopped: Event) -> _T:
    """Do it until it works, fails for good, or the time is over.

    Args:
        ask: What may raise `TransientError`.
        again: Whether it does no harm if it is done twice.
        seconds: How long it is tried.
        stopped: Set where nobody waits for it any more.

    Raises:
        UnreachableError: the time is over; `LostAnswerError` where it must not be done twice.
    """

    def worth(error: BaseException) -> bool:
        return isinstance(error, TransientError) and (again or not error.done)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(worth),
        stop=tenacity.stop_any(
            tenacity.stop_before_delay(seconds), tenacity.stop_when_event_set(stopped), _Defect()
        ),
        wait=_pause,
        sleep=tenacity.sleep_using_event(stopped),
        reraise=True,
    )
    try:
        return retrying(ask)
    except TransientError as error:
        raise _given_up(error, again=again) from None


class _Defect(tenacity.stop.stop_base):
    """Stops where MLflow itself says that it failed, again and again."""

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        is_own = isinstance(error, TransientError) and error.failure is not None
        return is_own and retry_state.attempt_number >= _TRIES


def _pause(state: tenacity.RetryCallState) -> float:
    """Seconds until the next try: as the server says, or doubled each time, with full jitter."""
    error = state.outcome.exception() if state.outcome else None
    jitter = random.random()  # noqa: S311 -- nothing secret in it
    if isinstance(error, TransientError) and error.after is not None:
        return error.after + jitter * _FIRST_WAIT
    return (0.5 + jitter / 2) * min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (state.attempt_number - 1))


def _given_up(error: TransientError, *, again: bool) -> UnreachableError:
    if error.done and not again:
        return LostAnswerError(
            f"it may or may not have been done: {error.message}",
            subject=error.subject,
            hint="run the same command again: it finds what was done",
        )
    if error.failure is not None:
        return error.failure
    hint = error.hint or "run it again when the server has recovered, or raise --retry-time"
    return UnreachableError(error.message, subject=error.subject, hint=hint)
