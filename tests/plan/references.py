"""References of a database that lead nowhere, asked with SQL of the tests' own."""

from __future__ import annotations

from mlporter.catalogue.types import Kind
from tests.support.databases import rows
from tests.support.here import TABLES


def dangling(url: str) -> dict[str, int]:
    """By reference, how many rows point at nothing; empty values point at nothing on purpose."""
    found = {}
    for table in TABLES:
        if table.kind is not Kind.KEPT:
            continue
        for reference in table.references:
            pairs = list(zip(reference.columns, reference.targets, strict=True))
            meets = " AND ".join(f't."{target}" = s."{column}"' for column, target in pairs)
            given = " AND ".join(f's."{column}" IS NOT NULL' for column, _ in pairs)
            where = ""
            if reference.where:
                where = f" AND s.\"{reference.where[0]}\" = '{reference.where[1]}'"
            count = rows(
                url,
                f"SELECT count(*) FROM {table.name} s WHERE {given}{where} AND NOT EXISTS "
                f"(SELECT 1 FROM {reference.table} t WHERE {meets})",
            )[0][0]
            if count:
                found[f"{table.name}.{','.join(reference.columns)} → {reference.table}"] = count
    return found
