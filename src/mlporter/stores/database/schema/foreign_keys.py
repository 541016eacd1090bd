"""Foreign keys as a database declares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlporter.stores.database.connection.connection import Connection

__all__ = ["ForeignKey", "foreign_keys"]


@dataclass(frozen=True)
class ForeignKey:
    """Columns that hold the key of a row of another table; no ``targets`` are that one's key."""

    table: str
    columns: tuple[str, ...]
    other: str
    targets: tuple[str, ...]


def foreign_keys(connection: Connection) -> tuple[ForeignKey, ...]:
    """All of the database (of PostgreSQL's current schema)."""
    pairs: dict[tuple[str, str, str], list[tuple[str, str | None]]] = {}
    for table, name, other, column, target in connection.rows(_SQL[connection.dialect.name]):
        pairs.setdefault((table, str(name), other), []).append((column, target))
    return tuple(
        ForeignKey(
            table,
            tuple(column for column, _ in columns),
            other,
            tuple(target for _, target in columns if target is not None),
        )
        for (table, _, other), columns in pairs.items()
    )


_SQL = {
    "sqlite": """
SELECT t.name, k.id, k."table", k."from", k."to"
FROM sqlite_master t, pragma_foreign_key_list(t.name) k
WHERE t.type = 'table' ORDER BY t.name, k.id, k.seq
""",
    "postgresql": """
SELECT t.relname::text, c.conname::text, o.relname::text, a.attname::text, b.attname::text
FROM pg_constraint c
JOIN pg_class t ON t.oid = c.conrelid
JOIN pg_class o ON o.oid = c.confrelid
CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY AS k (mine, theirs, place)
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.mine
JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.theirs
WHERE c.contype = 'f' AND t.relnamespace = current_schema()::regnamespace
  AND o.relnamespace = t.relnamespace
ORDER BY 1, 2, k.place
""",
    "mysql": """
SELECT table_name, constraint_name, referenced_table_name, column_name, referenced_column_name
FROM information_schema.key_column_usage
WHERE table_schema = DATABASE() AND referenced_table_schema = DATABASE()
ORDER BY table_name, constraint_name, ordinal_position
""",
}
