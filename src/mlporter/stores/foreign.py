"""Tables of other programs in MLflow's database: they stay where they are, and are named.

Airflow, Optuna and others may share a database with MLflow. What the catalogue does not know is
theirs: rows that nobody asked for, under numbers that mean something else in another database.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from mlporter.catalogue import AUTH_TABLES, BY_NAME
from mlporter.catalogue.types import Kind
from mlporter.errors import LeftOut, UsageError
from mlporter.stores.wrapped import Wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table
    from mlporter.stores.protocols import Source

__all__ = ["WithoutForeign", "is_foreign", "without_foreign"]


def is_foreign(table: Table) -> bool:
    """Whether a table is none that the catalogue knows; users and permissions are none, either."""
    return table.kind is Kind.UNKNOWN or table.name in AUTH_TABLES


def without_foreign(source: Source, include: tuple[str, ...], *, users: bool) -> Source:
    """A source without other programs' tables, but for those that are asked for by name.

    Args:
        source: Where they are.
        include: Their names.
        users: Keep the tables of users and permissions: they go where nothing else is.

    Raises:
        UsageError: there is no such table, or it is MLflow's own.
    """
    foreign = {table.name for table in source.tables if is_foreign(table)}
    for name in include:
        _check_asked(name, foreign, source.description.address)
    left = foreign - set(include) - (AUTH_TABLES if users else frozenset())
    return WithoutForeign(source, frozenset(left)) if left else source


def _check_asked(name: str, foreign: set[str], address: str) -> None:
    if name in AUTH_TABLES:
        raise UsageError(
            f"table {name} holds users or permissions, which are known by numbers that mean "
            "others elsewhere",
            subject=address,
            hint="make the users and grants again in the target, with MLflow's own client",
        )
    if name in BY_NAME:
        raise UsageError(
            f"table {name} is MLflow's own, and comes without --include-table", subject=address
        )
    if name not in foreign:
        near = get_close_matches(name, foreign) or sorted(foreign)[:5]
        raise UsageError(
            f"there is no table {name!r} of another program",
            subject=address,
            hint=f"there is {', '.join(near)}" if near else None,
        )


class WithoutForeign(Wrapped):
    """A source without some tables, which are named among what is left out."""

    def __init__(self, inner: Source, left: frozenset[str]) -> None:
        super().__init__(inner)
        self.left = left

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables, without those."""
        return tuple(table for table in self.inner.tables if table.name not in self.left)

    def losses(self) -> Iterator[LeftOut]:
        """What cannot be read, and the tables that are left where they are."""
        yield from self.inner.losses()
        for name in sorted(self.left):
            rows = self.inner.count(name)
            if name in AUTH_TABLES:
                said = "users and permissions are known by numbers, and are not carried"
                if rows:
                    yield LeftOut("table", name, "", "secret", f"{rows} rows: {said}")
            else:
                said = "no table of MLflow's; --include-table carries it"
                yield LeftOut("table", name, "", "foreign", f"{rows} rows: {said}", expected=True)
