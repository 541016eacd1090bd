"""What a table of the newest schema has no room for, of what an older one holds.

MLflow's own upgrade cuts it, drops it with a warning, or refuses the whole database for it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlporter.errors import LeftOut
from mlporter.stores.database.history.json_values import dimensions, json_object
from mlporter.stores.database.history.traces import (
    COSTS,
    MODEL_LENGTH,
    NAME_LENGTH,
    SESSION_LENGTH,
    SPAN_KEYS,
    TOKENS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pyarrow as pa

    from mlporter.stores.database.history.relations import Relation

__all__ = ["losses"]

_SHOWN = 200


def losses(
    relations: Mapping[str, Relation], read_raw: Callable[[str], Iterable[pa.RecordBatch]]
) -> Iterator[LeftOut]:
    """An entry for every value of which something is lost.

    Args:
        relations: Tables whose columns are computed.
        read_raw: Rows of such a table: its key, and what they are computed from.
    """
    checks: dict[str, Callable[[Mapping[str, Any]], Iterator[LeftOut]]]
    checks = {"trace_info": _of_trace, "spans": _of_span}
    for table, check in checks.items():
        if table in relations and relations[table].moved is not None:
            for batch in read_raw(table):
                for row in batch.to_pylist():
                    yield from check(row)


def _of_trace(row: Mapping[str, Any]) -> Iterator[LeftOut]:
    trace = str(row["request_id"])
    for what, key, length in (
        ("trace name", "_name", NAME_LENGTH),
        ("session id", "_session", SESSION_LENGTH),
    ):
        if len(row[key] or "") > length:
            yield _cut(trace, what, length)
    for what, key, known in (("token usage", "_usage", TOKENS), ("cost", "_cost", COSTS)):
        said = row[key]
        rest = {name: v for name, v in json_object(said).items() if name not in known}
        if rest or (said is not None and not _is_object(said)):
            shown = json.dumps(rest) if rest else said
            detail = f"MLflow 3.17 has no column for this of its {what}: {shown[:_SHOWN]}"
            yield LeftOut("trace", trace, "", "no-column", detail)


def _is_object(text: str) -> bool:
    return bool(json_object(text)) or text.strip() in {"{}", "null"}


def _of_span(row: Mapping[str, Any]) -> Iterator[LeftOut]:
    span, text = f"{row['trace_id']}/{row['span_id']}", row["_dimensions"]
    known = dimensions(text)
    good = known is not None and all(
        key in SPAN_KEYS and (value is None or isinstance(value, str))
        for key, value in known.items()
    )
    if not good:
        detail = f"MLflow 3.17 has no column for this attribute: {text[:_SHOWN]}"
        yield LeftOut("span", span, "", "no-column", detail)
        return
    for key in SPAN_KEYS:
        if len((known or {}).get(key) or "") > MODEL_LENGTH:
            yield _cut(span, key, MODEL_LENGTH, "span")


def _cut(owner: str, what: str, length: int, kind: str = "trace") -> LeftOut:
    detail = f"MLflow 3.17 keeps {length} characters of its {what}"
    return LeftOut(kind, owner, "", "too-long", detail)
