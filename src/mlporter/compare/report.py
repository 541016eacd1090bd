"""What a comparison found: counts a table, the first differences, and what was not compared."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

from mlporter.errors import ExitCode, LeftOut
from mlporter.notebooks import Shown

if TYPE_CHECKING:
    from mlporter.stores.protocols import Description

__all__ = [
    "DIFFER",
    "LEFT_OUT_KEPT",
    "ONLY_LEFT",
    "ONLY_RIGHT",
    "UNREADABLE",
    "DiffReport",
    "Difference",
]
__all__ += ["Sigil", "TableCounts", "json_safe"]

Sigil = Literal["+", "-", "*", "!"]
"""As `rclone check --combined`: only in A (left), only in B (right), differs, could not be read.
The same is ``=``, and not kept."""

ONLY_LEFT: Sigil = "+"
ONLY_RIGHT: Sigil = "-"
DIFFER: Sigil = "*"
UNREADABLE: Sigil = "!"


@dataclass(frozen=True, slots=True)
class Difference:
    """One row or file that is not the same on both sides.

    Attributes:
        table: The table's name; ``artifacts`` for a file.
        sigil: ``+`` only in A (left), ``-`` only in B (right), ``*`` differs, ``!`` unreadable.
        key: Key columns and their values; empty where it is about the whole table.
        columns: Of a ``*`` the columns that differ: (left, right), for people: long texts are
            excerpts, and secrets in URIs are redacted.
        detail: One sentence for people, of a ``!``; else "".
    """

    table: str
    sigil: Sigil
    key: dict[str, object]
    columns: dict[str, tuple[object, object]] = field(default_factory=dict)
    detail: str = ""

    def __str__(self) -> str:
        """One line: sigil, table, key, and what differs."""
        key = ", ".join(f"{name}={value!r}" for name, value in self.key.items())
        columns = "; ".join(f"{name}: {a!r}, {b!r}" for name, (a, b) in self.columns.items())
        parts = (f"{self.sigil} {self.table}", key, columns, self.detail)
        return ": ".join(part for part in parts if part)

    def as_dict(self) -> dict[str, object]:
        """The difference as a JSON object; ``columns`` maps names to ``left`` and ``right``."""
        return {
            "table": self.table,
            "sigil": self.sigil,
            "key": {name: json_safe(value) for name, value in self.key.items()},
            "columns": {
                name: {"left": json_safe(left), "right": json_safe(right)}
                for name, (left, right) in self.columns.items()
            },
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class TableCounts:
    """Rows (or files) of a table, by outcome."""

    same: int = 0
    only_left: int = 0
    only_right: int = 0
    differs: int = 0
    unreadable: int = 0

    @property
    def different(self) -> int:
        """All that are not the same."""
        return self.only_left + self.only_right + self.differs + self.unreadable


LEFT_OUT_KEPT = 1000
"""Left-out things of a side that are kept by name; how many differences are is another matter."""


@dataclass(frozen=True)
class DiffReport(Shown):
    """What `diff_sources` found.

    Attributes:
        left: What A is.
        right: What B is.
        tables: Counts of every table compared, in the catalogue's order, then ``artifacts``.
        differences: The first ones, by table and key.
        truncated: How many more there are.
        ignored: Sentences on what was not compared, and why.
        not_compared: The same in brief: what, and how many (0 where there is nothing to count).
        left_out_left: What A itself did not give, by rule or for want of it: the first ones.
        left_out_right: The same of B.
        left_out_truncated: How many more there are, of both.
        not_given: How many things A and B should have given, and could not; all are counted.
    """

    left: Description
    right: Description
    tables: dict[str, TableCounts]
    differences: list[Difference]
    truncated: int = 0
    ignored: list[str] = field(default_factory=list)
    left_out_left: list[LeftOut] = field(default_factory=list)
    left_out_right: list[LeftOut] = field(default_factory=list)
    left_out_truncated: int = 0
    not_given: tuple[int, int] = (0, 0)
    not_compared: dict[str, int] = field(default_factory=dict)

    @property
    def rows_and_files(self) -> tuple[int, int]:
        """How many rows were compared and the same, and how many files."""
        files = self.tables.get("artifacts", TableCounts()).same
        return sum(counts.same for counts in self.tables.values()) - files, files

    @property
    def identical(self) -> bool:
        """Whether everything compared is the same, and nothing was unreadable."""
        return not any(counts.different for counts in self.tables.values())

    @property
    def exit_code(self) -> ExitCode:
        """0 where both are identical, else 1."""
        return ExitCode.OK if self.identical else ExitCode.DIFFERENT

    def as_dict(self) -> dict[str, object]:
        """The report as one JSON object.

        Fields: ``identical``; ``left`` and ``right`` (address, kind, revision, consistency,
        artifacts, bundle_id, selection); ``tables`` (name to same, only_left, only_right, differs,
        unreadable); ``differences`` (table, sigil, key, columns, detail); ``truncated``;
        ``ignored``; ``not_compared`` (what to how many); ``left_out`` (``left``, ``right``: kind,
        id, path, reason, detail, expected; ``truncated``, ``not_given``: how many of each side were
        not expected).
        Bytes are hex; NaN and infinities are strings; times are ISO 8601.
        """
        return {
            "identical": self.identical,
            "left": asdict(self.left),
            "right": asdict(self.right),
            "tables": {name: asdict(counts) for name, counts in self.tables.items()},
            "differences": [difference.as_dict() for difference in self.differences],
            "truncated": self.truncated,
            "ignored": list(self.ignored),
            "not_compared": dict(self.not_compared),
            "left_out": {
                "left": [asdict(entry) for entry in self.left_out_left],
                "right": [asdict(entry) for entry in self.left_out_right],
                "truncated": self.left_out_truncated,
                "not_given": list(self.not_given),
            },
        }


def json_safe(value: object) -> object:
    """A value as strict JSON can hold it: bytes as hex, NaN and infinities as strings."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _not_finite(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
