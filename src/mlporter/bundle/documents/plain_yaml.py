"""YAML for people and reviews, written the same on every machine.

PyYAML's two emitters differ in line breaks and quotes. A bundle's documents have to be the same
bytes wherever they are made, and they are simple: mappings, lists, texts, numbers, booleans, null.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["emit", "emit_items", "scalar"]

Value = object

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.@+/-]*(?: [A-Za-z0-9_.@+/-]+)*")
_RESERVED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\t": "\\t",
    "\r": "\\r",
}
_UNPRINTABLE = re.compile(r'["\\\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]')


def scalar(value: Value) -> str:
    """A single value as YAML: a text is quoted unless it can be nothing but a text.

    Raises:
        TypeError: it is no text, number, boolean or None.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise TypeError(f"cannot write {type(value).__name__} as YAML")
    if _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    return f'"{_UNPRINTABLE.sub(_escape, value)}"'


def emit(mapping: Mapping[str, Value], indent: int = 0) -> Iterator[str]:
    """The lines of a mapping in block style; what is simple inside a list takes one line each."""
    space = " " * indent
    for key, value in mapping.items():
        head = f"{space}{scalar(key)}:"
        if isinstance(value, Mapping) and value:
            yield f"{head}\n"
            yield from emit(value, indent + 2)
        elif isinstance(value, (list, tuple)) and value:
            yield f"{head}\n"
            yield from emit_items(value, indent + 2)
        else:
            yield f"{head} {_flow(value)}\n"


def emit_items(items: Iterable[Value], indent: int = 0) -> Iterator[str]:
    """The lines of a list, one item at a time.

    A mapping of nothing but single values is written in one line.
    """
    space = " " * indent
    for item in items:
        if isinstance(item, Mapping) and any(_is_nested(value) for value in item.values()):
            lines = "".join(emit(item, indent + 2))
            yield f"{space}- {lines[indent + 2 :]}"
        else:
            yield f"{space}- {_flow(item)}\n"


def _is_nested(value: Value) -> bool:
    return isinstance(value, (Mapping, list, tuple))


def _flow(value: Value) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{scalar(key)}: {_flow(item)}" for key, item in value.items())
        return f"{{{inner}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(_flow(item) for item in value)}]"
    return scalar(value)


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    if char in _ESCAPES:
        return _ESCAPES[char]
    # A lone surrogate (a file name that is not UTF-8) cannot be in YAML: shown, not kept.
    code = ord(char) if not "\ud800" <= char <= "\udfff" else 0xFFFD
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}"  # noqa: PLR2004
