"""One connection to a database, speaking Arrow; what differs between engines is a `Dialect`.

SQLite and PostgreSQL are driven through ADBC (Arrow Database Connectivity): rows come and go as
Arrow batches and never as Python tuples, which is what makes a million rows a second possible.
MySQL has no such driver: see `mlporter.stores.database.mysql.connection`.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from contextlib import suppress
from threading import RLock
from typing import TYPE_CHECKING, Any, Protocol

import adbc_driver_manager
import pyarrow as pa
import pyarrow.compute as pc

from mlporter.errors import MlporterError, RowRefusedError, UnreachableError
from mlporter.redaction import redact
from mlporter.stores.database.connection.feed import Feed
from mlporter.stores.database.connection.interrupts import interruptible
from mlporter.stores.database.connection.ties import settled
from mlporter.stores.database.connection.values import StrangeValueError
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adbc_driver_manager import dbapi

    from mlporter.catalogue.types import Column, Table
    from mlporter.stores.database.connection.values import Raw

__all__ = ["AdbcConnection", "AdbcDialect", "Connection", "Dialect"]
__all__ += ["conform", "driver_error", "misfit", "quoted"]


class Dialect(Protocol):
    """What an engine says differently."""

    @property
    def name(self) -> str:
        """``sqlite``, ``postgresql`` or ``mysql``."""

    def select(
        self,
        table: Table,
        columns: tuple[Column, ...],
        where: str = "",
        relation: str = "",
        *,
        as_lying: bool = False,
    ) -> str:
        """SQL for all rows of a table, sorted by its key, text by UTF-8 bytes.

        `relation` is SQL that stands for the table, if it is not read itself. With `as_lying` the
        order may be that in which rows were written.
        """


class AdbcDialect(Dialect, Protocol):
    """What an engine says differently, and how its ADBC driver wants to be used."""

    def unsettled(
        self, table: Table, columns: tuple[Column, ...], relation: str
    ) -> tuple[str, ...]:
        """The last columns of a table's order, by which `select` leaves it to us to sort."""

    def strip(self, batch: pa.RecordBatch, *, first: bool) -> pa.RecordBatch:
        """Take out what `select` put in only to steer the driver."""

    def select_raw(
        self, table: Table, columns: tuple[Column, ...], where: str, relation: str
    ) -> str:
        """SQL for the same rows in the same order, of which no value stops the driver."""

    def raw(self, batch: pa.RecordBatch, columns: tuple[Column, ...]) -> list[list[Raw]]:
        """The values by column, as they are stored, of a batch that `select_raw` gave."""

    def statement_options(self, table: Table) -> dict[str, str]:
        """ADBC options for reading this table (batch sizes)."""


def quoted(name: str) -> str:
    """An identifier as SQL text; unknown tables and columns may be called anything."""
    return '"' + name.replace('"', '""') + '"'


def driver_error(error: adbc_driver_manager.Error, subject: str) -> MlporterError:
    """The error of a driver as one of ours, without credentials."""
    lines = [line.strip() for line in redact(str(error)).splitlines() if line.strip()]
    message = lines[0] if lines else type(error).__name__
    if "ERROR:" not in message:
        # PostgreSQL's own words come behind a statement of many lines.
        said = (line.partition("ERROR:")[2].strip() for line in lines)
        message = next(filter(None, said), message)
    for noise in ("IO: ", "INTERNAL: ", "INVALID_DATA: ", "INVALID_ARGUMENT: ", "[libpq] "):
        message = message.removeprefix(noise)
    hint = "see the database's own log"
    if "full" in message.lower() or "no space" in message.lower():
        hint = "free up some space, and run it again"
    elif "constraint" in message.lower() or "datatype mismatch" in message.lower():
        hint = "the rows violate MLflow's schema; for a bundle, `mlporter verify` says more"
    broken = isinstance(error, adbc_driver_manager.IntegrityError)
    kind = RowRefusedError if broken or "constraint" in message.lower() else UnreachableError
    return kind(message, subject=subject, hint=hint)


