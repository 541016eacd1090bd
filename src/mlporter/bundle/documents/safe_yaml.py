"""YAML from strangers: plain values only, of bounded size and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from mlporter.bundle.folder.layout import MAX_MANIFEST_BYTES
from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from collections.abc import Hashable

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
        text = data.decode()
        _check_events(text, name)
        # The loader is a SafeLoader, and stricter: see _StrictLoader.
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506
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


def _check_events(text: str, name: str) -> None:
    """Refuse what must not even be composed: what explodes, recurses or names types."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_FAST):
        wrong = None
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            wrong = "more than one document" if documents > 1 else None
        elif isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            wrong = "anchors and aliases are not allowed"
        elif getattr(event, "tag", None):
            wrong = "tags are not allowed"
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            wrong = f"nested deeper than {MAX_DEPTH}" if depth > MAX_DEPTH else None
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if wrong:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise BundleDamagedError(f"line {line}: {wrong}", subject=name)


class _StrictLoader(_FAST):  # type: ignore[misc]  # either loader, both untyped
    """A safe loader that refuses repeated keys, merges and keys that are not texts."""

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002 - as PyYAML's
    ) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != _STRING:
                problem = "a key is not a text"
            elif key.value in seen:
                problem = f"key {key.value[:80]!r} is repeated"
            else:
                seen.add(key.value)
                continue
            raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


# A time is what the manifest says it is, a text, whether or not somebody dropped its quotes.
_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in _FAST.yaml_implicit_resolvers.items()
}
