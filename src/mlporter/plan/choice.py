"""What of a source is carried: some units of each kind, and single rows that are left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from mlporter.plan.units import is_among

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

__all__ = ["Choice", "Chosen"]


@dataclass(frozen=True)
class Chosen:
    """Some units of a kind by the source's keys: these, or (``without``) all but these."""

    keys: frozenset[Any]
    without: bool = False

    def mask(self, keys: pa.Array) -> pa.Array:
        """Which of some keys are chosen."""
        among = is_among(keys, self.keys)
        return pc.invert(among) if self.without else among

    def has(self, key: str) -> bool:
        """Whether a key is chosen."""
        return (key in self.keys) != self.without


@dataclass(frozen=True)
class Choice:
    """What of a source is carried.

    Attributes:
        units: By entity; an entity that is not in here is carried whole.
        rows: Of tables whose rows stand alone, the keys (in the target's terms) left out.
        besides: Keys of rows that are carried though the unit that they belong to is not: the
            target has it, and has lost them, or gets more of them.
        below: Where all of these are known: the keys of the units that they belong to.
    """

    units: Mapping[str, Chosen] = field(default_factory=dict)
    rows: Mapping[str, frozenset[str]] = field(default_factory=dict)
    besides: Mapping[str, frozenset[str]] = field(default_factory=dict)
    below: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return not self.units and not self.rows
