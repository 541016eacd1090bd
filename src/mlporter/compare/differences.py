"""Differences on their way to whoever decides: in memory while they are few, and then on disk."""

from __future__ import annotations

import pickle
import tempfile
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

    from mlporter.compare.report import Difference

__all__ = ["Differences"]

_AT_ONCE = 10_000
"""As many are in memory; of more, so many are looked at together."""


class Differences:
    """A list that does not grow in memory: filled first, then read, in the same order.

    What is on disk is in a file without a name, which nobody else can have written.
    """

    def __init__(self) -> None:
        self._last: list[Difference] = []
        self._file: IO[bytes] | None = None
        self._pieces = 0

    def append(self, one: Difference) -> None:
        """One more."""
        self._last.append(one)
        if len(self._last) >= _AT_ONCE:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with this
            pickle.dump(self._last, self._file, pickle.HIGHEST_PROTOCOL)
            self._pieces += 1
            self._last = []

    def pieces(self) -> Iterator[list[Difference]]:
        """All of them, many at a time."""
        if self._file is not None:
            self._file.seek(0)
            for _ in range(self._pieces):
                # What this very process wrote a moment ago.
                yield cast("list[Difference]", pickle.load(self._file))  # noqa: S301 -- see above
        if self._last:
            yield self._last

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free the space."""
        self._last = []
        if self._file is not None:
            self._file.close()
