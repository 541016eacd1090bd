"""What the steps that make single objects share: which are new, making one, what hangs on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlporter.errors import AccessDeniedError
from mlporter.stores.protocols import Among
from mlporter.stores.rest.answers import ApiError, LostAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from mlporter.execute.server.shared.context import ServerContext

__all__ = ["Row", "count_included", "lacking", "leave_other", "make_one", "new_objects"]
__all__ += ["rows_below", "source_rows", "try_one"]

Row = dict[str, Any]

_OTHER = "the server has a different one, which stays as it is"


def lacking(context: ServerContext, table: str) -> Iterator[tuple[Row, Row, bool]]:
    """Rows that the server does not have as they are.

    Yields:
        The row in the source's terms; in the server's; and whether the server has another one
        under the same key.
    """
    for missing in context.missing(table):
        rows = missing.rows.to_pylist()
        for row, mapped in zip(rows, context.mapped(table, missing.rows).to_pylist(), strict=True):
            yield row, mapped, missing.changed


def new_objects(
    context: ServerContext, table: str, column: str, named: str = ""
) -> Iterator[tuple[Row, Row]]:
    """Rows that are to be made, as they are and by the server's ids; changed ones are said.

    Args:
        context: The import.
        table: Whose rows.
        column: Their id.
        named: The column that people know them by; the id, if they have no better one.
    """
    known = context.ids.ids.setdefault(table, {})
    for row, mapped, changed in lacking(context, table):
        experiment = row.get("experiment_id")
        if experiment is not None and experiment not in context.ids.experiments:
            continue
        if changed or row[column] in known:
            leave_other(context, table, str(row[named or column]))
        else:
            yield row, mapped


def leave_other(context: ServerContext, table: str, name: str) -> None:
    """Note that the server has another one under a name, and keeps it."""
    context.leave(table, name, "", "conflict", _OTHER)
    context.skip(table)


def make_one(
    context: ServerContext, table: str, id_: str, make: Callable[[], str], name: str = ""
) -> bool:
    """Make one thing and note its id; where the server refuses it, note that by its name."""

    def work() -> None:
        context.ids.change(table, {id_: make()})

    return try_one(context, table, name or id_, work)


def try_one(
    context: ServerContext,
    table: str,
    name: str,
    work: Callable[[], object],
    path: str = "",
    *,
    rows: int = 1,
    changed: int = 0,
) -> bool:
    """Write something and count it; where the server refuses it, note what it said and go on."""
    try:
        work()
    except (ApiError, LostAnswerError, AccessDeniedError) as error:
        reason = "denied" if isinstance(error, AccessDeniedError) else "refused"
        context.leave(table, name, path, reason, error.message)
        context.fail(table, rows)
        return False
    context.wrote(table, rows, changed)
    return True


def count_included(
    context: ServerContext,
    table: str,
    owner: str,
    made: Collection[str],
    known: Collection[str],
    *,
    hidden: Collection[str] = (),
) -> None:
    """Count rows that went with the request which made their owner.

    Args:
        context: The import.
        table: Whose rows.
        owner: The column that says what they hang on.
        made: The owners that this import made.
        known: All owners that are on the server; those that could not be made were noted.
        hidden: Owners that no server shows.
    """
    for row, _, _ in lacking(context, table):
        if row[owner] in hidden:
            continue
        if row[owner] in made:
            context.wrote(table)
        elif row[owner] in known:
            leave_other(context, table, str(row[owner]))
        else:
            context.skip(table)


def rows_below(context: ServerContext, table: str, column: str, owner: str) -> list[Row]:
    """Rows of the source below something, by the server's ids."""
    if table not in context.tables:
        return []
    batches = context.source.read(table, None, Among(column, (owner,)))
    return [row for batch in batches for row in context.mapped(table, batch).to_pylist()]


def source_rows(context: ServerContext, table: str) -> Iterator[Row]:
    """All rows of a table of the source; none, if it has no such table."""
    if table in context.tables:
        for batch in context.source.read(table):
            yield from batch.to_pylist()
