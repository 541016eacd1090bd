"""What was in tags and metadata of traces before MLflow 3.17, and has columns since then.

As `mlflow.store.tracking.utils.trace_analytics` does it: values that are not what they should be
become NULL, and what was promoted is no longer a tag or metadata.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from mlporter.stores.filestore.spans import finite

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

__all__ = ["LONGEST_NAME", "LONGEST_SESSION", "promoted"]

LONGEST_NAME, LONGEST_SESSION = 4096, 250
_NAME = "mlflow.traceName"
_SESSION = "mlflow.trace.session"
_USAGE = "mlflow.trace.tokenUsage"
_COST = "mlflow.trace.cost"
_TOKENS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
)
_COSTS = ("input_cost", "output_cost", "total_cost")
_MOST, _LEAST = 2**63 - 1, -(2**63)


def promoted(
    tags: MutableMapping[str, str], metadata: MutableMapping[str, str]
) -> tuple[dict[str, object], list[str]]:
    """Take out of tags and metadata what has columns.

    Returns:
        The columns of `trace_info`, and the keys of what could not go into them whole.
    """
    columns: dict[str, object] = {}
    lost = []
    name, session = tags.pop(_NAME, None), metadata.pop(_SESSION, None)
    if name is not None:
        columns["trace_name"] = name[:LONGEST_NAME]
    if session is not None:
        columns["session_id"] = session[:LONGEST_SESSION]
    lost += [_NAME] if name and len(name) > LONGEST_NAME else []
    lost += [_SESSION] if session and len(session) > LONGEST_SESSION else []
    for key, names, convert in ((_USAGE, _TOKENS, tokens), (_COST, _COSTS, finite)):
        if key not in metadata:
            continue
        text = metadata.pop(key)
        given = _object(text)
        found = {name: convert(given[name]) for name in names if name in given}
        columns |= found
        if set(given) - set(names) or any(
            value is None and given[name] is not None for name, value in found.items()
        ) or (not given and text.strip() not in {"", "{}", "null"}):  # fmt: skip
            lost.append(key)
    return columns, lost


def _object(text: str) -> Mapping[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def tokens(value: object) -> int | None:
    """A count of tokens, or None where it is no whole number of 64 bits."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except (InvalidOperation, ValueError):
        return None
    if not number.is_finite() or number != number.to_integral_value():
        return None
    return int(number) if _LEAST <= number <= _MOST else None
