"""What is done with each file of a registry on its way into a bundle, here or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mlporter.execute.files.artifact_files import open_guarded
from mlporter.execute.files.tasks import TakeIn
from mlporter.stores.protocols import elsewhere

if TYPE_CHECKING:
    from mlporter.bundle.contents.adding_files import AddingFiles
    from mlporter.bundle.contents.taking import Taken, Taker
    from mlporter.execute.bundle.settled_files import SettledFiles
    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["FilesIntoBundle"]


@dataclass(frozen=True)
class FilesIntoBundle:
    """Implements `mlporter.execute.files.artifact_files.Work`.

    Files of `settled` owners are in the bundle already.
    """

    source: Source
    files: AddingFiles
    settled: SettledFiles | None

    def here(self, file: ArtifactFile) -> ArtifactFile:
        """Copy it; returns it with its SHA-256."""
        if self._is_settled(file):
            return file
        return self.files.add(file, lambda: open_guarded(self.source, file))

    def elsewhere(self, file: ArtifactFile) -> TakeIn | None:
        """The same for another process."""
        taker = self.taker
        if taker is None or self._is_settled(file) or self.files.known(file) is not None:
            return None
        found = elsewhere(self.source, file)
        return None if found is None else TakeIn(found, taker)

    def _is_settled(self, file: ArtifactFile) -> bool:
        settled = self.settled
        return settled is not None and settled.is_settled(file.owner_kind, file.owner_id)

    @cached_property
    def taker(self) -> Taker | None:
        """What takes contents there."""
        return self.files.taker()

    def done(self, file: ArtifactFile, answer: Taken) -> ArtifactFile:
        """Keep what another process read."""
        return self.files.took(file, answer)
