"""What a report of a promotion reads: the candidate, the champion, and their curves."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlporter.errors import InterruptedByUserError, MlporterError
from mlporter.promotion.checks.facts import VersionFacts, read_facts
from mlporter.promotion.checks.gates import judge
from mlporter.promotion.checks.model_names import find_versions
from mlporter.promotion.target.target_model import read_target
from mlporter.reports.reading.curves import Histories, read_curves
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.database.preview import has_no_tables
from mlporter.stores.opening import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlporter.artifacts.uris.ownership import VersionKey
    from mlporter.promotion.asked import Asked, VersionResult
    from mlporter.promotion.checks.gates import GateResult
    from mlporter.promotion.target.target_model import TargetModel
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source

__all__ = ["Candidate", "read_candidates"]


@dataclass(frozen=True)
class Candidate:
    """A version, and the one that it is held against.

    Attributes:
        facts: What is known of it.
        curves: The histories of its run's metrics.
        gates: What the gates say of it.
        champion: The version of the target that an alias names, or named before; None for none.
        champion_name: What names it.
        champion_curves: The histories of its run's metrics.
        notes: What could not be read.
    """

    facts: VersionFacts
    curves: Histories
    gates: tuple[GateResult, ...] = ()
    champion: VersionFacts | None = None
    champion_name: str = ""
    champion_curves: Histories = field(default_factory=lambda: Histories({}))
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Champion:
    name: str
    facts: VersionFacts
    curves: Histories


def read_candidates(
    origin: Address, place: Address, asked: Sequence[Asked], results: Sequence[VersionResult]
) -> tuple[list[Candidate], list[str]]:
    """The candidates of a promotion in the order of what was asked; and what could not be read.

    Args:
        origin: The source.
        place: The target.
        asked: What was asked for.
        results: What became of the versions; empty where the promotion was refused.
    """
    found: list[Candidate] = []
    problems: list[str] = []
    before = {one.source: one for one in results}
    for one in asked:
        try:
            with closing(_opened(origin, one)) as source:
                keys = find_versions(source, one.model, source.description.address)
                facts = [read_facts(source, key) for key in keys]
                curves = [_curves(source, of) for of in facts]
        except InterruptedByUserError:
            raise
        except MlporterError as error:
            problems.append(str(error))
            continue
        for of, its_curves in zip(facts, curves, strict=True):
            result = before.get(f"models:/{of}")
            found.append(_judged(place, one, of, its_curves, result))
    return found, problems


def _opened(place: Address, asked: Asked) -> Source:
    return open_source(
        place,
        uri_map=asked.uri_map,
        allow_root=asked.allow_root,
        workers=asked.workers,
        retry_time=asked.retry_time,
        part=True,
        dedupe=True,
    )


def _curves(source: Source, facts: VersionFacts) -> Histories:
    return read_curves(source, [facts.run_id] if facts.run_id else [])


def _judged(
    place: Address,
    asked: Asked,
    facts: VersionFacts,
    curves: Histories,
    result: VersionResult | None,
) -> Candidate:
    """A version with its champion; a target that cannot be read is named."""
    notes: list[str] = []
    champions: Mapping[str, _Champion] = {}
    try:
        if place.kind is AddressKind.SERVER or not has_no_tables(place):
            with closing(_opened(place, asked)) as target:
                champions = dict(_champions(target, asked, facts.key, result))
    except InterruptedByUserError:
        raise
    except MlporterError as error:
        notes.append(f"The target's version could not be read: {error}")
    gates = result.gates if result is not None else _gates(asked, facts, champions)
    champion = next(iter(champions.values()), None)
    if champion is None:
        return Candidate(facts, curves, gates, notes=tuple(notes))
    return Candidate(
        facts, curves, gates, champion.facts, champion.name, champion.curves, tuple(notes)
    )


def _gates(
    asked: Asked, facts: VersionFacts, champions: Mapping[str, _Champion]
) -> tuple[GateResult, ...]:
    """The gates once more, of a version that was refused."""
    holders = {
        better.alias: champions[better.alias].facts.metrics if better.alias in champions else None
        for better in asked.gates.better
    }
    return tuple(judge(asked.gates, facts, holders))


def _champions(
    target: Source, asked: Asked, key: VersionKey, result: VersionResult | None
) -> Iterator[tuple[str, _Champion]]:
    """The versions that a candidate is held against, by alias or stage, the weightiest first."""
    there = read_target(target, key[0], asked.name)
    own = None if result is None else result.pointers.number
    for word, name, number in _holders(there, asked, result):
        if number in there.live and number != own:
            facts = read_facts(target, (key[0], asked.name, number))
            yield name, _Champion(f"{word} {name}", facts, _curves(target, facts))


def _holders(
    there: TargetModel, asked: Asked, result: VersionResult | None
) -> Iterator[tuple[str, str, int]]:
    """What aliases and the stage name, or named before they moved."""
    moved = {} if result is None else result.pointers.aliases
    for alias in dict.fromkeys((*(one.alias for one in asked.gates.better), *asked.aliases)):
        number = moved[alias][0] if alias in moved else there.aliases.get(alias)
        if number is not None:
            yield "alias", alias, number
    if asked.stage is not None:
        stages = {} if result is None else result.pointers.stages
        gone = [number for number, (before, _) in stages.items() if before == asked.stage]
        for number in [*gone, *there.holders(asked.stage)][:1]:
            yield "stage", asked.stage, number
