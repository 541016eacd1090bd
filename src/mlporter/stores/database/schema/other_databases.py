"""MLflow's tables in the same database server, where they were not looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from mlporter.errors import MlporterError, RefusedError

if TYPE_CHECKING:
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.database.connection.connection import Connection

__all__ = ["check_not_beside", "tables_beside"]

_NAMED = 3

# MLflow's schema is where all three are; what one may not look into is not found.
_POSTGRESQL = """
SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relname IN ('experiments', 'runs', 'alembic_version')
GROUP BY n.nspname HAVING count(*) = 3 ORDER BY n.nspname
"""
_MYSQL = """
SELECT table_schema FROM information_schema.tables
WHERE table_name IN ('experiments', 'runs', 'alembic_version')
GROUP BY table_schema HAVING count(*) = 3 ORDER BY table_schema
"""


def tables_beside(connection: Connection) -> str | None:
    """How to name MLflow's tables that are in another schema or database; None if there are none.

    Looked for only where they are not in the one that was named.
    """
    engine = connection.dialect.name
    if engine == "sqlite":
        return None
    try:
        found = [str(name) for (name,) in connection.rows(_SQL[engine])]
    except MlporterError:
        return None
    if not found:
        return None
    names = ", ".join(found[:_NAMED]) + (", …" if len(found) > _NAMED else "")
    if engine == "mysql":
        return f"MLflow's tables are in the database {names}: name that one"
    option = f"options=-csearch_path%3D{quote(found[0], safe='')}"
    return (
        f"MLflow's tables are in the schema {names}, which is not searched: add ?{option} to the "
        f"address (or &{option}, behind other options)"
    )


def check_not_beside(address: Address, connection: Connection) -> None:
    """Refuse to make MLflow's tables anew where they are in a schema that was not searched.

    Whoever names the schema means it: there may be several registries in one database.

    Raises:
        RefusedError: naming the schema.
    """
    named = f"{address.text} {address.environment.get('PGOPTIONS') or ''}"
    if connection.dialect.name != "postgresql" or "search_path" in named:
        return
    found = tables_beside(connection)
    if found:
        own = connection.scalar("SELECT current_schema()::text")
        raise RefusedError(
            f"has none of MLflow's tables in the schema {own}, but has them in another schema",
            subject=str(address),
            hint=f"{found}; for another registry in {own}, name {own} there",
        )


_SQL = {"postgresql": _POSTGRESQL, "mysql": _MYSQL}
