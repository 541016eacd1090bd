"""Values as they are stored: texts of files, and the fields of `meta.yaml` in all of its shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from mlporter.bundle.documents.safe_yaml import load_yaml
from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from mlporter.stores.filestore.notes import Spot
    from mlporter.stores.filestore.tree import Tree

__all__ = ["Meta", "milliseconds", "read_meta", "text_of", "texts_below", "whole"]

_TIME = re.compile(r"(.*?)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MOST, _LEAST = 2**63 - 1, -(2**63)


def text_of(data: bytes, spot: Spot) -> str:
    r"""The text of a file; bytes that are no UTF-8 are spelt ``\xff``, and reported."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        spot.lost(f"line {line}: not UTF-8; these bytes are copied as \\x..", "not-utf8")
        return data.decode(errors="backslashreplace")


def texts_below(tree: Tree, path: str, spot: Spot) -> list[tuple[str, str]]:
    """Keys and values of parameters or tags: a file each, sorted by key."""
    found = []
    for name, file in tree.files_below(path, spot):
        here = spot.at(name)
        data = tree.read(file, here)
        if data is not None:
            found.append((name, text_of(data, here)))
    return found


def read_meta(tree: Tree, path: str, spot: Spot) -> Meta | None:
    """The fields of a YAML file, or None if it is missing or cannot be read as such."""
    data = tree.read(path, spot)
    if data is None:
        return None
    try:
        values = load_yaml(data, spot.path)
    except BundleDamagedError as error:
        spot.lost(error.message)
        return None
    if not isinstance(values, dict):
        spot.lost("line 1: is empty" if values is None else "line 1: holds no fields")
        return None
    return Meta(values, spot)


@dataclass(frozen=True)
class Meta:
    """Fields of a YAML file; what is not of the type that it should be is reported, and None."""

    fields: Mapping[str, object]
    spot: Spot

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def text(self, name: str, default: str | None = None) -> str | None:
        """A text; an unquoted number is one too. `default` where the field is absent."""
        if name not in self.fields:
            return default
        value = self.fields[name]
        if value is None or isinstance(value, str):
            return None if value is None else self._valid(name, value)
        if isinstance(value, (bool, int, float)):
            return str(value).lower() if isinstance(value, bool) else str(value)
        self.spot.lost(f"{name} is not a text")
        return None

    def _valid(self, name: str, value: str) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            self.spot.lost(f"{name} is not UTF-8; it is copied with \\ud8..", "not-utf8")
            return value.encode(errors="backslashreplace").decode()
        return value

    def first_text(self, *names: str) -> str | None:
        """The first of some texts that is not empty; else the last."""
        found = None
        for name in names:
            found = self.text(name)
            if found:
                return found
        return found

    def number(self, name: str, default: int | None = None) -> int | None:
        """A whole number of 64 bits; a text of digits is one too."""
        if name not in self.fields:
            return default
        value = self.fields[name]
        if value is None:
            return None
        found = whole(value)
        if found is None:
            self.spot.lost(f"{name} is not a whole number: {str(value)[:80]!r}")
        return found

    def mapping(self, name: str) -> Meta:
        """Fields in a field; none where it is absent or empty."""
        value = self.fields.get(name)
        if value is not None and not isinstance(value, Mapping):
            self.spot.lost(f"{name} holds no fields")
        return Meta(value if isinstance(value, Mapping) else {}, self.spot)


def whole(value: object) -> int | None:
    """A whole number of 64 bits, however it is written, or None."""
    if isinstance(value, bool):
        return None
    try:
        found = int(value) if isinstance(value, (int, str)) else None
        if isinstance(value, float) and value.is_integer():
            found = int(value)
    except ValueError:
        return None
    return found if found is not None and _LEAST <= found <= _MOST else None


def milliseconds(text: str) -> int | None:
    """A time in ISO 8601, of any precision, to the millisecond below; without a zone it is UTC."""
    matched = _TIME.fullmatch(text.strip())
    if matched is None:
        return None
    moment, fraction, zone = matched.groups()
    zone = zone if zone and zone != "Z" else "+00:00"
    try:
        offset = zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
        passed = datetime.fromisoformat(moment + offset) - _EPOCH
    except ValueError:
        return None
    return (passed.days * 86_400 + passed.seconds) * 1000 + int(((fraction or "") + "000")[:3])
