"""What was in tags and metadata of traces before MLflow 3.17, and has columns since then.

As `mlflow.store.tracking.utils.trace_analytics` does it: values that are not what they should be
become NULL, and what was promoted is no longer a tag or metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.stores.database.history.json_values import finite, json_object, token_count
from mlporter.stores.database.history.traces import (
    COSTS,
    NAME_LENGTH,
    SESSION_LENGTH,
    TOKENS,
)

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["promoted"]

_NAME = "mlflow.traceName"
_SESSION = "mlflow.trace.session"
_USAGE = "mlflow.trace.tokenUsage"
_COST = "mlflow.trace.cost"


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
        columns["trace_name"] = name[:NAME_LENGTH]
    if session is not None:
        columns["session_id"] = session[:SESSION_LENGTH]
    lost += [_NAME] if name and len(name) > NAME_LENGTH else []
    lost += [_SESSION] if session and len(session) > SESSION_LENGTH else []
    for key, names, convert in ((_USAGE, TOKENS, token_count), (_COST, COSTS, finite)):
        if key not in metadata:
            continue
        text = metadata.pop(key)
        given = json_object(text)
        found = {name: convert(given[name]) for name in names if name in given}
        columns |= found
        if set(given) - set(names) or any(
            value is None and given[name] is not None for name, value in found.items()
        ) or (not given and text.strip() not in {"", "{}", "null"}):  # fmt: skip
            lost.append(key)
    return columns, lost
