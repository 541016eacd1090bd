"""A file of the registry, as every kind of place names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlporter.errors import LeftOut

__all__ = ["ArtifactFile", "Report"]

Report = Callable[[LeftOut], None]
"""Takes what could not be carried, as it is found."""


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """A file of the registry: whose it is, its path below the owner's root ("/" separated), bytes.

    ``sha256`` is known (hex) where the place knows it without reading the file: in a bundle.
    ``token`` is the place's own handle to open it again, and ``stamp`` changes if the file does
    (size and mtime in nanoseconds for local files), or is "" where the place cannot tell.
    """

    owner_kind: str
    owner_id: str
    path: str
    size: int
    sha256: str | None = None
    token: str = ""
    stamp: str = ""
