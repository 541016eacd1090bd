"""Numbers, times and things in sentences, texts made visible, and commands to type."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timezone
from shlex import quote
from typing import TYPE_CHECKING

from mlporter.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NEWER", "both_values", "command_line", "iso_time", "plural", "shown_value", "singular"]
__all__ += ["human_bytes", "seconds_of", "thing", "visible"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

NEWER = "newer than this release knows"
"""What is said of a later MLflow than the catalogue's, installed or a server's."""
_KILO = 1000


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """A counted noun, its digits in groups of three: ``1 file``, ``2,000 files``."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def seconds_of(text: str) -> float:
    """Seconds, from a number with a unit or without one: ``30s``, ``5m``, ``1h``, ``30d``.

    Raises:
        ValueError: it is no length of time, or none at all.
    """
    text = text.strip().lower()
    unit = _UNITS.get(text[-1:])
    seconds = float(text[:-1] if unit else text) * (unit or 1)
    if not 0 < seconds < float("inf"):
        raise ValueError(text)
    return seconds


def command_line(
    verb: str, places: Iterable[str], options: Iterable[tuple[str, str | bool]], rest: str = ""
) -> str:
    """A command as a user would type it, quoted for a shell, with no password in it.

    Args:
        verb: Such as ``copy``.
        places: Its arguments.
        options: Names of options with their values; a flag's value is whether it is set, and an
            option whose value is empty was not given.
        rest: Further options, quoted already.

    >>> command_line("copy", ["a.db", "b c"], [("workers", "2"), ("dry-run", False)])
    "mlporter copy a.db 'b c' --workers 2"
    """
    words = ["mlporter", verb, *(quote(redact(place)) for place in places)]
    for name, value in options:
        if value is True:
            words.append(f"--{name}")
        elif value:
            words += [f"--{name}", quote(redact(value))]
    return " ".join([*words, rest] if rest else words)


_OF_MODELS = ("registered_model", "model_version")
_DEFAULT = "default/"
_SINGULAR = {
    "registered_model_aliases": "alias",
    "model_versions": "version",
    "model_version": "version",
    "trace_info": "trace",
    "entity_associations": "association",
    "budget_policies": "budget policy",
}


def singular(kind: str) -> str:
    """A table of things as one of them: ``registered_models`` is ``registered model``."""
    return _SINGULAR.get(kind) or kind.replace("_", " ").removesuffix("s")


def thing(kind: str, name: str) -> str:
    """One thing; the workspace of a model is named where it is another one than the default."""
    if kind.startswith(_OF_MODELS) and "/" in name:
        name = name.removeprefix(_DEFAULT)
    return f"{singular(kind)} {name}"


_TIMES = re.compile(r"(?:^|[_.])(?<!execution_)time(?:stamp)?(?:_ms)?$|\(timestamp\)$")
_NAMED_BY_PEOPLE = ("metrics.", "params.", "tags.")
"""How fields begin whose names people give: one that is called a time may be anything."""
_NANOSECONDS = "_unix_nano"
_MILLION = 1_000_000


def iso_time(name: str, value: object) -> str | None:
    """The time that a column or field of this name holds, in UTC as ISO 8601; None if it is none.

    MLflow keeps times as milliseconds since 1970, and those of spans as nanoseconds.

    >>> iso_time("start_time", 1_700_000_000_123)
    '2023-11-14T22:13:20.123Z'
    """
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    if name.startswith(_NAMED_BY_PEOPLE) and not name.endswith("(timestamp)"):
        return None
    if name.endswith(_NANOSECONDS):
        seconds, rest, digits = *divmod(value, 1000 * _MILLION), 9
    elif _TIMES.search(name):
        seconds, rest, digits = *divmod(value, 1000), 3
    else:
        return None
    try:
        when = datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None
    return f"{when:%Y-%m-%dT%H:%M:%S}" + (f".{rest:0{digits}}" if rest else "") + "Z"


_LONGEST = 80


def both_values(name: str, source: object, target: object) -> str:
    """What a field is on both sides: ``status is 'FAILED' at the source and 'FINISHED' at …``."""
    values = f"{shown_value(name, source)} at the source and {shown_value(name, target)}"
    return f"{name} is {values} at the target"


def shown_value(name: str, value: object) -> str:
    """A value in a sentence: times as dates, texts in quotes, long ones without their middle."""
    if value is None:
        return "nothing"
    text = iso_time(name, value) or repr(value)
    half = (_LONGEST - 1) // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}…{text[-half:]}"


def human_bytes(number: float) -> str:
    """Bytes in powers of 1000, three digits at most: ``0 B``, ``12.3 kB``, ``1.2 GB``."""
    if number < _KILO:
        return f"{number:.0f} B"
    unit = ""
    for unit in ("kB", "MB", "GB", "TB", "PB"):  # noqa: B007 -- the last one is used
        number /= _KILO
        if round(number, 1) < _KILO:
            break
    return f"{number:.1f} {unit}"


def visible(text: str) -> str:
    r"""Show control characters as escapes, so that no value can steer a terminal or break a line.

    >>> visible("a\x1b[31mb\n")
    'a\\x1b[31mb\\n'
    """
    if text.isprintable():
        return text
    return "".join(c if c == " " or _harmless(c) else _escape(c) for c in text)


def _harmless(character: str) -> bool:
    # Joiners and variation selectors (Cf and Mn) belong to emoji and to many scripts; what turns
    # the direction of text (U+202A to U+202E, U+2066 to U+2069) can make it read as other text.
    if "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069":
        return False
    return unicodedata.category(character) not in {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
