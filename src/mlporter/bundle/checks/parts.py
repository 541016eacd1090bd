"""Verify: parts of tables, read by whichever worker: every byte hashed, every row decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.files import check_size, hash_stream
from mlporter.bundle.tables.read_parts import decode_part
from mlporter.bundle.tables.rows import OrderCheck
from mlporter.errors import BundleDamagedError, UnreachableError
from mlporter.workers.in_order import answers_in_order
from mlporter.workers.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlporter.bundle.checks.references import Wanted
    from mlporter.bundle.documents.manifest_entries import PartEntry
    from mlporter.bundle.storage.protocol import Storage
    from mlporter.catalogue.types import Table
    from mlporter.workers.task_pool import TaskPool

__all__ = ["LookAtPart", "LookAtRows", "LookedAtRows", "OrderOfParts", "count_rows"]
__all__ += ["look_at_all", "look_at_part"]

_THREADS = 2
"""Parts that threads of this process read at a time: each has a row group in memory."""


@dataclass(frozen=True, slots=True)
class LookAtPart:
    """Read a part, and keep what is wanted of its rows."""

    storage: Storage
    table: Table
    part: PartEntry
    wanted: tuple[Wanted, ...] = ()

    def look(self) -> LookedAtRows:
        """Read it."""
        return look_at_part(self)


class LookAtRows(Protocol):
    """Rows of a table to look at, as plain data."""

    def look(self) -> LookedAtRows:
        """Look at them."""


@dataclass
class LookedAtRows:
    """What was found in some rows of a table, one after the other.

    Attributes:
        problem: What is wrong with the part (what, detail), if anything is.
        disorder: The key of the first row that does not follow the row before it, as a text.
        first: The key of the first row, as arrays of one value; none where there is no key.
        last: That of the last.
        rows: How many were read.
        bytes_read: Bytes that were hashed.
        found: What was wanted of them.
    """

    problem: tuple[str, str] | None = None
    disorder: str = ""
    first: list[pa.Array] = field(default_factory=list)
    last: list[pa.Array] = field(default_factory=list)
    rows: int = 0
    bytes_read: int = 0
    found: list[pa.Table] = field(default_factory=list)

    @property
    def is_wrong(self) -> bool:
        """Whether anything is wrong: another process may see it so, and not this one."""
        return self.problem is not None or bool(self.disorder)

    def read(self, size: int) -> None:
        """Say that so many bytes were read."""
        self.bytes_read += size


def look_at_all(pool: TaskPool, tables: Sequence[TableLook]) -> None:
    """Have tables looked at, several tasks at a time, each table told in its order."""
    if not pool.is_elsewhere:
        pool = Threads(min(_THREADS, pool.width))
    whose = (table for table in tables for _ in table.tasks())
    tasks = chain.from_iterable(table.tasks() for table in tables)
    answers = answers_in_order(pool, _look, tasks, failed=lambda looked: looked.is_wrong)
    for table, looked in zip(whose, answers, strict=True):
        table.take(looked)


class TableLook(Protocol):
    """A table, and what is found in it."""

    def tasks(self) -> Iterator[LookAtRows]:
        """What there is to look at; the same each time."""

    def take(self, looked: LookedAtRows) -> None:
        """Take what was found, in the order of the tasks."""


def _look(task: LookAtRows) -> LookedAtRows:
    return task.look()


def look_at_part(
    task: LookAtPart, take: Callable[[pa.RecordBatch], None] | None = None
) -> LookedAtRows:
    """Do a task; `take` is given all rows, if somebody here wants them."""
    looked, table = LookedAtRows(), task.table
    order = OrderCheck(table.key, repeats=table.repeats)
    kept: list[list[pa.Table]] = [[] for _ in task.wanted]
    try:
        for batch in _batches(task, looked):
            count_rows(batch, table, order, looked)
            for wanted, some in zip(task.wanted, kept, strict=True):
                some.append(wanted.of(batch))
            if take is not None:
                take(batch)
    except BundleDamagedError as error:
        looked.problem = "content", error.message
    except UnreachableError as error:
        looked.problem = "unreadable", error.message
    looked.first, looked.last = order.first, order.last
    looked.found = [pa.concat_tables(some).combine_chunks() for some in kept if some]
    return looked


def count_rows(
    batch: pa.RecordBatch, table: Table, order: OrderCheck, looked: LookedAtRows
) -> None:
    """Count rows, and note the first that is not in order."""
    wrong = order.first_wrong(batch)
    if wrong is not None and not looked.disorder:
        key = {name: batch.column(name)[wrong].as_py() for name in table.key}
        looked.disorder = str(key)[:300]
    looked.rows += batch.num_rows


def _batches(task: LookAtPart, looked: LookedAtRows) -> Iterator[pa.RecordBatch]:
    where, part = task.storage.name, task.part
    with task.storage.open(part.path) as file:
        check_size(where, part.path, file, part.bytes)
        with disk_errors(f"{where}/{part.path}", "read"):
            found = hash_stream(file, looked.read)
            file.seek(0)
        if found != part.sha256:
            raise BundleDamagedError("does not have the SHA-256 in the manifest")
        yield from decode_part(where, task.table, part, file)


class OrderOfParts:
    """The order of rows from part to part, each of which was looked at by itself."""

    def __init__(self, table: Table) -> None:
        """Of this table."""
        self._table = table
        self._order = OrderCheck(table.key, repeats=table.repeats)

    def disorder(self, looked: LookedAtRows) -> str:
        """The key of the first row that does not follow the one before it, as a text; or ""."""
        if not looked.first:
            return looked.disorder
        first, last = (
            pa.RecordBatch.from_arrays(edge, names=list(self._table.key))
            for edge in (looked.first, looked.last)
        )
        found = looked.disorder
        if self._order.first_wrong(first) is not None:
            found = str(first.to_pylist()[0])[:300]
        self._order.first_wrong(last)
        return found
