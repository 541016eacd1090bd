"""On which line of a file a key stands, and what is wrong there: all of it, in the file's order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from mlporter.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.manifests.variables import Path

__all__ = ["Faults", "lines_of"]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HINT = "docs/manifests.md has every key, and manifests/schema.json lets editors complete them"


def lines_of(text: str) -> dict[Path, int]:
    """The line of each key and list item of a YAML document that `load_yaml` took."""
    found: dict[Path, int] = {}

    def walk(node: yaml.Node | None, path: Path) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                found[(*path, key.value)] = key.start_mark.line + 1
                walk(value, (*path, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for at, item in enumerate(node.value):
                found[(*path, at)] = item.start_mark.line + 1
                walk(item, (*path, at))

    walk(yaml.compose(text, Loader=_LOADER), ())
    return found


@dataclass
class Faults:
    """What is wrong with a manifest.

    Attributes:
        file: The manifest.
        lines: Of its keys.
        given: Keys that ``--set`` gave, which stand on no line.
    """

    file: str
    lines: Mapping[Path, int] = field(default_factory=dict)
    given: frozenset[Path] = frozenset()
    _found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: Path, what: str) -> None:
        """Something is wrong with the value at `path`."""
        key = key_of(path)
        if any(path[: len(given)] == given for given in self.given):
            self._found.append((0, f"--set {key}: {what}"))
            return
        line = next((self.lines[p] for p in prefixes(path) if p in self.lines), 1)
        self._found.append((line, f"line {line}: {key}: {what}" if key else f"line {line}: {what}"))

    def add_line(self, line: int, what: str) -> None:
        """Something is wrong on a line, whatever key it belongs to."""
        self._found.append((line, f"line {line}: {what}"))

    def check(self) -> None:
        """Refuse the file if anything is wrong.

        Raises:
            UsageError: with all of it.
        """
        if not self._found:
            return
        said = [what for _, what in sorted(self._found, key=lambda fault: fault[0])]
        if len(said) == 1:
            raise UsageError(said[0], subject=self.file, hint=_HINT)
        raise UsageError(
            f"{len(said)} things are wrong", subject=self.file, reasons=tuple(said), hint=_HINT
        )


def key_of(path: Path) -> str:
    """A path as people write it: ``selection.model``."""
    return ".".join(str(part) for part in path if isinstance(part, str))


def prefixes(path: Path) -> list[Path]:
    """A path and all around it, from the inside."""
    return [path[:length] for length in range(len(path), 0, -1)]
