"""Questions about texts that only the server itself can answer, as it has the collations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlporter.stores.database.connection.connection import Connection

__all__ = ["CollationQuestions"]

_AT_ONCE = 250
_CHARACTERS = 200_000
"""Columns and characters of one question."""
_NAME = re.compile(r"\w+")


class CollationQuestions:
    """Asks a server about texts, many at a time; needs no rights and writes nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def kept(self, texts: Sequence[str], charset: str) -> list[bool]:
        """Whether each text is still the same after a character set has held it."""
        there = f"CONVERT(CONVERT({{0}} USING {_name(charset)}) USING utf8mb4)"
        return [bool(value) for value in self._ask(f"CAST({there} AS BINARY) = {{0}}", texts)]

    def json_valid(self, texts: Sequence[str]) -> list[bool]:
        """Whether each text is JSON."""
        return [bool(value) for value in self._ask("JSON_VALID({0})", texts)]

    def weights(self, texts: Sequence[str], collation: str) -> list[bytes]:
        """For each text bytes that are equal where a collation takes two texts for equal."""
        name = _name(collation)
        charset = name.partition("_")[0]
        blank = self._connection.scalar(
            f"SELECT CONVERT('a' USING {charset}) COLLATE {name} = CONVERT('a ' USING {charset})"
        )
        if blank:
            # Blanks at the end do not count; WEIGHT_STRING does not know that.
            texts = [text.rstrip(" ") for text in texts]
        weigh = f"WEIGHT_STRING(CONVERT({{0}} USING {charset}) COLLATE {name})"
        return [_bytes(value) for value in self._ask(weigh, texts)]

    def _ask(self, question: str, texts: Sequence[str]) -> list[object]:
        answers: list[object] = []
        for few in _portions(texts):
            words = ("'" + text.replace("'", "''") + "'" for text in few)
            # Not `format`: a text may hold braces.
            columns = ", ".join(question.replace("{0}", word) for word in words)
            answers += self._connection.rows(f"SELECT {columns}")[0]
        return answers


def _portions(texts: Sequence[str]) -> Iterator[list[str]]:
    few: list[str] = []
    size = 0
    for text in texts:
        if few and (len(few) >= _AT_ONCE or size + len(text) > _CHARACTERS):
            yield few
            few, size = [], 0
        few.append(text)
        size += len(text)
    if few:
        yield few


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _name(word: str) -> str:
    """A name of the server's own, which comes without quotes."""
    if not _NAME.fullmatch(word):
        raise ValueError(word)
    return word
