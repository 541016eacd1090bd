"""Words of reports: long values cut, times and lengths of time as people read them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from mlporter.reports.limits import TEXT
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["cut", "duration_text", "in_words", "listed", "time_text", "value_text"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000


def cut(text: str, most: int = TEXT) -> str:
    """A text, without its middle if it is long.

    >>> cut("abcdefghij", 5), cut("abc", 5)
    ('ab…ij', 'abc')
    """
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def time_text(ms: int | None) -> str:
    """Milliseconds since the epoch, as a time in UTC; "" for none.

    >>> time_text(1_600_000_000_000), time_text(None), time_text(10**18)
    ('2020-09-13 12:26 UTC', '', '1,000,000,000,000,000,000 ms')
    """
    if ms is None:
        return ""
    try:
        return f"{_EPOCH + timedelta(milliseconds=ms):%Y-%m-%d %H:%M} UTC"
    except OverflowError:  # whatever a client sent
        return f"{ms:,} ms"


def duration_text(start: int | None, end: int | None) -> str:
    """The time from one to the other, both in milliseconds; "" where one of them is not known.

    >>> duration_text(0, 5400), duration_text(0, 125_000), duration_text(0, 12_000_000)
    ('5.4 s', '2 min 5 s', '3 h 20 min')
    """
    if start is None or end is None or end < start:
        return ""
    took = end - start
    if took < _MINUTE_MS:
        return f"{took / 1000:.1f} s"
    if took < _HOUR_MS:
        return f"{took // _MINUTE_MS} min {took % _MINUTE_MS // 1000} s"
    if took < _DAY_MS:
        return f"{took // _HOUR_MS} h {took % _HOUR_MS // _MINUTE_MS} min"
    return f"{took // _DAY_MS} d {took % _DAY_MS // _HOUR_MS} h"


def value_text(value: object) -> str:
    """A value of a column: NULL, "" and bytes can be told from texts that look alike."""
    if value is None:
        return "NULL"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return cut(bytes(value).hex())
    if isinstance(value, str):
        return cut(value) if value.strip() else f"“{cut(value)}”"
    return cut(str(value))


def listed(words: Iterable[str]) -> str:
    """Things in a sentence.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    *before, last = words
    return f"{', '.join(before)} and {last}" if before else last


def in_words(counts: Iterable[tuple[int, str]]) -> str:
    """Counted things in a sentence, but those that there are none of; "nothing" for none at all.

    >>> in_words([(2, "run"), (0, "model"), (1, "experiment")])
    '2 runs and 1 experiment'
    """
    said = [plural(count, noun) for count, noun in counts if count]
    return listed(said) if said else "nothing"
