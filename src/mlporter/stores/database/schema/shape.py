"""The schema that rows fit which come from no database: file stores, and tracking servers.

Their readers bring rows to the shape of `OLDEST_SHAPE` or a newer one. So they fit the schema of
the installed MLflow, which is what makes new databases here, as long as that has room for what the
place may hold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlporter.catalogue import HEAD_REVISION, REVISIONS, TABLES
from mlporter.stores.database.history.changes import CHANGES
from mlporter.stores.database.schema.revision import installed_head

if TYPE_CHECKING:
    from mlporter.catalogue.types import Table

__all__ = ["OLDEST_RELEASE", "OLDEST_SHAPE", "revision_for", "tables_at"]

OLDEST_RELEASE, OLDEST_SHAPE = "3.17", "dc11669786a5"
"""To whose shape readers bring whatever is older."""

_POSITIONS = {revision: position for position, (revision, _) in enumerate(REVISIONS)}


def revision_for(version: str | None, installed: str | None = None) -> str:
    """The revision at which the rows of a place are read.

    Args:
        version: The MLflow that the place may hold things of; None if nobody can say.
        installed: The newest revision of the installed MLflow, asked for if it is not given.

    >>> revision_for("3.1.4", installed="dc11669786a5")
    'dc11669786a5'
    >>> revision_for("3.18.0", installed="dc11669786a5") == HEAD_REVISION
    True
    """
    head = installed or installed_head()
    place = _POSITIONS.get(head or "")
    if place is None or version is None:
        return HEAD_REVISION
    least = max(_POSITIONS[OLDEST_SHAPE], _newest_of(version))
    fits = least <= place <= _POSITIONS[HEAD_REVISION]
    return REVISIONS[place][0] if fits else HEAD_REVISION


def _newest_of(version: str) -> int:
    """The place of the newest revision of a release."""
    release = _numbers(version)
    return max(
        (p for p, (_, since) in enumerate(REVISIONS) if _numbers(since) <= release), default=0
    )


def _numbers(version: str) -> tuple[int, ...]:
    """The first numbers of a version: a release candidate has the schema of its release."""
    parts = version.split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def tables_at(revision: str) -> tuple[Table, ...]:
    """The catalogue's tables as a revision from `OLDEST_SHAPE` on has them."""
    later = [change for change in CHANGES if _POSITIONS[change.revision] > _POSITIONS[revision]]
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
