"""A registry opened for reading, for people who write Python: tables as Arrow and pandas."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from mlporter.catalogue.tables.own import ARTIFACTS, LEFT_OUT, UNKNOWN_FIELDS
from mlporter.closing import closed_on_error
from mlporter.errors import UnreachableError, UsageError
from mlporter.notebooks import table
from mlporter.selection.artifacts import find_artifact
from mlporter.selection.rows.found_rows import Query, find_rows
from mlporter.stores.addresses.locating import locate, locate_users
from mlporter.stores.opening import open_source
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.stores.rows.unknown_fields import unknown_fields
from mlporter.wording import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    import pandas as pd

    from mlporter.stores.addresses.address import Place
    from mlporter.stores.protocols import Description, Source

__all__ = ["Registry", "open", "show"]

_OWN = {table.name: table for table in (ARTIFACTS, LEFT_OUT, UNKNOWN_FIELDS)}
NOTE = "mlporter.note"
"""What the schema's metadata call a sentence on what was taken as it was found."""


class Registry:
    """The tables of a place; use it as a context manager.

    >>> with mlporter.open("backup/") as registry:  # doctest: +SKIP
    ...     runs = registry.to_pandas("runs")
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        own = _own_tables(source) if source.description.kind == "bundle" else ()
        self._tables = {table.name: table for table in source.tables}
        self._names = (*self._tables, *own)

    @property
    def description(self) -> Description:
        """What and where it is; the address is redacted."""
        return self._source.description

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables: MLflow's, and a bundle's own, such as ``artifacts``."""
        return self._names

    def count(self, table: str) -> int:
        """Rows of a table.

        Raises:
            UsageError: there is no such table.
        """
        self._check(table)
        return self._source.count(table)

    def read(
        self,
        table: str,
        columns: tuple[str, ...] | None = None,
        *,
        where: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        wide: bool = False,
    ) -> pa.RecordBatchReader:
        """A table as a stream of Arrow batches, sorted by its key unless asked otherwise.

        The schema is `mlporter.catalogue`'s: times are int64 milliseconds since the epoch, unless
        a column's name says otherwise. Secret columns are null.

        Args:
            table: Its name.
            columns: Only these, in this order.
            where: Only rows that meet it, such as ``status = 'FAILED'``; of runs in MLflow's search
                syntax, such as ``metrics.rmse < 0.1``.
            sort: A column; with ``-`` before it, the greatest first.
            limit: How many rows; None is all.
            wide: Of runs: with parameters, last metrics and tags as columns, such as ``params.lr``.

        Raises:
            UsageError: there is no such table or column, or the condition makes no sense.
        """
        self._check(table)
        query = Query(table, columns, where, sort, limit, wide)
        try:
            return find_rows(self._source, self._schema(table), query)
        except UsageError as error:
            if error.subject is None:
                error.subject = f"{self.description.address}, table {table}"
            raise

    def to_pandas(
        self,
        table: str,
        columns: tuple[str, ...] | None = None,
        *,
        where: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """A table as a pandas data frame; integers with gaps stay integers (``Int64``).

        Arguments are those of `read`.
        """
        return _frame(self.read(table, columns, where=where, sort=sort, limit=limit))

    def runs(
        self,
        columns: tuple[str, ...] | None = None,
        *,
        where: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Runs as a pandas data frame with ``params.…``, ``metrics.…`` and ``tags.…`` as columns.

        Arguments are those of `read`.
        """
        reader = self.read("runs", columns, where=where, sort=sort, limit=limit, wide=True)
        return _frame(reader)

    def to_polars(
        self,
        table: str,
        columns: tuple[str, ...] | None = None,
        *,
        where: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        wide: bool = False,
    ) -> Any:  # noqa: ANN401 -- polars need not be installed
        """A table as a polars data frame; arguments are those of `read`.

        Raises:
            UsageError: polars is not installed.
        """
        try:
            import polars as pl  # noqa: PLC0415 -- optional
        except ImportError:
            raise UsageError("polars is not installed", hint="pip install polars") from None
        reader = self.read(table, columns, where=where, sort=sort, limit=limit, wide=wide)
        return pl.from_arrow(reader.read_all())

    @contextmanager
    def open_artifact(self, uri: str) -> Iterator[BinaryIO]:
        """One artifact file, as a binary stream; use it as a context manager.

        >>> with registry.open_artifact("models:/churn@champion/MLmodel") as f:  # doctest: +SKIP
        ...     print(f.read().decode())

        Args:
            uri: ``runs:/ID/path``, ``models:/NAME/VERSION/path`` with a number, a stage or
                ``latest``, ``models:/NAME@ALIAS/path``, or ``models:/m-ID/path``.

        Raises:
            UsageError: it names no file that is there.
            UnreachableError: the file is there and cannot be read.
            BundleDamagedError: in a bundle or a snapshot, the file is damaged.
        """
        file = find_artifact(self._source, uri)
        with ExitStack() as stack:
            try:
                stream = stack.enter_context(self._source.open_file(file))
            except OSError as error:
                raise UnreachableError(f"cannot be read: {error}", subject=uri) from error
            yield stream

    def _repr_html_(self) -> str:
        """What a notebook shows: the tables that have rows."""
        counts = [(name, self.count(name)) for name in self.tables if name != "secrets"]
        rows = [(name, count) for name, count in counts if count]
        return table(self.description.address, ("table", "rows"), rows)

    def close(self) -> None:
        """End the snapshot."""
        self._source.close()

    def __enter__(self) -> Registry:  # noqa: PYI034 -- typing.Self needs Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _schema(self, table: str) -> pa.Schema:
        if table in self._tables:
            return self._tables[table].schema
        return _OWN[table].schema

    def _check(self, table: str) -> None:
        if table not in self._names:
            address = self.description.address
            near = get_close_matches(table, self._names)
            raise UsageError(
                f"there is no table {table!r}",
                subject=address,
                hint=f"there is {', '.join(near)}"
                if near
                else f"{command_line('inspect', [address], [])} counts all that there are",
            )


def _frame(reader: pa.RecordBatchReader) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 -- half a second, and only needed here

    kinds = {
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    frame: pd.DataFrame = reader.read_all().to_pandas(types_mapper=kinds.get)
    return frame


def _own_tables(source: Source) -> tuple[str, ...]:
    has_fields = next(unknown_fields(source), None) is not None
    return tuple(name for name in _OWN if name != UNKNOWN_FIELDS.name or has_fields)


def open(  # noqa: A001 -- as in `gzip.open`
    address: Place,
    *,
    auth: Place | None = None,
    registry: Place | None = None,
    retry_time: float = RETRY_TIME,
    source_env: str | None = None,
) -> Registry:
    """Open a place for reading; arguments are those of `show`."""
    place = locate(address, source_env)
    users = None if auth is None else locate_users(auth, place)
    models = None if registry is None else locate_users(registry, place)
    return Registry(open_source(place, auth=users, registry=models, retry_time=retry_time))


def show(
    address: Place,
    table: str,
    *,
    columns: tuple[str, ...] | None = None,
    where: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    wide: bool = False,
    auth: Place | None = None,
    registry: Place | None = None,
    retry_time: float = RETRY_TIME,
    source_env: str | None = None,
) -> pa.RecordBatchReader:
    """Rows of a table as a stream of Arrow batches; the place is closed at its end.

    Args:
        address: A bundle or a database.
        table: A table's name.
        columns: Only these, in this order.
        where: Only rows that meet it, as `Registry.read` takes it.
        sort: A column; with ``-`` before it, the greatest first.
        limit: How many rows; None is all.
        wide: Of runs: with parameters, last metrics and tags as columns.
        auth: Address of the database of its users, if they have one of their own.
        registry: Where its registered models are, if they are in another place.
        retry_time: Seconds after which a server that keeps failing is given up.
        source_env: What the names of the place's own variables begin with, such as ``DEV_``.

    Raises:
        UsageError: there is no such table or column.
    """
    opened = open(
        address, auth=auth, registry=registry, retry_time=retry_time, source_env=source_env
    )
    with closed_on_error(opened):
        reader = opened.read(table, columns, where=where, sort=sort, limit=limit, wide=wide)

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        finally:
            opened.close()

    note = opened.description.as_found
    schema = reader.schema.with_metadata({NOTE: note}) if note else reader.schema
    return pa.RecordBatchReader.from_batches(schema, batches())
