"""Schema revisions: which ones can be read and written here, and what to say of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue import (
    HEAD_REVISION,
    OLDEST_SHAPE,
    comes_before,
    described,
    is_older,
    release_of,
)
from mlporter.errors import RefusedError, RevisionError
from mlporter.stores.database.schema.newer import is_foreign_program
from mlporter.stores.database.schema.other_databases import tables_beside
from mlporter.stores.database.schema.scripts import installed_head, installed_scripts
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mlporter.stores.addresses.address import Address
    from mlporter.stores.database.connection.connection import Connection

__all__ = ["check_needed", "check_revision", "is_as_it_is", "read_revision"]

_VERSION_OF_USERS = "alembic_version_auth"
_MAX_REASONS = 50


def is_as_it_is(revision: str) -> bool:
    """Whether a schema is read and written as it is.

    That is the catalogue's revision, or the installed MLflow's: what the catalogue does not know
    of that one is read by reflection. Without MLflow, or with an old one, it is also the oldest to
    which older rows are brought: nobody can upgrade a database then.
    """
    head = installed_head()
    if revision in {HEAD_REVISION, head}:
        return True
    return revision == OLDEST_SHAPE and (head is None or bool(comes_before(head, OLDEST_SHAPE)))


def _its_own(revisions: Iterable[str]) -> list[str]:
    """Of the revisions that a database holds, those that MLflow has given out."""
    known = installed_scripts().revisions
    return [revision for revision in revisions if release_of(revision) or revision in known]


def read_revision(connection: Connection, actual: Mapping[str, object], address: Address) -> str:
    """The schema revision of a database.

    Raises:
        RefusedError: it is not one of MLflow's.
    """
    missing = {"experiments", "runs", "alembic_version"} - set(actual)
    if missing:
        raise RefusedError(
            f"is not an MLflow database (it has no table {min(missing)})"
            if actual
            else "is an empty database, not one of MLflow's",
            subject=str(address),
            hint=_where_it_is(connection, actual),
        )
    found = [str(row[0]) for row in connection.rows("SELECT version_num FROM alembic_version")]
    # Another program may keep its own revision in the same table.
    revisions = _its_own(found) if len(found) > 1 else found
    if len(revisions) != 1:
        raise RefusedError(
            f"its table alembic_version has {plural(len(found), 'row')}, and MLflow writes one",
            subject=str(address),
            hint="a migration may have failed half-way: restore a backup, or finish it",
        )
    return revisions[0]


def _where_it_is(connection: Connection, actual: Mapping[str, object]) -> str:
    """What to name in place of a database that is none of MLflow's."""
    if _VERSION_OF_USERS in actual:
        return "this one is of MLflow's users: name it with --auth, beside the registry's own"
    beside = tables_beside(connection)
    if beside:
        return beside
    return "name the database of `mlflow server --backend-store-uri`"


def check_revision(
    revision: str, address: Address, tables: Collection[str] = (), *, older: bool = False
) -> None:
    """Let a database pass that can be read: one that is no older than what is known here.

    What is newer is read if all is there that the catalogue needs; see `check_needed`.

    Args:
        revision: What it says of itself.
        address: Where it is.
        tables: All that it has, another program's too.
        older: Let older ones pass.

    Raises:
        RevisionError: it is older (the hint is the very command that upgrades it), or another
            program's.
    """
    if is_as_it_is(revision) or (older and is_older(revision)):
        return
    if is_older(revision):
        raise RevisionError(
            f"its schema is at revision {described(revision)}; this release writes "
            f"{described(HEAD_REVISION)}",
            subject=str(address),
            hint=f"on a copy of it, run: {address.upgrade_command}",
        )
    other = None if release_of(revision) else is_foreign_program(tables)
    if other:
        raise RevisionError(
            f"its table alembic_version holds {revision}, which is no revision of MLflow's that is "
            "known here",
            subject=str(address),
            hint=f"it was written by {other}; two programs cannot share alembic_version: give each "
            "a database or schema of its own, and put MLflow's revision back from a backup",
        )


def check_needed(revision: str, reasons: tuple[str, ...], address: Address) -> None:
    """Refuse a newer schema that lacks what the catalogue needs, or has it with another meaning.

    Args:
        revision: What it says of itself.
        reasons: What it lacks, a sentence for each.
        address: Where it is.

    Raises:
        RevisionError: it does.
    """
    if reasons:
        raise RevisionError(
            f"its schema is at revision {described(revision)}, and is not as this release of "
            f"mlporter reads it: it knows {described(HEAD_REVISION)}",
            subject=str(address),
            hint="it was made by a newer MLflow (or another program wrote its revision): "
            "pip install --upgrade mlporter",
            reasons=reasons[:_MAX_REASONS],
        )
