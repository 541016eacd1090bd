"""Schema revisions: which ones can be read and written here, and what to say of the others."""

from __future__ import annotations

import re
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.catalogue import (
    AUTH_TABLES,
    BOOKKEEPING_TABLES,
    BY_NAME,
    HEAD_REVISION,
    is_older,
    release_of,
)
from mlporter.errors import RefusedError, RevisionError
from mlporter.stores.database.schema.other_databases import tables_beside
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mlporter.stores.addresses.address import Address
    from mlporter.stores.database.connection.connection import Connection

__all__ = ["check_revision", "installed_head", "installed_mlflow", "is_as_it_is"]
__all__ += ["read_revision"]

_VERSION_OF_USERS = "alembic_version_auth"
_ID = re.compile(r"^revision\s*=\s*[\"'](\w+)[\"']", re.MULTILINE)
_DOWN = re.compile(r"^down_revision\s*=\s*(.+)$", re.MULTILINE)


def installed_mlflow() -> str | None:
    """The version of the installed MLflow, or None; MLflow is not imported."""
    try:
        return metadata.version("mlflow")
    except metadata.PackageNotFoundError:
        return None


@cache
def installed_head() -> str | None:
    """The newest schema revision of the installed MLflow, read from its migration scripts.

    MLflow itself is not imported: that takes seconds, and a source needs none of its code.
    """
    spec = find_spec("mlflow")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "store" / "db_migrations" / "versions"
    revisions: set[str] = set()
    replaced: set[str] = set()
    for script in folder.glob("*.py"):
        text = script.read_text(encoding="utf-8")
        revisions.update(_ID.findall(text))
        for line in _DOWN.findall(text):
            replaced.update(re.findall(r"[\"'](\w+)[\"']", line))
    heads = revisions - replaced
    return heads.pop() if len(heads) == 1 else None


def is_as_it_is(revision: str) -> bool:
    """Whether a schema is read and written as it is.

    That is the catalogue's revision, or the installed MLflow's: what the catalogue does not know
    of that one is read by reflection.
    """
    return revision in {HEAD_REVISION, installed_head()}


_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "Airflow": ("dag", "dag_run"),
    "Optuna": ("studies", "trials"),
    "Superset": ("dashboards", "slices"),
    "Prefect": ("flow", "flow_run"),
    "Dagster": ("event_logs", "run_tags"),
}
"""Programs that keep their revision in a table of the same name, by tables that they have."""


def _its_own(revisions: Iterable[str]) -> list[str]:
    """Of the revisions that a database holds, those that MLflow has given out."""
    return [revision for revision in revisions if release_of(revision) or is_as_it_is(revision)]


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


def _by_another(tables: Collection[str]) -> str | None:
    """Which other program may have written a revision that is not known here."""
    for program, its in _PROGRAMS.items():
        if set(its) <= set(tables):
            return f"{program}, whose tables are there too ({', '.join(its)})"
    others = sorted(set(tables) - set(BY_NAME) - BOOKKEEPING_TABLES - AUTH_TABLES)
    if others:
        return f"the program whose tables are there too ({', '.join(others[:3])}, ...)"
    return None


def check_revision(
    revision: str, address: Address, tables: Collection[str] = (), *, older: bool = False
) -> None:
    """Let a database pass whose schema is the newest that is known here, or `older` than that.

    Args:
        revision: What it says of itself.
        address: Where it is.
        tables: All that it has, another program's too.
        older: Let older ones pass.

    Raises:
        RevisionError: it is older (the hint is the very command that upgrades it) or newer.
    """
    if is_as_it_is(revision) or (older and is_older(revision)):
        return
    release = release_of(revision)
    name = f"{revision} (MLflow {release})" if release else f"{revision}, which is not known here"
    newest = f"{HEAD_REVISION} (MLflow {release_of(HEAD_REVISION)})"
    if release and is_older(revision):
        raise RevisionError(
            f"its schema is at revision {name}; this release reads {newest}",
            subject=str(address),
            hint=f"on a copy of it, run: {address.upgrade_command}",
        )
    hint = "it was made by a newer MLflow: pip install --upgrade mlporter mlflow"
    other = None if release else _by_another(tables)
    if other:
        raise RevisionError(
            f"its table alembic_version holds {revision}, which is no revision of MLflow's that is "
            "known here",
            subject=str(address),
            hint=f"it was written by {other}, or by a newer MLflow; two programs cannot share "
            "alembic_version: give each a database or schema of its own, and put MLflow's revision "
            "back from a backup",
        )
    raise RevisionError(
        f"its schema is at revision {name}; this release reads {newest}",
        subject=str(address),
        hint=hint,
    )
