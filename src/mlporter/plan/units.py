"""What is copied as a whole: which rows of which tables make up one thing, such as a run.

`Choice` says which of them are copied.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.catalogue import BY_NAME
from mlporter.compare.rows.key_masks import KeyMask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "ENTITIES",
    "EXPERIMENTS",
    "KEY_OF",
    "MATCHED",
    "MODELS",
    "OF_MODELS",
    "OF_WORKSPACES",
    "OWNED",
    "REIDENTIFIED",
    "ROWWISE",
    "Choice",
    "Chosen",
    "Owned",
    "is_among",
    "key_array",
    "key_text",
    "tables_of",
]

SEPARATOR = "\x1f"
"""Between the parts of a key of several columns, as one text."""

EXPERIMENTS = "experiments"
MODELS = "registered_models"
MATCHED = ("workspaces", EXPERIMENTS, MODELS)
"""Matched by name; rows of these are never compared as a whole."""

OF_MODELS = frozenset(
    {
        "registered_models",
        "registered_model_tags",
        "registered_model_aliases",
        "model_versions",
        "model_version_tags",
    }
)
"""Tables whose rows belong to a registered model, by workspace and name."""

ENTITIES = (
    "evaluation_datasets",
    "logged_models",
    "runs",
    "trace_info",
    "issues",
    "secrets",
    "model_definitions",
    "endpoints",
    "scorers",
    "label_schemas",
    "review_queues",
    "guardrails",
    "budget_policies",
    "model_versions",
    "webhooks",
    "mcp_servers",
    "skills",
)
"""Tables whose rows are units, in an order in which what others refer to comes first."""

OF_WORKSPACES = frozenset({"model_versions", "mcp_servers", "skills"})
"""Units whose key begins with a workspace, and goes on with names."""

REIDENTIFIED = (
    "evaluation_datasets",
    "logged_models",
    "runs",
    "trace_info",
    "issues",
    "scorers",
    "label_schemas",
    "review_queues",
)
"""Units that can be copied under a new id. The others are known to people or to programs outside
by the id or name they have: an endpoint's name is in the code that calls it."""


@dataclass(frozen=True)
class Owned:
    """A table whose rows belong to units: the entity, and the columns that hold its key."""

    entity: str
    columns: tuple[str, ...]


_BY_ID: dict[str, dict[str, tuple[str, ...]]] = {
    "runs": {"run_uuid": ("params", "tags", "metrics", "latest_metrics")},
    "logged_models": {
        "model_id": ("logged_model_params", "logged_model_tags", "logged_model_metrics")
    },
    "trace_info": {
        "request_id": ("trace_tags", "trace_request_metadata", "trace_metrics"),
        "trace_id": ("spans", "span_metrics", "assessments"),
    },
    "evaluation_datasets": {
        "dataset_id": ("evaluation_dataset_records", "evaluation_dataset_tags")
    },
    "scorers": {"scorer_id": ("scorer_versions", "online_scoring_configs")},
    "review_queues": {
        "queue_id": ("review_queue_items", "review_queue_label_schemas", "review_queue_users")
    },
    "webhooks": {"webhook_id": ("webhook_events",)},
    "endpoints": {
        "endpoint_id": (
            "endpoint_model_mappings",
            "endpoint_bindings",
            "endpoint_tags",
            "guardrail_configs",
        )
    },
}

OWNED: dict[str, Owned] = {
    **{
        table: Owned(entity, (column,))
        for entity, columns in _BY_ID.items()
        for column, tables in columns.items()
        for table in tables
    },
    **{entity: Owned(entity, BY_NAME[entity].key) for entity in ENTITIES},
    "model_version_tags": Owned("model_versions", ("workspace", "name", "version")),
    "mcp_server_versions": Owned("mcp_servers", ("workspace", "name")),
    "mcp_server_tags": Owned("mcp_servers", ("workspace", "name")),
    "mcp_server_version_tags": Owned("mcp_servers", ("workspace", "name")),
    "mcp_server_aliases": Owned("mcp_servers", ("workspace", "name")),
    "mcp_access_endpoints": Owned("mcp_servers", ("workspace", "server_name")),
    "skill_versions": Owned("skills", ("workspace", "organization", "name")),
    "skill_tags": Owned("skills", ("workspace", "organization", "name")),
    "skill_version_tags": Owned("skills", ("workspace", "organization", "name")),
    "skill_aliases": Owned("skills", ("workspace", "organization", "name")),
}
"""Every table whose rows belong to a unit by columns of their own. `inputs` belong to a run at one
of two ends, and `input_tags` to what `inputs` says: see `mapped`."""

ROWWISE = (
    "experiment_tags",
    "registered_model_tags",
    "registered_model_aliases",
    "entity_associations",
)
"""Rows below what is matched by name, and edges: each is there, or not, or another one."""

KEY_OF = {entity: BY_NAME[entity].key for entity in ENTITIES}


def tables_of(entity: str) -> tuple[str, ...]:
    """The tables of a kind of unit, its own first."""
    others = (name for name, owned in OWNED.items() if owned.entity == entity and name != entity)
    edges = ("inputs", "input_tags") if entity == "runs" else ()
    return (entity, *others, *edges)


def key_array(batch: pa.RecordBatch, columns: tuple[str, ...]) -> pa.Array:
    """The key of each row as one value: the column itself, or several joined to one text."""
    arrays = [batch.column(batch.schema.get_field_index(name)) for name in columns]
    if len(arrays) == 1:
        return arrays[0]
    texts = [a if pa.types.is_string(a.type) else a.cast(pa.string()) for a in arrays]
    return pc.binary_join_element_wise(*texts, SEPARATOR)


def key_text(values: Iterable[object]) -> str:
    """One key of several columns, as `key_array` joins it."""
    return SEPARATOR.join(str(value) for value in values)


def is_among(keys: pa.Array, values: Iterable[object]) -> pa.Array:
    """Which keys are among some values; a NULL is not."""
    return pc.is_in(keys, value_set=pa.array(sorted(values), keys.type))  # type: ignore[type-var]


@dataclass(frozen=True)
class Chosen:
    """Some units of a kind by the source's keys: these, or (``without``) all but these."""

    keys: frozenset[Any]
    without: bool = False

    @classmethod
    def of(cls, kind: str, keys: Iterable[str]) -> Chosen:
        """These, by their keys as texts: experiments have numbers."""
        return cls(frozenset(map(int, keys) if kind == EXPERIMENTS else keys))

    def mask(self, keys: pa.Array) -> pa.Array:
        """Which of some keys are chosen."""
        among = self._mask.of(keys)
        return pc.invert(among) if self.without else among

    @cached_property
    def _mask(self) -> KeyMask:
        return KeyMask(self.keys)

    def has(self, key: str) -> bool:
        """Whether a key is chosen."""
        return (key in self.keys) != self.without


@dataclass(frozen=True)
class Choice:
    """What of a source is copied.

    Attributes:
        units: By entity; an entity that is not in here is copied whole.
        rows: Of tables whose rows stand alone, the keys (in the target's terms) left out.
        besides: Keys of rows that are copied though the unit that they belong to is not: the
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
