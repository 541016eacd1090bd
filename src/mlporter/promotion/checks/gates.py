"""Gates: what a model version must be before anything of it is written. Pure decisions."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlporter.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlporter.promotion.checks.facts import VersionFacts

__all__ = ["GateResult", "Gates", "closed_gates", "judge", "parse_size", "parse_tag"]
__all__ += ["refuse_closed"]

_REQUIREMENT = re.compile(
    r"\s*(?P<kind>metrics?|params?|tags?)\.(?P<name>`[^`]+`|\"[^\"]+\"|.+?)"
    r"\s*(?P<how><=|>=|==|!=|<|>|=)\s*(?P<value>.+?)\s*"
)
_BETTER = re.compile(r"(?P<alias>[^:]+):metrics?\.(?P<name>.+):(?P<way>min|max)")
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kKMGT]?)(?P<binary>i?)[bB]?")
_UNITS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}
_HOW: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate: what was wanted, what was found, and whether that is enough."""

    gate: str
    wanted: str
    found: str
    passed: bool

    def __str__(self) -> str:
        """For people."""
        return f"{self.gate}: wanted {self.wanted}, found {self.found}"

    def as_dict(self) -> dict[str, object]:
        """For receipts and ``--json``."""
        return asdict(self)


@dataclass(frozen=True)
class Requirement:
    """A limit such as ``metrics.rmse < 0.2``."""

    kind: str
    name: str
    how: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """The limit that a text says.

        Raises:
            UsageError: it says none.
        """
        found = _REQUIREMENT.fullmatch(text)
        hint = "such as metrics.rmse < 0.2, params.depth = 3, tags.team = 'fraud'"
        if found is None:
            raise UsageError(f"{text!r} is not a requirement", hint=hint)
        kind = found["kind"].rstrip("s")
        value = found["value"].strip("'\"")
        if kind == "metric" and _number(value) is None:
            raise UsageError(f"{text!r}: a metric is compared with a number", hint=hint)
        if kind != "metric" and found["how"] not in {"=", "==", "!="}:
            raise UsageError(f"{text!r}: {kind}s are texts: = or !=", hint=hint)
        return cls(kind, found["name"].strip('`"'), found["how"], value)


@dataclass(frozen=True)
class Better:
    """Better than the version that an alias names in the target: ``champion:metrics.rmse:min``."""

    alias: str
    metric: str
    way: str

    @classmethod
    def parse(cls, text: str) -> Better:
        """What a text says.

        Raises:
            UsageError: it says nothing of the kind.
        """
        found = _BETTER.fullmatch(text)
        if found is None:
            raise UsageError(
                f"{text!r} does not say what must be better",
                hint="ALIAS:metrics.NAME:min or ALIAS:metrics.NAME:max",
            )
        return cls(found["alias"].removeprefix("@"), found["name"], found["way"])


@dataclass(frozen=True)
class Gates:
    """What is asked for.

    Attributes:
        tags: ``KEY=VALUE`` that the version, or else its run, must be tagged with.
        requirements: Limits of metrics, parameters and tags.
        better: What must be better than in a version of the target.
        finished: The run must have ended well.
        signature: The model must say what goes in and what comes out.
        flavors: The model must have one of these flavors; empty for any.
        no_pickle: No file that Python unpickles.
        max_size: The most bytes that the model may have.
    """

    tags: tuple[tuple[str, str], ...] = ()
    requirements: tuple[Requirement, ...] = ()
    better: tuple[Better, ...] = ()
    finished: bool = False
    signature: bool = False
    flavors: tuple[str, ...] = ()
    no_pickle: bool = False
    max_size: int | None = None

    @classmethod
    def parse(  # noqa: PLR0913 -- one for each gate
        cls,
        *,
        require_tag: tuple[str, ...] = (),
        require: tuple[str, ...] = (),
        better_than: tuple[str, ...] = (),
        finished: bool = False,
        signature: bool = False,
        flavors: tuple[str, ...] = (),
        no_pickle: bool = False,
        max_size: str | int | None = None,
    ) -> Gates:
        """The gates that texts say.

        Raises:
            UsageError: one of them says nothing.
        """
        return cls(
            tuple(map(parse_tag, require_tag)),
            tuple(map(Requirement.parse, require)),
            tuple(map(Better.parse, better_than)),
            finished,
            signature,
            flavors,
            no_pickle,
            parse_size(max_size) if isinstance(max_size, str) else max_size,
        )


def parse_tag(text: str) -> tuple[str, str]:
    """Key and value of ``KEY=VALUE``.

    Raises:
        UsageError: it is none.
    """
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"{text!r} is not KEY=VALUE")
    return key, value