class Connection(Protocol):
    """A connection in autocommit mode: transactions are begun and ended by `execute`.

    Several threads may read several tables through it at a time. Names in statements are quoted
    by `quoted`, on every engine.

    Attributes:
        subject: What it is connected to, for messages; redacted.
    """

    subject: str

    @property
    def dialect(self) -> Dialect:
        """What the engine says differently."""

    def execute(self, sql: str) -> None:
        """Run a statement that returns nothing."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a small result."""

    def scalar(self, sql: str) -> Any:  # noqa: ANN401 -- whatever the database returns
        """The first value of a result, or None."""

    def read(
        self,
        table: Table,
        columns: tuple[Column, ...],
        where: str = "",
        relation: str = "",
        *,
        as_lying: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table sorted by its key (see `Dialect.select`), as the catalogue types them.

        Raises:
            StrangeValueError: a value does not fit; those before its batch were given.
        """

    def read_raw(
        self, table: Table, columns: tuple[Column, ...], where: str, relation: str
    ) -> Iterator[list[list[Raw]]]:
        """The same rows in the same order, as lists by column of values as they are stored."""

    def ingest(self, table: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        """Append batches to a table, within the transaction at hand; return the rows appended.

        Raises:
            UnreachableError: the database refused a row; its own words are in the message.
        """

    @property
    def closed(self) -> bool:
        """Whether it was closed."""

    def close(self) -> None:
        """Close it (once); an open transaction is rolled back by the database."""


class AdbcConnection:
    """`Connection` through an ADBC driver.

    A lock lets one thread at a time into the driver, batch by batch. Whoever reads on after
    another thread has closed it gets a `CancelledError`.
    """

    def __init__(self, handle: dbapi.Connection, dialect: AdbcDialect, subject: str) -> None:
        self._handle = handle
        self.dialect = dialect
        self.subject = subject
        self._closed = False
        self._lock = RLock()
        self._sorting: dbapi.Cursor | None = None

    def execute(self, sql: str) -> None:
        """Run a statement that returns nothing."""
        with self._handle.cursor() as cursor:
            try:
                interruptible(lambda: cursor.execute(sql), cursor.adbc_cancel)
            except adbc_driver_manager.Error as error:
                raise driver_error(error, self.subject) from error

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a small result; a text that is not UTF-8 is its bytes."""
        with self._handle.cursor() as cursor:

            def fetch() -> list[tuple[Any, ...]]:
                cursor.execute(sql)
                columns = cursor.fetch_arrow_table().columns
                return list(zip(*(_values(column) for column in columns), strict=True))

            try:
                return interruptible(fetch, cursor.adbc_cancel)
            except adbc_driver_manager.Error as error:
                raise driver_error(error, self.subject) from error

    def scalar(self, sql: str) -> Any:  # noqa: ANN401 -- whatever the database returns
        """The first value of a result, or None."""
        rows = self.rows(sql)
        return rows[0][0] if rows else None

    def read(
        self,
        table: Table,
        columns: tuple[Column, ...],
        where: str = "",
        relation: str = "",
        *,
        as_lying: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table sorted by its key (see `Dialect.select`), as the catalogue types them."""
        schema = pa.schema([pa.field(c.name, c.type, c.nullable) for c in columns])
        select = self.dialect.select(table, columns, where, relation, as_lying=as_lying)
        batches = (
            conform(rows, schema, table.name, self.subject) for rows in self._batches(table, select)
        )
        rest = () if as_lying else self.dialect.unsettled(table, columns, relation)
        yield from settled(batches, table.order, rest)

    def read_raw(
        self, table: Table, columns: tuple[Column, ...], where: str, relation: str
    ) -> Iterator[list[list[Raw]]]:
        """The same rows, as lists by column of values as they are stored."""
        select = self.dialect.select_raw(table, columns, where, relation)
        for rows in self._batches(table, select):
            yield self.dialect.raw(rows, columns)

    def _batches(self, table: Table, select: str) -> Iterator[pa.RecordBatch]:
        with self._lock:
            self._check_open()
            cursor = self._handle.cursor()
        try:
            cursor.adbc_statement.set_options(**self.dialect.statement_options(table))
            with self._lock:
                self._check_open()
                self._sorting = cursor
                try:
                    interruptible(lambda: cursor.execute(select), cursor.adbc_cancel, reads=True)
                    reader = cursor.fetch_record_batch()
                finally:
                    self._sorting = None
            first = True
            while (batch := self._next(reader)) is not None:
                rows = self.dialect.strip(batch, first=first)
                first = False
                if rows.num_rows:
                    yield rows
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            raise _read_error(error, table.name, self.subject) from error
        finally:
            with self._lock:
                cursor.close()

    def _check_open(self) -> None:
        """Read nothing of what was closed: a driver would crash."""
        if self._closed:
            raise CancelledError

    def _next(self, reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
        with self._lock:
            self._check_open()
            try:
                return reader.read_next_batch()
            except StopIteration:
                return None

    def ingest(self, table: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        """Append batches to a table, within the transaction at hand; return the rows appended.

        Raises:
            UnreachableError: the database refused a row; its own words are in the message.
        """
        feed = Feed(batches)
        reader = pa.RecordBatchReader.from_batches(schema, feed)
        with self._handle.cursor() as cursor:

            def stop() -> None:
                feed.stopped = True
                cursor.adbc_cancel()

            try:
                interruptible(lambda: cursor.adbc_ingest(table, reader, mode="append"), stop)
            except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
                if feed.error is not None:
                    raise feed.error from error
                if isinstance(error, adbc_driver_manager.Error):
                    raise driver_error(error, f"{self.subject} table {table}") from error
                raise
        return feed.rows

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Close it (once); an open transaction is rolled back by the database."""
        sorting = self._sorting
        if sorting is not None:
            with suppress(adbc_driver_manager.Error):
                sorting.adbc_cancel()
        with self._lock:  # another thread may be reading ahead
            if not self._closed:
                self._closed = True
                self._handle.close()


def _values(column: pa.ChunkedArray) -> list[Any]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [_text_or_bytes(value) for value in column.cast(pa.binary()).to_pylist()]


def _text_or_bytes(value: bytes | None) -> str | bytes | None:
    try:
        return value if value is None else value.decode()
    except UnicodeDecodeError:
        return value


def conform(
    batch: pa.RecordBatch, schema: pa.Schema, table: str, subject: str, *, parse: bool = False
) -> pa.RecordBatch:
    """A driver's batch in the catalogue's types; `parse` where it gives numbers as texts.

    SQLite has one integer type and no boolean; PostgreSQL marks JSON as an extension type.

    Raises:
        StrangeValueError: a value is none of its column's.
    """
    arrays = []
    for index, field in enumerate(schema):
        array = batch.column(index)
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        try:
            if array.type != field.type:
                if not parse:
                    _check_family(array, field.type)
                array = array.cast(field.type)
            # SQLite takes any bytes for text, and so does a PostgreSQL in SQL_ASCII.
            array.validate(full=pa.types.is_string(field.type))
        except pa.ArrowInvalid as error:
            raise misfit(error, f"{subject} table {table} column {field.name}") from error
        if not field.nullable and array.null_count:
            what = ValueError(
                f"NULL in {plural(array.null_count, 'row')}, which MLflow's schema forbids"
            )
            raise misfit(what, f"{subject} table {table} column {field.name}")
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _check_family(array: pa.Array, kind: pa.DataType) -> None:
    """Refuse to convert what is another kind of value: `0x10` is no 16, and 1.5 neither 1 nor 2.

    SQLite's driver turns a whole column into texts, say, for a single one in it.
    """
    given = array.type
    if pa.types.is_integer(given) and pa.types.is_boolean(kind):
        least, most = pc.min_max(array).as_py().values()
        fits = least is None or (least >= 0 and most <= 1)
    elif pa.types.is_integer(kind):
        fits = pa.types.is_integer(given)
    elif pa.types.is_floating(kind):
        fits = pa.types.is_floating(given) or pa.types.is_integer(given)
    else:
        fits = not pa.types.is_binary(given) and not pa.types.is_boolean(kind)
    if not fits:
        raise pa.ArrowInvalid(f"a value that is not a {kind}")


def _read_error(error: Exception, table: str, subject: str) -> MlporterError:
    if isinstance(error, adbc_driver_manager.Error):
        return driver_error(error, f"{subject} table {table}")
    return misfit(error, f"{subject} table {table}")


def misfit(error: Exception, subject: str) -> StrangeValueError:
    """A value that its column's type does not have; `error` is Arrow's."""
    text = redact(" ".join(str(error).split()))
    hint = "the database was edited by hand or is damaged; find and fix it with SQL"
    if subject.startswith("sqlite"):
        hint = "SQLite accepts any value in any column; find and fix it with the sqlite3 shell"
    return StrangeValueError(
        f"a value does not fit the column's type: {text[:200]}", subject=subject, hint=hint
    )
