"""Statements whose rows follow one another, read by several connections at a time, in order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from mlporter import stopping
from mlporter.stores.database.connection.feed import Handover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from mlporter.stores.database.connection.connection import Connection

    Read = Callable[[Connection, "S"], Iterator[pa.RecordBatch]]

__all__ = ["SideBySide"]

S = TypeVar("S")

_AHEAD = 2
"""Batches of a statement that wait to be taken; its connection waits with the next one."""


class SideBySide(Generic[S]):
    """All rows of statements, in their order.

    So many statements are begun as there are connections, and at most one more is read to its end
    before its turn: what is held does not grow with the statements, nor with the rows of one.
    """

    def __init__(
        self, statements: Iterable[S], connections: Sequence[Connection], read: Read[S]
    ) -> None:
        """Nothing is begun.

        Args:
            statements: Taken in the thread of whoever takes the rows, as connections get free.
            connections: Each is used by a thread of its own, for one statement at a time.
            read: Gives the rows of a statement. What it raises is raised where they would be.
        """
        self._statements = statements
        self._connections = connections
        self._read = read
        self._waiting: SimpleQueue[_Reading[S] | None] = SimpleQueue()
        self._begun: deque[_Reading[S]] = deque()
        self._closed = False
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(len(connections), "mlporter-sections")

    def rows(self) -> Iterator[pa.RecordBatch]:
        """The rows, once.

        Raises:
            CancelledError: it was closed before they had all been taken.
        """
        try:
            for connection in self._connections:
                self._pool.submit(_read_all, connection, self._waiting, self._read)
            for statement in self._statements:
                self._begin(statement)
                if len(self._begun) > len(self._connections):
                    yield from self._first()
            while self._begun:
                yield from self._first()
        finally:
            self.close()

    def _begin(self, statement: S) -> None:
        with self._lock:
            if self._closed:
                raise CancelledError
            self._begun.append(_Reading(statement))
            self._waiting.put(self._begun[-1])

    def _first(self) -> Iterator[pa.RecordBatch]:
        yield from self._begun[0].rows()
        with self._lock:
            self._begun.popleft()

    def close(self) -> None:
        """End what is read, whoever takes the rows; no connection is used any more afterwards."""
        with self._lock:
            self._closed = True
            for reading in self._begun:
                reading.give_up()
        for _ in self._connections:
            self._waiting.put(None)
        self._pool.shutdown()


def _read_all(
    connection: Connection, waiting: SimpleQueue[_Reading[S] | None], read: Read[S]
) -> None:
    """Read what waits, one statement after the other, until there is none."""
    while (reading := waiting.get()) is not None:
        reading.fill(connection, read)


class _Reading(Generic[S]):
    """A statement, and its rows on their way from one thread to another."""

    def __init__(self, statement: S) -> None:
        self._statement = statement
        self._handover = Handover(_AHEAD)

    def fill(self, connection: Connection, read: Read[S]) -> None:
        """Read it, unless it was given up."""
        error = None
        try:
            if not self._handover.given_up:
                for batch in read(connection, self._statement):
                    stopping.check()
                    if not self._handover.put(batch):
                        break
        except BaseException as raised:  # noqa: BLE001 -- raised again where it is waited for
            error = raised
        self._handover.end(error)

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Its rows, as they come."""
        return self._handover.batches()

    def give_up(self) -> None:
        """Nobody takes its rows any more."""
        self._handover.give_up()
