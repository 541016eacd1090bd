"""What was opened is closed again where it is of no use after all."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["closed_on_error"]


class Closeable(Protocol):
    """What is closed once nobody needs it."""

    def close(self) -> None:
        """Let go of what it holds."""


@contextmanager
def closed_on_error(*opened: Closeable) -> Iterator[None]:
    """Close what was opened, the last first, if what is done with it fails or is interrupted."""
    with ExitStack() as stack:
        for one in opened:
            stack.callback(one.close)
        yield
        stack.pop_all()
