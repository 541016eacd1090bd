"""What `verify_bundle` finds, and how far it got."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from threading import Lock
from typing import Any, Literal

from mlporter.errors import ExitCode

__all__ = ["Finding", "Progress", "VerifyMode", "VerifyReport"]

VerifyMode = Literal["full", "quick", "sample"]
Progress = Callable[[int, int], None]
"""Called with the bytes read so far and the bytes that will be read."""

_MOST = 10_000
_TOLD = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    ``path`` is the file, relative to the bundle; ``what`` one of ``missing``, ``unexpected``,
    ``symlink``, ``manifest``, ``sums``, ``size``, ``sha256``, ``content`` (a part that is not what
    the format says), ``order``, ``unsafe-path``, ``blob``, ``unreferenced``, ``reference``,
    ``totals``, ``unreadable``; ``detail`` a sentence.
    """

    path: str
    what: str
    detail: str


@dataclass
class VerifyReport:
    """The result of a verification: `problems`, and what was looked at.

    ``more`` counts the problems after the first 10,000, which are not listed. ``files`` are rows of
    the table ``artifacts``; ``blobs`` are contents found, as blobs or in ``packs``, ``blobs_read``
    those that were read; ``bytes_read`` counts bytes of parts, blobs and packs. ``told`` counts
    references that had no row at the source either, as the export said: no damage; ``told_first``
    names the first. Of a repository ``snapshots`` were looked at, and ``unreferenced`` objects
    belong to none of them, as a backup that was killed or a snapshot that was forgotten leaves
    them: no damage either.
    ``own_rows`` are those of ``rows`` that are about the bundle, and not of the registry.
    """

    address: str
    mode: VerifyMode
    on_progress: Progress | None = field(default=None, repr=False)
    bundle_id: str | None = None
    problems: list[Finding] = field(default_factory=list)
    more: int = 0
    tables: int = 0
    parts: int = 0
    rows: int = 0
    own_rows: int = 0
    files: int = 0
    blobs: int = 0
    blobs_read: int = 0
    packs: int = 0
    bytes_read: int = 0
    told: int = 0
    told_first: list[str] = field(default_factory=list)
    snapshots: int = 0
    unreferenced: int = 0
    unreferenced_bytes: int = 0
    _bytes_expected: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    @property
    def exit_code(self) -> int:
        """0 if nothing is wrong, else 5."""
        return ExitCode.BUNDLE if self.problems else ExitCode.OK

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "address": self.address,
            "mode": self.mode,
            "bundle_id": self.bundle_id,
            "ok": not self.problems,
            "problems": [asdict(problem) for problem in self.problems],
            "more": self.more,
            "told": {"total": self.told, "first": list(self.told_first)},
            "checked": {
                "tables": self.tables,
                "parts": self.parts,
                "rows": self.rows,
                "own_rows": self.own_rows,
                "files": self.files,
                "blobs": self.blobs,
                "blobs_read": self.blobs_read,
                **({"packs": self.packs} if self.packs else {}),
                "bytes_read": self.bytes_read,
                **({"snapshots": self.snapshots} if self.snapshots else {}),
            },
            **({"unreferenced": self.unreferenced} if self.unreferenced else {}),
        }

    def add(self, path: str, what: str, detail: str) -> None:
        """Note something that is wrong."""
        if len(self.problems) < _MOST:
            self.problems.append(Finding(path, what, detail))
        else:
            self.more += 1

    def tell(self, table: str, detail: str) -> None:
        """Note something that the export reported, and that is no damage."""
        self.told += 1
        if len(self.told_first) < _TOLD:
            self.told_first.append(f"{table}: {detail}")

    def expect(self, size: int) -> None:
        """Say that so many more bytes will be read."""
        self._bytes_expected += size

    def read(self, size: int) -> None:
        """Say that so many bytes were read; any thread may."""
        with self._lock:
            self.bytes_read += size
            done, expected = self.bytes_read, self._bytes_expected
        if self.on_progress:
            self.on_progress(done, max(expected, done))