def parse_size(text: str) -> int:
    """Bytes: ``500MB`` is 500 000 000, ``500MiB`` 524 288 000.

    Raises:
        UsageError: it is not a size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is not a size", hint="such as 500MB, 2GiB or 1048576")
    base = 1024 if found["binary"] else 1000
    return int(float(found["number"]) * base ** _UNITS[found["unit"]])


def judge(
    gates: Gates, facts: VersionFacts, holders: Mapping[str, Mapping[str, float] | None]
) -> list[GateResult]:
    """What each gate says of a version.

    Args:
        gates: What is asked for.
        facts: The version at the source.
        holders: By alias, the metrics of the version that it names in the target; None where it
            names none.
    """
    return [*_plain(gates, facts), *(_better(one, facts, holders) for one in gates.better)]


def _plain(gates: Gates, facts: VersionFacts) -> Iterator[GateResult]:
    for key, value in gates.tags:
        found = facts.tags.get(key, facts.run_tags.get(key))
        yield GateResult(f"tag {key}", repr(value), _shown(found), found == value)
    for one in gates.requirements:
        yield _required(one, facts)
    if gates.finished:
        status = "no run" if facts.run is None else str(facts.run["status"])
        yield GateResult("run", "FINISHED", status, status == "FINISHED")
    if gates.signature:
        said = "a signature" if facts.has_signature else "none"
        yield GateResult("signature", "a signature", said, facts.has_signature)
    if gates.flavors:
        some = set(gates.flavors) & set(facts.flavors)
        has = ", ".join(facts.flavors) or "none"
        yield GateResult("flavor", " or ".join(gates.flavors), has, bool(some))
    if gates.no_pickle:
        files = ", ".join(facts.pickles) or "no pickled file"
        yield GateResult("pickle", "no pickled file", files, not facts.pickles)
    if gates.max_size is not None:
        fits = facts.size <= gates.max_size
        yield GateResult("size", f"at most {gates.max_size:,} bytes", f"{facts.size:,} bytes", fits)


def _required(one: Requirement, facts: VersionFacts) -> GateResult:
    gate, wanted = f"{one.kind} {one.name}", f"{one.how} {one.value}"
    if one.kind == "metric":
        number = facts.metrics.get(one.name)
        passed = number is not None and _HOW[one.how](number, _number(one.value))
        return GateResult(gate, wanted, _near(one.name, number, facts.metrics), passed)
    texts = facts.params if one.kind == "param" else {**facts.run_tags, **facts.tags}
    text = texts.get(one.name)
    passed = text is not None and _HOW[one.how](text, one.value)
    return GateResult(gate, wanted, _shown(text), passed)


def _better(
    one: Better, facts: VersionFacts, holders: Mapping[str, Mapping[str, float] | None]
) -> GateResult:
    gate = f"metric {one.metric} better than @{one.alias}"
    sign = "<" if one.way == "min" else ">"
    mine, there = facts.metrics.get(one.metric), holders.get(one.alias)
    found = _near(one.metric, mine, facts.metrics)
    if there is None:
        # The first one has nobody to be better than.
        return GateResult(
            gate, f"no version has the alias {one.alias} yet", found, mine is not None
        )
    theirs = there.get(one.metric)
    if theirs is None:
        return GateResult(gate, f"@{one.alias} has no metric {one.metric}", found, passed=False)
    passed = mine is not None and not math.isnan(mine) and _HOW[sign](mine, theirs)
    return GateResult(gate, f"{sign} {theirs!r}", found, passed)


def _near(name: str, number: float | None, there: Mapping[str, float]) -> str:
    if number is not None:
        return repr(number)
    known = ", ".join(sorted(there)[:8])
    return f"no metric {name} (there is {known})" if known else f"no metric {name}"


def _shown(text: str | None) -> str:
    return "nothing" if text is None else repr(text)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def closed_gates(gates: dict[str, list[GateResult]]) -> list[str]:
    """Gates that are closed, a line for each."""
    return [
        f"{version}: {gate}"
        for version, found in gates.items()
        for gate in found
        if not gate.passed
    ]


def refuse_closed(closed: list[str], subject: str) -> None:
    """Refuse a promotion if gates are closed; all of them are shown.

    Raises:
        RefusedError: some are.
    """
    if closed:
        count = "1 gate is" if len(closed) == 1 else f"{len(closed)} gates are"
        raise RefusedError(
            f"{count} closed; nothing was written",
            subject=subject,
            hint="the version must pass, or the gate be left out",
            reasons=tuple(closed),
        )
