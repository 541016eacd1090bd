"""What is asked for, in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta, timezone
from shlex import quote
from typing import Any, Union

from mlporter.errors import UsageError

__all__ = ["KINDS", "Asked", "Selection", "as_selection", "parse_time"]

KINDS = (
    "experiments",
    "runs",
    "logged-models",
    "traces",
    "models",
    "prompts",
    "evaluation-datasets",
    "webhooks",
    "gateway",
    "mcp-servers",
    "skills",
)
"""What ``--only`` may name."""

_IN_EXPERIMENTS = {"experiments", "runs", "logged-models", "traces"}
_IN_MODELS = {"models", "prompts"}

_MOST_RECORDED = 200
"""How many names of one word a manifest records; of more it says how many there are."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_FRACTION = re.compile(r"(?<=\d)[.,](\d{1,9})")


@dataclass(frozen=True)
class Selection:
    """A part of a registry. Names are globs (``churn-*``), except that a name is itself first.

    Attributes:
        experiments: Names of experiments, which come with everything in them.
        runs: Ids of runs.
        models: Names of registered models and prompts.
        versions: Which of their versions: ``3``, ``latest``, ``@champion``, ``Production``.
        since: Runs that started then or later, in milliseconds since the epoch; see `parse_time`.
        until: Runs that started then or earlier.
        filter: Runs that MLflow's search finds, such as ``metrics.rmse < 0.1``.
        workspaces: Nothing outside these.
        exclude_deleted: Nothing that is marked as deleted.
        only: No other kinds of things than these, out of `KINDS`.
        parents: Bring the parent runs of what is selected; else they are only named.
    """

    experiments: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    filter: str | None = None
    workspaces: tuple[str, ...] = ()
    exclude_deleted: bool = False
    only: tuple[str, ...] = ()
    parents: bool = True

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: versions without models, an unknown kind, names of kinds that are not
                wanted, or a time window that ends before it begins.
        """
        _check_lists(self)
        if self.versions and not self.models:
            raise UsageError("versions are those of a model", hint="add --model NAME")
        if unknown := [kind for kind in self.only if kind not in KINDS]:
            raise UsageError(f"there is no kind {unknown[0]!r}", hint=f"one of {', '.join(KINDS)}")
        if self.since is not None and self.until is not None and self.since > self.until:
            raise UsageError("the time window ends before it begins")
        if self.only and self.models and not _IN_MODELS & set(self.only):
            raise UsageError("models are named, and --only leaves them out")
        in_experiments = self.experiments or self.narrows
        if self.only and in_experiments and not _IN_EXPERIMENTS & set(self.only):
            raise UsageError("experiments or runs are asked for, and --only leaves them out")

    @property
    def narrows(self) -> bool:
        """Whether of the experiments only some runs are asked for."""
        return bool(self.runs or self.filter) or self.is_window

    @property
    def is_window(self) -> bool:
        """Whether there is a time window."""
        return self.since is not None or self.until is not None

    @property
    def names(self) -> bool:
        """Whether something is asked for; else everything is, but for what is excluded."""
        return bool(self.experiments or self.models) or self.narrows

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out at all."""
        return not (self.names or self.workspaces or self.exclude_deleted or self.only)

    def words(self) -> dict[str, object]:
        """What was asked for, as plain values under the words of the command line."""
        said = {_WORDS[f.name]: _plain(f.name, getattr(self, f.name)) for f in fields(self)}
        return {word: value for word, value in said.items() if value}

    def options(self) -> str:
        """What was asked for, as on a command line, quoted for a shell."""
        return " ".join(_option(word, value) for word, value in self.words().items())

    @classmethod
    def from_words(cls, words: Mapping[str, Any]) -> Selection:
        """The selection that `words` came from, or that somebody wrote so.

        Raises:
            UsageError: a word or a value is not one of them.
        """
        names = {word: name for name, word in _WORDS.items()}
        if strange := sorted(str(word) for word in set(words) - set(names)):
            raise UsageError(f"a selection has no word {strange[0]!r}")
        return cls(**{names[word]: _value(names[word], value) for word, value in words.items()})


Asked = Union[Selection, "Mapping[str, Any]", None]
"""What the functions of the API take for a selection."""


