"""The target's registered model: what it has, and where its alias and stages move."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.uris.ownership import DELETED_STAGE
from mlporter.catalogue.source_tags import OURS, PLACEHOLDER
from mlporter.errors import RefusedError
from mlporter.stores.protocols import Among

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.promotion.checks.facts import VersionFacts
    from mlporter.stores.rows.version_locations import TableReader

__all__ = [
    "OF",
    "RECEIPT",
    "Pointers",
    "Promoted",
    "TargetModel",
    "former",
    "identity",
    "plan_pointers",
    "read_target",
]

OF = f"{OURS}promotion.of"
"""On a version: which version of which model it is a copy of; see `identity`."""
RECEIPT = f"{OURS}promotion"
"""On a version: a summary of its receipt, as JSON."""


def identity(facts: VersionFacts) -> str:
    """What tells a version of a source from all others, wherever its registry moves."""
    return f"{facts.key[1]}/{facts.key[2]}@{facts.row['creation_time']}"


@dataclass(frozen=True)
class TargetModel:
    """A registered model of the target, as it was when it was looked at.

    Attributes:
        row: Its row of `registered_models`; None where there is none.
        tags: Its tags.
        versions: Rows of `model_versions` by number, deleted ones too where they are shown.
        version_tags: Tags of versions, by number.
        aliases: The number that each alias names.
    """

    row: Mapping[str, Any] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    version_tags: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)

    @property
    def live(self) -> dict[int, Mapping[str, Any]]:
        """Versions that are not deleted."""
        rows = self.versions.items()
        return {number: row for number, row in rows if row["current_stage"] != DELETED_STAGE}

    @property
    def next_number(self) -> int:
        """The number that MLflow gives to the next version."""
        return max([0, int(self.tags.get(PLACEHOLDER, 0)), *self.versions]) + 1

    def stage(self, number: int) -> str:
        """The stage of a version."""
        return str(self.versions[number]["current_stage"] or "None")

    def holders(self, stage: str) -> dict[int, str]:
        """The versions in a stage."""
        return {number: stage for number in self.live if self.stage(number) == stage}

    def promoted(self) -> Iterator[Promoted]:
        """Versions that were promoted, and what is noted of it."""
        for number in sorted(self.live):
            tags = self.version_tags.get(number, {})
            if OF in tags:
                yield Promoted(number, tags[OF], _noted(tags.get(RECEIPT)))


@dataclass(frozen=True)
class Promoted:
    """A version that was promoted.

    Attributes:
        number: Its number.
        of: What it is a copy of.
        noted: The summary of its receipt; empty where the promotion was stopped before its end.
    """

    number: int
    of: str
    noted: Mapping[str, Any]

    @property
    def is_finished(self) -> bool:
        """Whether it was carried out to its end, and not undone."""
        return bool(self.noted) and not self.noted.get("undone")


def _noted(text: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read_target(source: TableReader, workspace: str, name: str) -> TargetModel:
    """What a registry has under the name of a model."""

    def rows(table: str) -> Iterator[dict[str, Any]]:
        if any(entry.name == table for entry in source.tables):
            for batch in source.read(table, None, Among("name", (name,))):
                for row in batch.to_pylist():
                    if (row.get("workspace") or "default") == workspace:
                        yield row

    tags: dict[int, dict[str, str]] = defaultdict(dict)
    for tag in rows("model_version_tags"):
        tags[tag["version"]][tag["key"]] = tag["value"] or ""
    return TargetModel(
        next(rows("registered_models"), None),
        {tag["key"]: tag["value"] or "" for tag in rows("registered_model_tags")},
        {row["version"]: row for row in rows("model_versions")},
        dict(tags),
        {row["alias"]: row["version"] for row in rows("registered_model_aliases")},
    )


@dataclass(frozen=True)
class Pointers:
    """Where aliases and stages move: values before and after.

    Attributes:
        workspace: Of the model.
        name: The model's.
        number: The version that is promoted.
        aliases: By alias the version that it names before and after; None for no version.
        stages: By version its stage before and after; what is archived comes before what is not.
        note: The summary of the receipt, for the version's tag.
        times: By version its `last_updated_time` (ms since the epoch) before, and the model's
            under 0: an undo puts them back where the kind of target lets it.
    """

    workspace: str
    name: str
    number: int
    aliases: Mapping[str, tuple[int | None, int | None]] = field(default_factory=dict)
    stages: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    note: Mapping[str, Any] = field(default_factory=dict)
    times: Mapping[int, int | None] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing moves."""
        return not (self.aliases or self.stages)

    def check(self, now: TargetModel) -> None:
        """Refuse where somebody moved one of them meanwhile.

        Raises:
            RefusedError: the target has it otherwise than it was when it was looked at.
        """
        reasons = [
            f"alias {alias} names {_version(now.aliases.get(alias))}, and not {_version(before)}"
            for alias, (before, after) in self.aliases.items()
            if now.aliases.get(alias) not in {before, after}
        ]
        for number, (before, after) in self.stages.items():
            there = now.stage(number) if number in now.live else "deleted"
            if there not in {before, after}:
                reasons.append(f"version {number} is in stage {there}, and not in {before}")
        if reasons:
            raise RefusedError(
                "it was changed in the meantime",
                subject=f"models:/{self.name}",
                hint="look at it, and decide again",
                reasons=tuple(reasons),
            )

    def reversed(self, note: Mapping[str, Any]) -> Pointers:
        """The way back."""
        return Pointers(
            self.workspace,
            self.name,
            self.number,
            {alias: (after, before) for alias, (before, after) in self.aliases.items()},
            {number: (after, before) for number, (before, after) in self.stages.items()},
            note,
            self.times,
        )


def _version(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"


def plan_pointers(  # noqa: PLR0913 -- the version, and what is asked for
    model: TargetModel,
    workspace: str,
    name: str,
    number: int,
    *,
    aliases: tuple[str, ...],
    stage: str | None,
    archive: bool,
) -> Pointers:
    """Where aliases and stages move.

    Args:
        model: The target's model as it is.
        workspace: Of the model.
        name: Of the model.
        number: The version that is promoted; it need not be there yet.
        aliases: What names it then.
        stage: The stage that it goes to; None leaves it.
        archive: Whether the present holders of the stage go to Archived.
    """
    moved = {
        alias: (model.aliases.get(alias), number)
        for alias in aliases
        if model.aliases.get(alias) != number
    }
    stages: dict[int, tuple[str, str]] = {}
    if stage is not None:
        now = model.stage(number) if number in model.versions else "None"
        if now != stage:
            stages[number] = (now, stage)
        if archive:
            stages |= {
                other: (stage, "Archived")
                for other in sorted(model.holders(stage))
                if other != number and stage != "Archived"
            }
    return Pointers(workspace, name, number, moved, stages, times=_times(model, stages))


def _times(model: TargetModel, stages: Mapping[int, tuple[str, str]]) -> dict[int, int | None]:
    """When what moves was changed last."""
    times = {
        number: model.versions[number]["last_updated_time"]
        for number in stages
        if number in model.versions
    }
    return times | ({0: model.row["last_updated_time"]} if model.row is not None else {})


def former(pointers: Pointers) -> dict[str, object]:
    """What moved, for receipts: former and new holders."""
    return {
        "aliases": [
            {"alias": alias, "from": before, "to": after}
            for alias, (before, after) in pointers.aliases.items()
        ],
        "stages": [
            {"version": number, "from": before, "to": after}
            for number, (before, after) in pointers.stages.items()
        ],
        "times": [
            {"version": number, "last_updated_time": at} for number, at in pointers.times.items()
        ],
    }
