"""The categories of issues once more, by which MLflow searches since 3.18: made of the issues."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.errors import ReadBackError
from mlporter.stores.protocols import Among

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.plan.policy import Merge
    from mlporter.stores.database.target import DatabaseTarget

__all__ = ["categories_of", "remove_categories", "write_categories"]

_TABLE, _ISSUES = "issue_categories", "issues"
_AT_ONCE = 500


def categories_of(text: str | None) -> dict[str, str]:
    """Categories by what MLflow distinguishes them by; of two that are alike, the last one.

    >>> [*categories_of('["Slow ", "slow"]').values()]
    ['slow']
    """
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return {}  # MLflow itself cannot read such an issue
    named = (name for name in found if isinstance(name, str)) if isinstance(found, list) else ()
    return {sha256(name.strip().lower().encode()).hexdigest(): name for name in named}


def write_categories(target: DatabaseTarget, merge: Merge, *, fresh: bool) -> None:
    """Give a target the categories of the issues that were written or changed.

    Args:
        target: In its transaction, with the issues.
        merge: What was done.
        fresh: Whether all issues of the target are new.

    Raises:
        ReadBackError: other rows are there now.
    """
    table = next((table for table in target.tables if table.name == _TABLE), None)
    if table is None or _ISSUES not in {table.name for table in target.tables}:
        return
    updated = {str(update.key[0]) for update in merge.updates if update.table == _ISSUES}
    ids = sorted({*merge.new.get(_ISSUES, ()), *updated})
    for issue in updated:
        target.remove(_TABLE, ("issue_id",), (issue,))
    for start in range(0, 1 if fresh else len(ids), _AT_ONCE):
        among = None if fresh else Among("issue_id", tuple(ids[start : start + _AT_ONCE]))
        wanted = sorted(_rows(target, among))
        if wanted:
            columns = zip(*wanted, strict=True)
            batch = pa.RecordBatch.from_arrays(
                [pa.array(column, pa.string()) for column in columns], schema=table.schema
            )
            target.write(table, iter([batch]), len(wanted))
        found = [
            tuple(row.values())
            for batch in target.read(_TABLE, tuple(table.schema.names), among)
            for row in batch.to_pylist()
        ]
        if sorted(found) != wanted:
            raise ReadBackError(
                f"{len(found)} rows read back, and {len(wanted)} were written",
                subject=f"{target.address} table {_TABLE}",
            )


def remove_categories(target: DatabaseTarget, merge: Merge) -> None:
    """Remove those of issues that are removed."""
    if any(table.name == _TABLE for table in target.tables):
        for removal in merge.removals:
            if removal.table == _ISSUES and removal.columns == ("issue_id",):
                target.remove(_TABLE, removal.columns, removal.key)


def _rows(target: DatabaseTarget, among: Among | None) -> Iterator[tuple[str, str, str]]:
    for batch in target.read(_ISSUES, ("issue_id", "categories"), among):
        for row in batch.to_pylist():
            for digest, name in categories_of(row["categories"]).items():
                yield row["issue_id"], digest, name
