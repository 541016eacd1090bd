"""From the JSON of a server to rows of the catalogue's tables: pure functions, a family a module.

Each takes objects as MLflow's REST API gives them and returns rows by table, ready for a
`ScratchRegistry`. What the API does not show is not in a row (NULL), or made up in a way that gives
the same every time; `mlporter.catalogue.rest_limits` names it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Json", "Rows", "merged", "new_rows", "pairs", "stamped"]

Json = Mapping[str, Any]
Rows = dict[str, list[dict[str, Any]]]
"""Rows by table."""


def new_rows() -> Rows:
    """No rows yet, of any table."""
    return defaultdict(list)


def merged(parts: Iterable[Rows]) -> Rows:
    """The rows of several objects together."""
    rows = new_rows()
    for part in parts:
        for table, found in part.items():
            rows[table] += found
    return rows


def pairs(items: Iterable[Json] | None) -> Iterable[tuple[str, str]]:
    """Keys and values of a list of tags or parameters."""
    return ((item["key"], item.get("value", "")) for item in items or ())


def stamped(value: object) -> object:
    """A text that the API gives as "" where there is none."""
    return value or None
