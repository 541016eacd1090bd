"""Files on their way into a bundle: those it has already, those that are read here or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.listing import ArtifactFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from mlporter.bundle.blobs import Stored
    from mlporter.bundle.contents.taking import Taken, Taker
    from mlporter.bundle.journal import Journal
    from mlporter.bundle.upon_earlier import Contents, UponEarlier

__all__ = ["AddingFiles"]


@dataclass(frozen=True)
class AddingFiles:
    """Adds files to a bundle, and remembers which, so that an export can be resumed.

    Attributes:
        journal: Notes what was copied.
        contents: Where contents go.
        upon: What an earlier snapshot over the same contents knows.
    """

    journal: Journal
    contents: Contents
    upon: UponEarlier | None

    def add(
        self, file: ArtifactFile, opener: Callable[[], AbstractContextManager[BinaryIO]]
    ) -> ArtifactFile:
        """Copy a file; see `BundleWriter.add_file`. Safe to call from several threads."""
        known = self.known(file)
        if known is not None:
            return known
        with opener() as stream:
            stored = self.contents.add(stream)
        return self._added(file, stored)

    def known(self, file: ArtifactFile) -> ArtifactFile | None:
        """A file that was copied before and is the same, with its SHA-256; else None."""
        known = self.journal.known(file) or (self.upon.known(file) if self.upon else None)
        if known and self.contents.has(known, file.size):
            return replace(file, sha256=known)
        return None

    def taker(self) -> Taker | None:
        """What reads files for `took` in other processes; None if they cannot write here."""
        return self.contents.taker_elsewhere()

    def took(self, file: ArtifactFile, taken: Taken) -> ArtifactFile:
        """Keep a file that a `taker` read; returns it as `add` does."""
        return self._added(file, self.contents.took(taken))

    def _added(self, file: ArtifactFile, stored: Stored) -> ArtifactFile:
        if self.upon is None:
            self.journal.copied(file, stored.sha256, stored.size)
        whose = file.owner_kind, file.owner_id
        stamp = file.stamp if stored.size == file.size else ""
        return ArtifactFile(*whose, file.path, stored.size, stored.sha256, file.token, stamp)
