"""Values that their columns' types do not have: what is copied in their place, and why.

SQLite lets any value into any column, MySQL any number into a flag, and both old bytes into text.
Pure functions: from a value as it is stored to one that the type has, or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.errors import UnreachableError

if TYPE_CHECKING:
    from mlporter.catalogue.types import Column

__all__ = ["Blob", "Fitted", "Raw", "StrangeValueError", "as_number", "fitted", "raw_values"]

_SHOWN = 80


class StrangeValueError(UnreachableError):
    """A whole batch could not be read for a value that its column's type does not have.

    `UnfitValueReader` then looks at each value; elsewhere it is an error as any other.
    """


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that are stored as bytes, where a text is bytes too, but is stored as a text."""

    data: bytes


Raw = None | bool | int | float | bytes | Blob
"""A value as it is stored; a text is its bytes."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What is copied of a value.

    Attributes:
        value: A value of the column's type, or None.
        reason: A slug that says what was wrong, or "".
        detail: What it was, as a clause; "" if nothing was wrong.
        became: What is copied in its place, as a clause; "" for NULL, or if nothing was wrong.
        ascends: Rows that are sorted by the stored values are sorted by these, too.
    """

    value: object
    reason: str = ""
    detail: str = ""
    became: str = ""
    ascends: bool = True


def fitted(raw: Raw, column: Column) -> Fitted:
    """What is copied of a value of this column; secrets are not quoted."""
    kind = column.type
    if raw is None or pa.types.is_binary(kind):
        return Fitted(None if raw is None else _bytes(raw))
    if pa.types.is_string(kind):
        return _text(raw, column)
    value = _parsed(raw, kind)
    if value is None:
        return _lost(raw, column)
    if pa.types.is_boolean(kind):
        return _flag(raw, value, column)
    if _is_fraction(kind, value) or not _holds(kind, value):
        return _lost(raw, column)
    return Fitted(int(value) if pa.types.is_integer(kind) else value)


def raw_values(array: pa.Array) -> list[Raw]:
    """The values of a driver's array, texts as they are stored."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_string(array.type):
        return list(array.cast(pa.binary()).to_pylist())
    if pa.types.is_binary(array.type):
        return [None if value is None else Blob(value) for value in array.to_pylist()]
    return list(array.to_pylist())


def _text(raw: Raw, column: Column) -> Fitted:
    data = _bytes(raw)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode(errors="backslashreplace")
        became = f"copied as {_quoted(text, column)}"
        return Fitted(text, "not-utf8", "is not UTF-8", became, ascends=False)
    if isinstance(raw, Blob):
        became = f"copied as the text {_quoted(text, column)}"
        return Fitted(text, "wrong-type", "holds bytes and not a text", became, ascends=False)
    return Fitted(text)


def _bytes(raw: Raw) -> bytes:
    if isinstance(raw, Blob):
        return raw.data
    return raw if isinstance(raw, bytes) else str(raw).encode()


def _parsed(raw: Raw, kind: pa.DataType) -> int | float | None:
    """A number, or what a date is counted in, if it is one; a text is no number."""
    if isinstance(raw, (bool, int, float)):
        return raw
    if not isinstance(raw, bytes) or not pa.types.is_date(kind):
        return None
    try:
        return int(pa.scalar(raw.decode()).cast(kind).cast(pa.int32()).as_py())
    except ValueError:  # Arrow's and UnicodeDecodeError are such, too
        return None


def as_number(data: bytes | None, column: Column) -> Raw:
    """What a driver gives as bytes, whatever it is: a number where the column has such."""
    kind = column.type
    if data is None or not pa.types.is_primitive(kind) or pa.types.is_date(kind):
        return data
    try:
        return float(data) if pa.types.is_floating(kind) else int(data)
    except ValueError:
        return data


def _flag(raw: Raw, value: float, column: Column) -> Fitted:
    if value in (0, 1):
        return Fitted(bool(value))
    if value % 1:
        return _lost(raw, column)
    detail = f"holds {_shown(raw, column)}, neither 0 nor 1"
    return Fitted(True, "wrong-type", detail, "copied as true", ascends=value > 0)  # noqa: FBT003


def _is_fraction(kind: pa.DataType, value: float) -> bool:
    return bool(pa.types.is_integer(kind)) and not float(value).is_integer()


def _holds(kind: pa.DataType, value: float) -> bool:
    if not pa.types.is_integer(kind):
        return True
    limit: int = 1 << (kind.bit_width - 1)
    return -limit <= int(value) < limit


def _lost(raw: Raw, column: Column) -> Fitted:
    what = {pa.bool_(): "neither true nor false", pa.date32(): "no date"}.get(column.type)
    if what is None:
        whole = pa.types.is_integer(column.type)
        what = f"no whole number of {column.type.bit_width} bits" if whole else "no number"
    detail = f"holds {_shown(raw, column)}, {what}"
    return Fitted(None, "wrong-type", detail, ascends=False)


def _shown(raw: Raw, column: Column) -> str:
    if column.secret:
        return "something"
    if isinstance(raw, Blob):
        return f"the bytes x'{raw.data[:_SHOWN].hex()}'"
    if isinstance(raw, bytes):
        return _quoted(raw.decode(errors="backslashreplace"), column)
    return repr(raw)


def _quoted(text: str, column: Column) -> str:
    if column.secret:
        return "escapes"
    short = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
    return f"'{''.join(shown)}'"
