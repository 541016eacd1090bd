"""By what things of a source are known again in a target: for each kind of target, as data.

Databases keep ids, so that they are what tells; servers give ids of their own, and their copies
have a tag. What neither helps with is known by its name, or by what is said of it.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlporter.plan.units import ENTITIES, EXPERIMENTS, MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DATABASE", "SERVER", "By"]


class By(Enum):
    """What a thing is known by."""

    ID = "its id"
    SENT = "the id that it was sent under"
    TAG = "the tag of its copy"
    NAME = "its name"
    NATURAL_KEY = "what is said of it"


Strategies = "Mapping[str, tuple[By, ...]]"

DATABASE: Mapping[str, tuple[By, ...]] = MappingProxyType(
    {
        "workspaces": (By.NAME,),
        EXPERIMENTS: (By.SENT, By.NAME),
        MODELS: (By.NAME,),
        "datasets": (By.NATURAL_KEY,),
        **dict.fromkeys(ENTITIES, (By.ID,)),
    }
)
"""By table, what is tried, in this order."""

_BY_NATURAL_KEY = (
    "datasets",
    "issues",
    "scorers",
    "label_schemas",
    "review_queues",
    "webhooks",
    "model_definitions",
    "endpoints",
    "guardrails",
    "budget_policies",
    "mcp_servers",
)

SERVER: Mapping[str, tuple[By, ...]] = MappingProxyType(
    {
        "workspaces": (By.NAME,),
        EXPERIMENTS: (By.TAG, By.NAME),
        MODELS: (By.NAME,),
        "runs": (By.TAG,),
        "logged_models": (By.TAG,),
        "evaluation_datasets": (By.TAG,),
        "trace_info": (By.ID,),
        "model_versions": (By.ID,),
        **dict.fromkeys(_BY_NATURAL_KEY, (By.NATURAL_KEY,)),
    }
)
