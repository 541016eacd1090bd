"""A bundle into object storage: staged on this machine, sent, and the manifest last of all."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.artifacts.prefetch import prefetched
from mlporter.bundle.folder.layout import MANIFEST, OWNER, SIGNATURE, SUMMARIES, SUMS
from mlporter.bundle.storage.bundle_place import refuse_used_place
from mlporter.bundle.storage.locks import StorageLock
from mlporter.bundle.storage.uploads import Uploads
from mlporter.errors import BundleInUseError
from mlporter.progress import OnProgress, silent

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from mlporter.bundle.documents.manifest import Manifest
    from mlporter.bundle.folder.state import Mode
    from mlporter.bundle.storage.protocol import Storage

__all__ = ["StagedBundle"]


class StagedBundle:
    """A place in object storage into which one bundle is written.

        with StagedBundle.create(storage, "new") as staged:
            with BundleWriter.create(staged.folder, contents=staged.contents, …) as writer:
                …
            staged.publish(manifest)

    Left without `publish`, what was sent stays there, as an unfinished bundle: "resume" reads the
    source again, and sends what is not there yet.
    """

    def __init__(self, storage: Storage, lock: StorageLock, workers: int, mode: Mode) -> None:
        """Use `create`."""
        self._storage = storage
        self._lock = lock
        self._workers = workers
        self._is_published = False
        with ExitStack() as stack:
            self._there = {o.path: o.size for o in storage.walk() if o.path != OWNER}
            if mode == "restart" and self._there:
                storage.remove(self._there)
                self._there = {}
            work = Path(tempfile.mkdtemp(prefix="mlporter-export-", dir=storage.scratch()))
            stack.callback(shutil.rmtree, work, ignore_errors=True)
            self.folder = work / "bundle"
            self.contents = stack.enter_context(Uploads(storage, self._there, workers))
            self._stack = stack.pop_all()

    @classmethod
    def create(cls, storage: Storage, mode: Mode = "new", workers: int = 4) -> StagedBundle:
        """Take a place for a bundle.

        Raises:
            RefusedError: it is used otherwise; nothing was changed.
            UnsupportedError: a finished bundle would have to be replaced.
            BundleInUseError: another process is writing there.
            UnreachableError: it cannot be written to.
        """
        refuse_used_place(storage, mode)
        lock = StorageLock(storage, OWNER)
        if not lock.take():
            refuse_used_place(storage, mode)  # somebody else has just begun, or left it so
            lock.take_over()
        try:
            return cls(storage, lock, workers, mode)
        except BaseException:
            lock.leave()
            raise

    def publish(self, manifest: Manifest, on_progress: OnProgress = silent) -> None:
        """Send tables, summaries and sums, then the manifest, with which it is a bundle.

        Raises:
            UnreachableError: the place is full or fails: the bundle is unfinished then.
            BundleInUseError: somebody else took the place meanwhile.
        """
        self.contents.settle()
        self._check_held()
        parts = [part.path for table in manifest.tables.values() for part in table.parts]
        signature = (SIGNATURE,) if (self.folder / SIGNATURE).is_file() else ()
        files = (*parts, *SUMMARIES, SUMS, *signature)
        for done, _ in enumerate(prefetched(files, self._send, self._workers), 1):
            on_progress("sending tables", done, len(files), "files")
        stale = set(self._there) - self.contents.paths
        if stale:
            self._storage.remove(sorted(stale))
        self._check_held()
        self._send(MANIFEST)
        self._is_published = True

    def _check_held(self) -> None:
        if not self._lock.is_held:
            raise BundleInUseError(
                "somebody else writes a bundle there: this one was not renewed for too long",
                subject=self._storage.name,
                hint="export to another prefix",
            )

    def _send(self, path: str) -> None:
        self.contents.put_file(path, self.folder / path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if self._is_published or not (self._there or self.contents.paths):
            self._lock.release()
        else:
            self._lock.leave()
