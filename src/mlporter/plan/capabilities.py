"""What each kind of target can do with rows that it has, as data that the planner asks.

What nobody can do stands in the plan then, and is no surprise to whoever carries it out. The tables
of docs/sync.md are made from this.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from mlporter.catalogue import BY_NAME, source_tags
from mlporter.catalogue.rest_limits import UNSETTABLE
from mlporter.compare.scope import ANCHORED

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DATABASE", "DATABRICKS", "NOTHING_KNOWN", "OWN_TAGS", "SERVER", "Can"]
__all__ += ["Capabilities", "Facts"]

OWN_TAGS = (source_tags.OURS, "mlflow.")
"""How tags begin that MLflow or mlporter sets by itself: that a target has one is nobody's edit."""

_SERVERS = "MLflow's REST API"
_Values = frozenset[object]


@dataclass(frozen=True)
class Can:
    """What a kind of target can do with rows of a table that it has.

    Attributes:
        changes: Whether a row can get other values.
        removes: Whether a row can be taken away.
        unsettable: Columns that the target fills in itself: they are not compared.
        matched: Columns by which things are matched, or that follow from others: neither are they.
        made_up: Columns that it fills in where the source has nothing.
        fixed: Columns that make a thing what it is: with other values it is another thing.
        names: The unit that a row names (its kind, and columns): without it no row.
        may_lack: Kinds of units by columns that name them: what is not copied cannot be named.
        grows: Columns that say how far a row has got, where it only ever goes on: one behind the
            source's has lost something, and one ahead of it has what only the target has.
        once: Why one that was deleted there cannot be made again, unless all that it is in is.
        takes_along: Why something is not deleted that holds what is the target's own.
        first: What the target has, by column, of what it is sent in a later step than the thing
            itself: a transfer that was stopped in between is gone on with.
    """

    changes: bool = True
    removes: bool = True
    unsettable: frozenset[str] = frozenset()
    matched: frozenset[str] = frozenset()
    made_up: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()
    names: tuple[str, tuple[str, ...]] | None = None
    may_lack: Mapping[str, str] = field(default_factory=dict)
    grows: tuple[str, ...] = ()
    once: str = ""
    takes_along: str = ""
    first: Mapping[str, _Values] = field(default_factory=dict)


@dataclass(frozen=True)
class Capabilities:
    """What a kind of target can do.

    Attributes:
        kind: What it is called.
        interface: What carries changes out, and would have to be able to.
        in_steps: Whether a transfer takes many steps: one that was stopped is gone on with.
        tables: By table; of others everything can be done.
        told_to_change: Tables whose rows it lets itself be told to change, those of units before
            those below them; None means all. Of others it keeps what it has, and that is listed.
        left_tags: Tags that it sets on a copy, whether the original has them or not.
    """

    kind: str
    interface: str
    in_steps: bool
    tables: Mapping[str, Can]
    told_to_change: tuple[str, ...] | None = None
    left_tags: frozenset[str] = frozenset()

    def of(self, table: str) -> Can:
        """What it can do with rows of a table."""
        return self.tables.get(table, _ALL)

    def cannot(self, what: str) -> str:
        """Why something is not done that it cannot do: ``change`` or ``remove``."""
        return f"{self.interface} has no way to {what} it"


_ALL = Can()
_ALIASES = Can(names=("model_versions", ("workspace", "name", "version")))

DATABASE = Capabilities(
    kind="database",
    interface="SQL",
    in_steps=False,
    tables=MappingProxyType(
        {
            "registered_model_aliases": _ALIASES,
            **{
                table: Can(fixed=frozenset(place.column for place in BY_NAME[table].places))
                for table in ANCHORED
            },
        }
    ),
)

_ADDED_ONLY = Can(changes=False, removes=False)
_ACTIVE = frozenset[object]({"active"})

_SERVER: Mapping[str, Can] = {
    "experiments": Can(
        matched=frozenset({"name", "workspace"}),
        takes_along="it holds runs of the target's own",
        first={"lifecycle_stage": _ACTIVE},
    ),
    "runs": Can(
        made_up=frozenset({"name", "start_time"}),
        first={
            "status": frozenset({"RUNNING"}),
            "end_time": frozenset({None}),
            "lifecycle_stage": _ACTIVE,
        },
    ),
    "params": _ADDED_ONLY,
    "latest_metrics": Can(removes=False, grows=("step", "timestamp", "value")),
    "logged_models": Can(
        matched=frozenset({"source_run_id"}),
        first={"status": frozenset({0, 1}), "lifecycle_stage": _ACTIVE},
    ),
    "logged_model_params": _ADDED_ONLY,
    "trace_request_metadata": Can(removes=False),
    "assessments": Can(matched=frozenset({"valid"}), removes=False),
    "registered_model_aliases": _ALIASES,
    "model_versions": Can(
        may_lack={"run_id": "runs"},
        once="a server never reuses a version number",
        first={"current_stage": frozenset({None, "None"})},
    ),
}

SERVER = Capabilities(
    kind="server",
    interface=_SERVERS,
    in_steps=True,
    tables=MappingProxyType(
        {
            name: replace(_SERVER.get(name, _ALL), unsettable=UNSETTABLE.get(name, frozenset()))
            for name in {**_SERVER, **UNSETTABLE}
        }
    ),
    told_to_change=(
        "experiments",
        "experiment_tags",
        "runs",
        "params",
        "tags",
        "latest_metrics",
        "logged_models",
        "logged_model_params",
        "logged_model_tags",
        "trace_info",
        "trace_tags",
        "trace_request_metadata",
        "assessments",
        "registered_models",
        "registered_model_tags",
        "model_versions",
        "model_version_tags",
        "registered_model_aliases",
    ),
    left_tags=frozenset(source_tags.SERVERS_OWN),
)

_RUNS = SERVER.of("runs")
DATABRICKS = replace(
    SERVER,
    kind="Databricks",
    tables=MappingProxyType(
        {**SERVER.tables, "runs": replace(_RUNS, unsettable=_RUNS.unsettable | {"user_id"})}
    ),
    left_tags=SERVER.left_tags | {"mlflow.user"},
)
"""Whoever makes a run there is its user."""


class Facts(Protocol):
    """What a planner must know of the two sides to apply what a kind of target can do."""

    def has(self, kind: str, key: str) -> bool:
        """Whether the target has a unit, by the key that rows name it by, or gets it."""

    def holds_own(self, kind: str, key: str) -> bool:
        """Whether the target's unit holds something of the target's own."""

    def is_newer(self, kind: str, key: str) -> bool:
        """Whether the target's unit was changed later than the source's."""


class _NothingKnown:
    def has(self, kind: str, key: str) -> bool:  # noqa: ARG002
        return True

    def holds_own(self, kind: str, key: str) -> bool:  # noqa: ARG002
        return False

    def is_newer(self, kind: str, key: str) -> bool:  # noqa: ARG002
        return False


NOTHING_KNOWN: Facts = _NothingKnown()
"""Where neither side says more than its rows."""
