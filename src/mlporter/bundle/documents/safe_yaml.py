"""YAML from strangers: plain values only, of bounded size and depth."""

from __future__ import annotations

from typing import Any, TypeAlias

import yaml

from mlporter.bundle.folder.layout import MAX_MANIFEST_BYTES
from mlporter.errors import BundleDamagedError

__all__ = ["MAX_DEPTH", "load_yaml"]

MAX_DEPTH = 20
"""The deepest nesting that is read."""

_STRING = "tag:yaml.org,2002:str"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(data: bytes, name: str) -> object:
    """The value of a YAML document; `name` is the file that errors are about.

    Times stay texts. Keys are texts.

    Raises:
        BundleDamagedError: it is longer than 1 MiB or deeper than `MAX_DEPTH`, is no UTF-8 or no
            YAML, has an anchor, an alias, a tag, a repeated key or a key that is no text, or there
            is more than one document. The line is named.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleDamagedError(f"is longer than {MAX_MANIFEST_BYTES:,} bytes", subject=name)
    try:
        # The loader is a SafeLoader, and stricter: see _Document.
        return _Document(_Loader(data.decode()), name).value()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BundleDamagedError(f"line {line}: not UTF-8", subject=name) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        message = f"line {line}: {error.problem or error.context}"
        raise BundleDamagedError(message, subject=name) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        what = str(error).partition("\n")[0]
        raise BundleDamagedError(f"cannot be read: {what}", subject=name) from None


_Event: TypeAlias = Any
"""What PyYAML has read; it gives the attributes of one no types."""


class _Document:
    """Makes the value while it reads, and nothing of what explodes, recurses or names types."""

    def __init__(self, loader: yaml.SafeLoader, name: str) -> None:
        self._loader: Any = loader
        self._name = name

    def value(self) -> object:
        """The value of the only document; None if there is none."""
        self._next()  # the stream begins
        found: object = None
        documents = 0
        while isinstance(event := self._next(), yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise self._wrong("more than one document", event)
            found = self._made(self._next(), 0)
            self._next()  # the document ends
        return found

    def _next(self) -> _Event:
        event: _Event = self._loader.get_event()
        return event

    def _made(self, event: _Event, depth: int) -> object:
        """What begins with an event, once all of it is read."""
        self._check(event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if depth == MAX_DEPTH:
            raise self._wrong(f"nested deeper than {MAX_DEPTH}", event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(depth + 1)
        return self._mapping(depth + 1)

    def _check(self, event: _Event) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise self._wrong("anchors and aliases are not allowed", event)
        if event.tag:
            raise self._wrong("tags are not allowed", event)

    def _list(self, depth: int) -> list[object]:
        found = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            found.append(self._made(event, depth))
        return found

    def _mapping(self, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            self._check(event)
            if not isinstance(event, yaml.ScalarEvent) or self._kind(event) != _STRING:
                raise self._wrong("a key is not a text", event)
            if event.value in found:
                raise self._wrong(f"key {event.value[:80]!r} is repeated", event)
            found[event.value] = self._made(self._next(), depth)
        return found

    def _kind(self, event: _Event) -> str:
        """What a scalar is by its looks, if it has no quotes."""
        if not event.implicit[0]:
            return _STRING
        kind: str = self._loader.resolve(yaml.ScalarNode, event.value, (True, False))
        return kind

    def _scalar(self, event: _Event) -> object:
        kind = self._kind(event)
        if kind == _STRING:
            return event.value
        return self._loader.construct_object(yaml.ScalarNode(kind, event.value, event.start_mark))

    def _wrong(self, what: str, event: _Event) -> BundleDamagedError:
        line = event.start_mark.line + 1 if event.start_mark else 1
        return BundleDamagedError(f"line {line}: {what}", subject=self._name)


class _Loader(_FAST):  # type: ignore[misc]  # either loader, both untyped
    """Takes a time for what the manifest says it is, a text, with or without its quotes."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in _FAST.yaml_implicit_resolvers.items()
}
