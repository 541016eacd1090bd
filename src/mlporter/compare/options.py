"""What a comparison looks at, and how closely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mlporter.errors import UsageError

__all__ = ["ArtifactDepth", "CompareOptions"]

ArtifactDepth = Literal["content", "listing", "none"]
"""How files are compared: by their bytes, by path and size, or not at all."""


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What a comparison looks at, and how closely.

    Attributes:
        strict: Compare places as text, JSON documents as text, 0.0 and -0.0 as different, and
            derived tables too (where neither side is a bundle, which holds none).
        artifacts: ``content`` compares files by SHA-256, ``listing`` by path and size.
        limit: How many differences are kept; all are counted.
        tables: Only these tables (``artifacts`` among them stands for the files); None means all.
        workers: Threads that read files to hash them.
        copied: One side is a copy on a server: what a server cannot be told is left out.

    Raises:
        UsageError: a value that makes no sense.
    """

    strict: bool = False
    artifacts: ArtifactDepth = "content"
    limit: int = 1000
    tables: tuple[str, ...] | None = None
    workers: int = 4
    copied: bool = False

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if self.artifacts not in get_args(ArtifactDepth):
            message = f"artifacts are compared by {', '.join(get_args(ArtifactDepth))}"
            raise UsageError(message, subject=str(self.artifacts))
        if self.limit < 0 or self.workers < 1:
            raise UsageError("limit must not be negative, and workers at least 1")
