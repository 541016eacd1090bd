"""What is done with each file of a registry on its way into a bundle, here or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from mlporter.execute.files.artifact_files import open_guarded
from mlporter.execute.files.tasks import TakeIn
from mlporter.stores.artifact_places.s3_blobs import may_be_copied, take_by_storage
from mlporter.stores.protocols import elsewhere

if TYPE_CHECKING:
    from mlporter.bundle.contents.adding_files import AddingFiles
    from mlporter.bundle.contents.taking import Taken, Taker
    from mlporter.execute.bundle.settled_files import SettledFiles
    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["ByStorage", "FilesIntoBundle"]


class ByStorage:
    """How many files an object store copied itself, and their bytes."""

    def __init__(self) -> None:
        """None yet."""
        self.files = self.bytes = 0
        self._lock = Lock()

    def note(self, taken: Taken) -> None:
        """Count a content, if it was copied so; called in any thread."""
        if taken.by_storage:
            with self._lock:
                self.files += 1
                self.bytes += taken.size


@dataclass(frozen=True)
class FilesIntoBundle:
    """Implements `mlporter.execute.files.artifact_files.Work`.

    Files of `settled` owners are in the bundle already.
    """

    source: Source
    files: AddingFiles
    settled: SettledFiles | None
    by_storage: ByStorage

    def here(self, file: ArtifactFile) -> ArtifactFile:
        """Copy it; returns it with its SHA-256."""
        if self._is_settled(file):
            return file
        taken = self._copied(file)
        if taken is not None:
            return self.done(file, taken)
        return self.files.add(file, lambda: open_guarded(self.source, file))

    def _copied(self, file: ArtifactFile) -> Taken | None:
        """A large file that an object store copied into the bundle itself; None if it is read."""
        taker = self.taker if may_be_copied(file.size) else None
        found = elsewhere(self.source, file) if taker is not None else None
        whole = found.whole if found is not None else None
        if taker is None or whole is None or self.files.known(file) is not None:
            return None
        return take_by_storage(whole, taker)

    def elsewhere(self, file: ArtifactFile) -> TakeIn | None:
        """The same for another process."""
        taker = self.taker
        if taker is None or self._is_settled(file) or self.files.known(file) is not None:
            return None
        found = elsewhere(self.source, file)
        if found is None:
            return None
        return TakeIn(found, taker, found.whole if may_be_copied(file.size) else None)

    def _is_settled(self, file: ArtifactFile) -> bool:
        settled = self.settled
        return settled is not None and settled.is_settled(file.owner_kind, file.owner_id)

    @cached_property
    def taker(self) -> Taker | None:
        """What takes contents there."""
        return self.files.taker()

    def done(self, file: ArtifactFile, answer: Taken) -> ArtifactFile:
        """Keep what another process read, or a storage copied."""
        self.by_storage.note(answer)
        return self.files.took(file, answer)
