"""To which revision's shape rows are brought that are older, or that come from no database.

That is the installed MLflow's, which makes new databases here, so that what is read can be written;
as long as it is neither older than the rows nor newer than the catalogue. With an MLflow before
3.17, it is that of 3.17: the oldest that readers know.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from mlporter.catalogue import HEAD_REVISION, OLDEST_SHAPE, REVISIONS, TABLES, release_of
from mlporter.errors import RefusedError
from mlporter.stores.database.history.changes import CHANGES
from mlporter.stores.database.history.traces import ANALYTICS
from mlporter.stores.database.schema.revision import is_as_it_is
from mlporter.stores.database.schema.scripts import installed_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.catalogue.types import Table
    from mlporter.stores.addresses.address import Address

__all__ = ["OLDEST_RELEASE", "POSITIONS", "check_whole", "revision_for", "shape_for"]
__all__ += ["has_dimensions", "is_old", "tables_at"]

OLDEST_RELEASE = "3.17"
POSITIONS = {revision: position for position, (revision, _) in enumerate(REVISIONS)}
"""The revisions in their order."""
_DIMENSIONS_CAME = "c8d9e0f1a2b3"


def shape_for(least: str, installed: str | None = None) -> str:
    """The revision to whose shape rows are brought.

    Args:
        least: The revision that they are of: no older one has room for them.
        installed: The newest revision of the installed MLflow, asked for if it is not given.

    >>> shape_for("0584bdc529eb", installed="dc11669786a5")
    'dc11669786a5'
    >>> shape_for("e7d1f4b2a9c6", installed="dc11669786a5") == HEAD_REVISION
    True
    """
    place = POSITIONS.get(installed or installed_head() or OLDEST_SHAPE, -1)
    if place < 0:
        return HEAD_REVISION
    place = max(place, POSITIONS[OLDEST_SHAPE])
    fits = POSITIONS[least] <= place <= POSITIONS[HEAD_REVISION]
    return REVISIONS[place][0] if fits else HEAD_REVISION


def is_old(revision: str) -> bool:
    """Whether its shape is older than the oldest that all readers know.

    >>> is_old("0584bdc529eb"), is_old("dc11669786a5"), is_old("ffffffffffff")
    (True, False, False)
    """
    return POSITIONS.get(revision, len(POSITIONS)) < POSITIONS[OLDEST_SHAPE]


def revision_for(version: str | None) -> str:
    """The revision at which the rows of a server or a file store are read.

    Args:
        version: The MLflow that the place may hold things of; None if nobody can say.
    """
    return HEAD_REVISION if version is None else shape_for(_newest_of(version))


def _newest_of(version: str) -> str:
    """The newest revision of a release."""
    release = _numbers(version)
    known = [revision for revision, since in REVISIONS if _numbers(since) <= release]
    return known[-1] if known else REVISIONS[0][0]


def _numbers(version: str) -> tuple[int, ...]:
    """The first numbers of a version: a release candidate has the schema of its release."""
    parts = version.split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def has_dimensions(revision: str) -> bool:
    """Whether `spans` has `dimension_attributes` at a revision.

    >>> has_dimensions("b7e2c1a4d9f3"), has_dimensions("dc11669786a5"), has_dimensions("new")
    (True, False, False)
    """
    position = POSITIONS.get(revision, len(POSITIONS))
    return POSITIONS[_DIMENSIONS_CAME] <= position < POSITIONS[ANALYTICS]


@cache
def tables_at(revision: str) -> tuple[Table, ...]:
    """The catalogue's tables as a revision has them, without `RETIRED_COLUMNS`.

    Of a revision that is not known here, all that is known is expected.
    """
    position = POSITIONS.get(revision, len(POSITIONS))
    later = [change for change in CHANGES if POSITIONS[change.revision] > position]
    absent = {name for change in later for name in change.tables}
    new = {
        (name, column)
        for change in later
        for name, columns in change.columns.items()
        for column in columns
    }
    return tuple(
        replace(table, columns=tuple(c for c in table.columns if (table.name, c.name) not in new))
        for table in TABLES
        if table.name not in absent
    )


def check_whole(revision: str, actual: Mapping[str, object], address: Address) -> None:
    """Refuse a schema that lacks a table: a view in its place, say, would be left out in silence.

    Raises:
        RefusedError: naming the tables.
    """
    lacking = {table.name for table in tables_at(revision)} - set(actual)
    if is_as_it_is(revision) and release_of(revision) and lacking:
        raise RefusedError(
            f"its schema lacks tables of revision {revision}",
            subject=str(address),
            hint="MLflow created them as tables; a view or a renamed table is not read",
            reasons=tuple(f"there is no table {name}" for name in sorted(lacking)),
        )
