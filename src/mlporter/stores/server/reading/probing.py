"""Whether there is anything of a kind in many experiments, before each of them is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue import minor_of
from mlporter.errors import AccessDeniedError
from mlporter.stores.rest.answers import ApiError
from mlporter.stores.server.reading import calls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlporter.stores.rest.client import Client
    from mlporter.stores.server.capabilities import Capabilities

__all__ = ["may_have_any"]

_PROBES = {"traces": calls.has_traces, "issues": calls.has_issues}
"""Scorers are not among them: of many experiments MLflow shows some people fewer than of each."""
_SINCE = (3, 17)
"""The first MLflow that is known to look through several experiments, or all."""


def may_have_any(
    family: str, can: Capabilities, batches: Iterable[tuple[Client, Sequence[int]]]
) -> Iterator[int]:
    """Experiments without those among which there is nothing: one request for many of them.

    Args:
        family: What is looked for.
        can: What the server can do.
        batches: Experiments of one workspace each.
    """
    has_any = _PROBES.get(family)
    is_asked = has_any is not None and can.may(family) and minor_of(can.version) >= _SINCE
    for client, experiments in batches:
        is_empty = False
        if has_any is not None and is_asked and len(experiments) > 1:
            try:
                is_empty = not has_any(client, experiments)
            except (AccessDeniedError, ApiError):
                is_empty = False  # who may not ask so may still ask of each
        if not is_empty:
            yield from experiments
