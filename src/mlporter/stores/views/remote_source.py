"""Sources that fetch what they are asked for, and cannot show everything: tracking servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["RemoteSource", "remote_source"]


@runtime_checkable
class RemoteSource(Protocol):
    """What such a source offers beside `mlporter.stores.protocols.Source`."""

    def narrow(self, experiments: Iterable[int]) -> None:
        """Leave what is outside of some experiments where it is, but for what is named by id."""

    def says(self) -> Iterator[tuple[str, str]]:
        """What it is and can do, for people: names and values."""


def remote_source(source: object) -> RemoteSource | None:
    """The distant source that is inside of others, or None."""
    inner = source
    while not isinstance(inner, RemoteSource):
        inner = getattr(inner, "inner", None)
        if inner is None:
            return None
    return inner
