"""Ids inside strings: in tags, JSON documents, URIs and links. They follow like any other.

So do those inside files that name what they belong to.
"""

from __future__ import annotations

import base64
import io
import json
import re
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.catalogue.types import Form, HiddenReference
from mlporter.stores.rows.json_strings import with_endpoints, with_strings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlporter.catalogue.types import Table
    from mlporter.plan.ids.id_map import IdMap
    from mlporter.stores.rows.json_strings import Path

__all__ = ["map_strings", "names_ids", "with_new_ids", "with_trace_ids"]

_TRACE_ID = "mlflow.traceRequestId"
_LINK = re.compile(r"(?<=/)(experiments|runs)/([^/?#]+)")
_URI = re.compile(r"^(runs|models):(/+)([^/@]+)")
_PROMPT_VERSION = "prompt_version"


def map_strings(table: Table, batch: pa.RecordBatch, ids: IdMap) -> pa.RecordBatch:
    """A batch whose strings name the target's ids.

    The columns of `table` must not have been mapped yet where they say which rows are meant.
    """
    for hidden in table.hidden:
        if changes := _changes(hidden, ids):
            batch = _map_hidden(batch, hidden, changes, ids)
    if table.name == "spans" and ids.of("trace_info"):
        traces = ids.of("trace_info")
        batch = _map_rows(batch, "content", None, lambda text: with_trace_ids(text, traces))
    if table.name == "entity_associations" and ids.models:
        names = {name: new for (_, name), new in ids.models.items()}
        for side in ("source", "destination"):
            where = (f"{side}_type", _PROMPT_VERSION)
            batch = _map_rows(batch, f"{side}_id", where, lambda text: _prompt(text, names))
    return batch


def _changes(hidden: HiddenReference, ids: IdMap) -> Mapping[str, str]:
    if hidden.table == "experiments":
        return {str(old): str(new) for old, new in ids.experiments.items() if old != new}
    if hidden.table == "registered_models":
        return {name: new for (_, name), new in ids.models.items()}
    return ids.of(hidden.table)


def _map_hidden(
    batch: pa.RecordBatch, hidden: HiddenReference, changes: Mapping[str, str], ids: IdMap
) -> pa.RecordBatch:
    handlers: dict[Form, Callable[[str], str]] = {
        Form.ID: lambda text: changes.get(text, text),
        Form.LIST: lambda text: ",".join(changes.get(part, part) for part in text.split(",")),
        Form.JSON: lambda text: _json(text, hidden.fields, changes),
        Form.URI: lambda text: _uri(text, hidden.table, changes),
        Form.ENDPOINT: lambda text: with_endpoints(text, changes),
        Form.LINK: lambda text: _link(text, ids),
    }
    return _map_rows(batch, hidden.column, hidden.where, handlers[hidden.form])


def _map_rows(
    batch: pa.RecordBatch,
    column: str,
    where: tuple[str, str] | None,
    change: Callable[[str], str],
) -> pa.RecordBatch:
    index = batch.schema.get_field_index(column)
    if index < 0 or (where is not None and batch.schema.get_field_index(where[0]) < 0):
        return batch
    values = batch.column(index)
    meant = values.is_valid()
    if where is not None:
        matches = pc.equal(batch.column(batch.schema.get_field_index(where[0])), where[1])
        meant = pc.and_(meant, pc.fill_null(matches, fill_value=False))
    rows = pc.indices_nonzero(meant)
    if not len(rows):
        return batch
    changed = pa.array([change(text) for text in values.take(rows).to_pylist()], values.type)
    mapped = pc.replace_with_mask(values, meant, changed)
    return batch.set_column(index, batch.schema.field(index), mapped)


def _json(text: str, fields: tuple[str, ...], changes: Mapping[str, str]) -> str:
    """A document in which the values of some fields were changed."""

    def change(path: Path, value: str) -> str:
        return changes.get(value, value) if path and path[-1] in fields else value

    return with_strings(text, change)


def _uri(text: str, table: str, changes: Mapping[str, str]) -> str:
    """``runs:/<id>/…``, ``models:/<logged model>`` or ``models:/<name>/<version>``."""
    scheme = "runs" if table == "runs" else "models"

    def change(found: re.Match[str]) -> str:
        if found[1] != scheme:
            return found[0]
        return f"{found[1]}:{found[2]}{changes.get(found[3], found[3])}"

    return _URI.sub(change, text)


def _link(text: str, ids: IdMap) -> str:
    def change(found: re.Match[str]) -> str:
        kind, old = found[1], found[2]
        if kind == "runs":
            return f"{kind}/{ids.of('runs').get(old, old)}"
        new = ids.experiment(int(old)) if old.isascii() and old.isdigit() else old
        return f"{kind}/{new}"

    return _LINK.sub(change, text)


def _prompt(text: str, names: Mapping[str, str]) -> str:
    name, slash, version = text.rpartition("/")
    return f"{names.get(name, name)}{slash}{version}"


def with_trace_ids(text: str, traces: Mapping[str, str], within: Path = ()) -> str:
    """Spans of traces with new ids: these are in there in Base64, and as JSON in JSON.

    Args:
        text: JSON; a span, or what holds some.
        traces: New ids by old ones.
        within: The keys that lead to the spans.
    """

    def change(path: Path, value: str) -> str:
        if path == (*within, "attributes", _TRACE_ID):
            new = traces.get(_unquoted(value))
            return value if new is None else json.dumps(new)
        if path == (*within, "trace_id"):
            old = _unpacked(value)
            new = traces.get(f"tr-{old}", traces.get(old))
            return value if new is None else _packed(new) or value
        return value

    return with_strings(text, change)


def _unquoted(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""


def _packed(trace: str) -> str | None:
    """A trace id as MLflow packs it: the bytes of ``tr-<32 hexadecimal digits>`` in Base64."""
    try:
        return base64.b64encode(bytes.fromhex(trace.removeprefix("tr-"))).decode()
    except ValueError:
        return None


def _unpacked(text: str) -> str:
    """The digits of the trace id that something packed stands for."""
    try:
        return base64.b64decode(text, validate=True).hex()
    except ValueError:
        return ""


_MODEL = "MLmodel"
_TRACE = "traces.json"
_LARGEST = 256 << 20
"""Bytes: no model description or trace is as large, and it is rewritten in memory."""
_ID = re.compile(rb"(?:m-)?[0-9a-f]{32}")


def names_ids(path: str, size: int) -> bool:
    """Whether a file is one that MLflow writes ids into."""
    return path.rpartition("/")[2] in {_MODEL, _TRACE} and size <= _LARGEST


def with_new_ids(path: str, stream: BinaryIO, ids: IdMap) -> BinaryIO:
    """The bytes of such a file, with new ids where they changed; all else stays byte for byte."""
    content = stream.read()
    if path.endswith(_TRACE):
        return io.BytesIO(_trace(content, ids.of("trace_info")))
    known = {**ids.of("runs"), **ids.of("logged_models")}

    def change(found: re.Match[bytes]) -> bytes:
        old = found[0].decode()
        return known.get(old, old).encode()

    return io.BytesIO(_ID.sub(change, content))


def _trace(content: bytes, traces: Mapping[str, str]) -> bytes:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    return with_trace_ids(text, traces, ("spans",)).encode() if traces else content
