"""Files that name the ids of what they belong to: they follow when those change."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, BinaryIO

from mlporter.plan.ids.id_strings import with_trace_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.plan.ids.id_map import IdMap

__all__ = ["names_ids", "with_new_ids"]

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
