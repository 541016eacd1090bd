"""Which ids and names of the source are others in the target."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["IdMap", "fresh_id", "keeps_order"]

_HASHED = 16
"""Hexadecimal digits of a new id that are not those of the old one: 64 bits."""


@dataclass
class IdMap:
    """Ids and names of the source that change; what is not in here stays.

    Attributes:
        workspaces: Names of workspaces.
        experiments: Ids of experiments.
        models: Names of registered models and prompts, by (workspace in the source, name).
        experiment_names: New names of experiments, by their id in the source.
        ids: By table, the ids of its rows: ``runs``, ``logged_models``, ``trace_info`` …, and
            ``datasets`` (dataset_uuid), ``inputs`` (input_uuid), ``assessments`` ….
        ordered: Tables whose new ids sort as the old ones do.
    """

    workspaces: dict[str, str] = field(default_factory=dict)
    experiments: dict[int, int] = field(default_factory=dict)
    experiment_names: dict[int, str] = field(default_factory=dict)
    models: dict[tuple[str, str], str] = field(default_factory=dict)
    ids: dict[str, dict[str, str]] = field(default_factory=dict)
    ordered: set[str] = field(default_factory=set)

    def workspace(self, name: str) -> str:
        """A workspace's name in the target."""
        return self.workspaces.get(name, name)

    def experiment(self, number: int) -> int:
        """An experiment's id in the target."""
        return self.experiments.get(number, number)

    def model(self, workspace: str, name: str) -> str:
        """A registered model's name in the target; `workspace` is the source's."""
        return self.models.get((workspace, name), name)

    def of(self, table: str) -> Mapping[str, str]:
        """The ids of a table's rows that change."""
        return self.ids.get(table, {})

    def change(self, table: str, new: Mapping[str, str]) -> None:
        """Let rows of a table have other ids."""
        if new:
            self.ids.setdefault(table, {}).update(new)

    @property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        changed = any(old != new for old, new in self.experiments.items())
        return not (
            changed
            or self.experiment_names
            or self.models
            or any(self.ids.values())
            or any(old != new for old, new in self.workspaces.items())
        )


def fresh_id(old: str, salt: str, cap: int) -> str:
    """A new id for a copy of a thing: always the same for the same `old` and `salt`.

    A second import so finds what the first one made. The beginning of the old id is kept: the new
    ids then sort as the old ones do, and a table need not be sorted again.
    """
    digest = hashlib.sha256(f"{old}\0{salt}".encode()).hexdigest()
    kept, changed = old[:-_HASHED], old[-_HASHED:]
    if len(kept) >= _HASHED and re.fullmatch(r"[0-9a-f-]+", changed):
        digits = iter(digest)
        return kept + "".join(c if c == "-" else next(digits) for c in changed)
    room = min(cap - 1, len(old) + 9)
    return f"{old[: room - 8]}-{digest[:8]}" if room > 9 else digest[:cap]  # noqa: PLR2004


def keeps_order(ids: Mapping[str, str], unchanged: set[str]) -> bool:
    """Whether the new ids, among those that stay, sort as the old ones do."""
    olds = sorted({*ids, *unchanged})
    news = [ids.get(old, old) for old in olds]
    return all(one < two for one, two in pairwise(news))