def as_selection(asked: Asked) -> Selection | None:
    """What is asked for as a `Selection`, also where it is said in plain words.

    A mapping may use the names of `Selection`'s fields (``models``) or the words of the command
    line (``model``), and one text for a list of one.

    >>> as_selection({"models": "churn", "since": "1970-01-02"}).options()
    "--model churn --since 1970-01-02T00:00:00.000Z"

    Raises:
        UsageError: it is neither, or a word or a value is not one of a selection.
    """
    if asked is None or isinstance(asked, Selection):
        return asked
    if not isinstance(asked, Mapping):
        raise UsageError(
            f"a selection must be a Selection or a mapping, not {type(asked).__name__}",
            hint="such as {'models': ['churn*'], 'versions': ['latest']}",
        )
    given: dict[str, Any] = {}
    for word, value in asked.items():
        name = _FIELDS.get(word, word)
        if name in given:
            raise UsageError(f"a selection says {word!r} twice")
        given[name] = value
    if strange := sorted(str(name) for name in given if name not in _WORDS):
        raise UsageError(
            f"a selection has no word {strange[0]!r}", hint=f"one of {', '.join(_WORDS)}"
        )
    return Selection(**{name: _given(name, value) for name, value in given.items()})


def _given(name: str, value: Any) -> Any:  # noqa: ANN401 -- of the field of that name
    if value is None:
        return _DEFAULTS[name]
    if name in {"since", "until"}:
        if isinstance(value, datetime):
            return _milliseconds(value if value.tzinfo else value.replace(tzinfo=timezone.utc))
        return value if isinstance(value, int) else parse_time(str(value), end=name == "until")
    if name in {"parents", "exclude_deleted"}:
        return bool(value)
    if name == "filter":
        return str(value)
    return _value(name, [value] if isinstance(value, str) else value)


_WORDS = {
    "experiments": "experiment",
    "runs": "run",
    "models": "model",
    "versions": "version",
    "since": "since",
    "until": "until",
    "filter": "filter",
    "workspaces": "workspace",
    "exclude_deleted": "exclude-deleted",
    "only": "only",
    "parents": "no-parents",
}
_DEFAULTS = {field.name: field.default for field in fields(Selection)}
_FIELDS = {word: name for name, word in _WORDS.items() if name != "parents"}


def parse_time(text: str, *, end: bool = False) -> int:
    """A date or time in ISO 8601 as milliseconds since the epoch; UTC unless it says otherwise.

    Args:
        text: ``2026-01-31``, ``2026-01-31T12:00``, ``2026-01-31T12:00:00+01:00``.
        end: Whether a date alone is the end of that day, rather than its beginning.

    Raises:
        UsageError: it is none.
    """
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            midnight = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
            return _milliseconds(midnight) + (86_400_000 - 1 if end else 0)
        # Python 3.10 takes no "Z", and fractions of 3 or 6 digits only.
        spelled = _FRACTION.sub(lambda m: "." + m[1].ljust(6, "0")[:6], text.replace("Z", "+00:00"))
        moment = datetime.fromisoformat(spelled)
    except ValueError:
        hint = "such as 2026-01-31 or 2026-01-31T12:00:00Z"
        raise UsageError(f"{text!r} is not a date or time in ISO 8601", hint=hint) from None
    return _milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _spelled(milliseconds: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(name: str, value: Any) -> object:  # noqa: ANN401 -- as `_value`
    if name in {"since", "until"}:
        return None if value is None else _spelled(value)
    if name == "parents":
        return not value
    if isinstance(value, tuple):
        if len(value) > _MOST_RECORDED:
            return f"{len(value)} of them"
        return list(value)
    return value


def _option(word: str, value: object) -> str:
    if value is True:
        return f"--{word}"
    if word == "only" and isinstance(value, list):
        return f"--only {','.join(value)}"
    values = value if isinstance(value, list) else [value]
    return " ".join(f"--{word} {quote(str(item))}" for item in values)


def _value(name: str, value: object) -> Any:  # noqa: ANN401 -- of the field of that name
    if name in {"since", "until"}:
        return parse_time(str(value), end=name == "until")
    if name in {"parents", "exclude_deleted"}:
        return bool(value) is (name == "exclude_deleted")
    if name == "filter":
        return str(value)
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{_WORDS[name]} of a selection is a list of texts, not {value!r:.80}")
    return tuple(value)


def _check_lists(selection: Selection) -> None:
    for name in ("experiments", "runs", "models", "versions", "workspaces", "only"):
        if isinstance(getattr(selection, name), str):
            raise UsageError(f"{name} of a selection are a tuple of texts, not one text")
