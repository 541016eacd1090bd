"""`--strict-artifacts`: every artifact file is opened before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlporter.catalogue.tables.own import LEFT_OUT, OWNER_KINDS
from mlporter.errors import LeftOut, RefusedError, UsageError
from mlporter.execute.files.artifact_files import LocalWork, open_guarded, process_files, unreadable
from mlporter.plan.misfits import MAX_REASONS
from mlporter.wording import plural
from mlporter.workers.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["Unreadable", "check_strict", "find_unreadable", "refuse_unreadable"]

_FILE_KINDS = frozenset({"artifact", *OWNER_KINDS})


def check_strict(artifacts: str, *, strict_artifacts: bool) -> None:
    """Refuse to be strict about files that nobody copies.

    Raises:
        UsageError: files are not to be copied.
    """
    if strict_artifacts and artifacts != "copy":
        raise UsageError(
            f"--strict-artifacts is about files that are copied, and --artifacts {artifacts} "
            "copies none",
            hint="leave one of the two out",
        )


@dataclass
class Unreadable:
    """Artifacts that are missing or cannot be read: counted, and the first by name."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, item: LeftOut) -> None:
        """Count what a source reports, unless it is left out on purpose."""
        if item.expected:
            return
        self.count += 1
        if len(self.first) < MAX_REASONS:
            what = f"{item.id}/{item.path}" if item.path else f"{item.kind} {item.id}"
            self.first.append(f"{what}: {item.reason}: {item.detail}")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Each of the first `MAX_REASONS`, and how many there are besides."""
        more = self.count - len(self.first)
        return (*self.first, *([f"and {plural(more, 'more artifact')}"] if more else []))

    def refusal(self, address: str) -> RefusedError:
        """What is raised about a source that has any."""
        return RefusedError(
            f"{self.count} artifact{'s are' if self.count > 1 else ' is'} missing or unreadable",
            subject=address,
            hint=(
                "--map-uri says where files are found; without --strict-artifacts the rest is "
                "copied, and what is missing is listed"
            ),
            reasons=self.reasons,
        )


def refuse_unreadable(source: Source, *, workers: int, on_progress: OnProgress) -> None:
    """Refuse a source of which a file is missing or cannot be read; as `find_unreadable`.

    Raises:
        RefusedError: some are; they are named.
    """
    lost = find_unreadable(source, workers=workers, on_progress=on_progress)
    if lost.count:
        raise lost.refusal(source.description.address)


def find_unreadable(source: Source, *, workers: int, on_progress: OnProgress) -> Unreadable:
    """Look at every artifact file of a source, and read the first byte of each.

    What an export already could not copy is missing from its bundle, and so found too.

    Args:
        source: Where the files are; nothing is kept of them.
        workers: How many files to open at a time.
        on_progress: Called with how many bytes the files have that were found.
    """
    found = Unreadable()
    for item in _lost_before(source):
        found.add(item)

    def peek(file: ArtifactFile) -> None:
        with open_guarded(source, file) as stream:
            stream.read(1)

    def unread(file: ArtifactFile, why: str) -> None:
        found.add(unreadable(file, why))

    size = 0
    files = source.files(found.add)
    for file, _ in process_files(
        files, LocalWork(peek), unread, pool=Threads(workers), size=_nothing
    ):
        size += file.size
        on_progress("checking artifacts", size, None, "bytes")
    return found


def _nothing(_: ArtifactFile) -> int:
    """The bytes of a file that are not read here."""
    return 0


def _lost_before(source: Source) -> Iterator[LeftOut]:
    """What the export that wrote a bundle could not copy."""
    if source.description.kind != "bundle":
        return
    for batch in source.read(LEFT_OUT.name):
        for row in batch.to_pylist():
            item = LeftOut(**row)
            if item.kind in _FILE_KINDS:
                yield item
