"""Other programs' tables that cannot even be looked at as tables: they stay, and are named.

A 3.17 database may hold a table `skills` of somebody's, and one of MLflow 2 a table `datasets`:
what it is called makes it none of MLflow's. And in a schema that several share, tables may be
another user's, who lets nobody read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlporter.catalogue import BY_NAME
from mlporter.errors import AccessDeniedError, LeftOut
from mlporter.stores.database.history.shape import tables_at
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.stores.addresses.address import Address
    from mlporter.stores.database.schema.reflection import ActualColumn

    Columns = Mapping[str, tuple[ActualColumn, ...]]

__all__ = ["Stranger", "check_open", "strangers"]


@dataclass(frozen=True)
class Stranger:
    """A table that is none of MLflow's.

    Attributes:
        name: What it is called.
        closed: Why it cannot be read; "" if it can.
        is_alike: Whether it has all columns of MLflow's table of that name.
    """

    name: str
    closed: str = ""
    is_alike: bool = False

    def loss(self, rows: int) -> LeftOut:
        """What is said of it. One that is like MLflow's may be MLflow's after all."""
        said = "no table of MLflow's at this revision, though it is called as a later one's"
        if self.is_alike:
            said = (
                "the revision of the database does not have this table of MLflow's: a migration "
                "may have failed half-way (mlflow db upgrade on a copy)"
            )
        detail = f"{plural(rows, 'row')}: {said}"
        if self.closed:
            detail = f"{self.closed}: no table of MLflow's"
        expected = not (self.is_alike and rows)
        return LeftOut("table", self.name, "", "foreign", detail, expected=expected)


def strangers(actual: Columns, revision: str, closed: Mapping[str, str]) -> Mapping[str, Stranger]:
    """Tables that are called as MLflow calls some since a later revision, or that are closed.

    Args:
        actual: All that there are.
        revision: The revision that the database says it is of.
        closed: Those that cannot be read, and why.
    """
    later = (BY_NAME.keys() & actual.keys()) - {table.name for table in tables_at(revision)}
    found = {
        name: Stranger(
            name, is_alike=BY_NAME[name].by_name.keys() <= {c.name for c in actual[name]}
        )
        for name in later
    }
    others = closed.keys() - BY_NAME.keys()
    return found | {name: Stranger(name, closed[name]) for name in others | (later & closed.keys())}


def check_open(hidden: frozenset[str], address: Address) -> None:
    """Refuse tables of MLflow's of which the database shows some rows only, and does not say so.

    Raises:
        AccessDeniedError: there are such.
    """
    if its := sorted(hidden & BY_NAME.keys()):
        raise AccessDeniedError(
            f"row-level security hides rows of {', '.join(its)} from this user",
            subject=str(address),
            hint="use the owner of the tables, or a user with BYPASSRLS",
        )
