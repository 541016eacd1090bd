"""Tables of other programs in MLflow's database: they stay where they are, and are named.

Airflow, Optuna and others may share a database with MLflow. What the catalogue does not know, and
no newer MLflow has made, is theirs: rows that nobody asked for, under numbers that mean something
else in another database.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from mlporter.catalogue import AUTH_TABLES, BY_NAME
from mlporter.catalogue.types import Kind
from mlporter.errors import LeftOut, UsageError
from mlporter.stores.protocols import Wrapped
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table
    from mlporter.stores.protocols import Source

__all__ = ["WithoutForeign", "is_foreign", "without_foreign"]


def is_foreign(table: Table) -> bool:
    """Whether a table is another program's, whatever it is called."""
    return table.kind is Kind.UNKNOWN


def without_foreign(source: Source, include: tuple[str, ...]) -> Source:
    """A source without other programs' tables, but for those that are asked for by name.

    Args:
        source: Where they are.
        include: Their names.

    Raises:
        UsageError: there is no such table, or it is MLflow's own.
    """
    foreign = {table.name for table in source.tables if is_foreign(table)}
    for name in include:
        _check_asked(name, foreign, source.description.address)
    left = foreign - set(include)
    return WithoutForeign(source, frozenset(left)) if left else source


def _check_asked(name: str, foreign: set[str], address: str) -> None:
    if name in AUTH_TABLES:
        raise UsageError(
            f"table {name} has the name of one of MLflow's tables of users and permissions, "
            "which are copied by name and without --include-table",
            subject=address,
            hint="rename the table, if it is another program's",
        )
    if name in BY_NAME:
        raise UsageError(
            f"table {name} has the name of one of MLflow's own, which are copied without "
            "--include-table",
            subject=address,
            hint="rename the table, if it is another program's",
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
        self.left = left & {table.name for table in inner.tables}

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables, without those."""
        return tuple(table for table in self.inner.tables if table.name not in self.left)

    def losses(self) -> Iterator[LeftOut]:
        """What cannot be read, and the tables that are left where they are."""
        yield from self.inner.losses()
        unsure = self.inner.description.unsure
        for name in sorted(self.left):
            rows = self.inner.count(name)
            said = "not a table of MLflow's; --include-table copies it"
            if unsure:
                said = (
                    "no foreign key links it to MLflow's tables, and it is not known whether it "
                    "is MLflow's; --include-table copies it"
                )
            if name in AUTH_TABLES:
                said = "not a table of MLflow's, though it has the name of one"
            yield LeftOut(
                "table",
                name,
                "",
                "foreign",
                f"{plural(rows, 'row')}: {said}",
                expected=not (unsure and rows),
            )
