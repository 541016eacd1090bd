"""What an unfinished export has already copied, so that resuming does not read it again."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.disk.scratch import Scratch
from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.layout import JOURNAL, SHA256
from mlporter.errors import RefusedError, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

    from mlporter.stores.protocols import ArtifactFile

__all__ = ["Journal"]

_VERSION = 1
_quoted = json.encoder.encode_basestring_ascii
"""A text as JSON: `json.dumps` takes a tenth of the time that copying a small file does."""


class Journal:
    """A line for every file copied: whose it is, path, size, stamp, SHA-256.

    A file is known again if size and stamp are as they were. Lines that are torn, as a crash
    leaves them, are passed over. Memory does not grow with the journal.
    """

    def __init__(self, root: Path, source: str, *, resume: bool) -> None:
        """Open the journal of the bundle in `root`; `source` is the redacted address.

        Raises:
            RefusedError: the journal is of another source.
            UnreachableError: it cannot be read or written.
        """
        self._path = root / JOURNAL
        self._lock = threading.Lock()
        self._known = Scratch(
            "CREATE TABLE copied (kind TEXT, id TEXT, path TEXT, size INTEGER, stamp TEXT,"
            " sha256 TEXT, PRIMARY KEY (kind, id, path)) WITHOUT ROWID"
        )
        self._knows = resume
        if resume:
            self._load(source)
        with disk_errors(self._path):
            self._file = self._path.open("a" if resume else "w", encoding="utf-8", newline="\n")
        try:
            self._append(json.dumps({"journal": _VERSION, "source": source}))
            with disk_errors(self._path):
                self._file.flush()
        except UnreachableError:
            self.close()
            raise

    def known(self, file: ArtifactFile) -> str | None:
        """The SHA-256 (hex) with which this very file was copied before, or None."""
        if not (file.stamp and self._knows):
            return None
        found = self._known.one(
            "SELECT sha256 FROM copied WHERE kind=? AND id=? AND path=? AND size=? AND stamp=?",
            file.owner_kind,
            file.owner_id,
            file.path,
            file.size,
            file.stamp,
        )
        return found[0] if found else None

    def copied(self, file: ArtifactFile, sha256: str, size: int) -> None:
        """Note that a file was copied; only one that can be told from a changed one is noted.

        Raises:
            UnreachableError: the disk is full or fails.
        """
        if file.stamp and size == file.size:
            kind, owner, path, stamp = map(
                _quoted, (file.owner_kind, file.owner_id, file.path, file.stamp)
            )
            self._append(f'{{"file": [{kind}, {owner}, {path}, {size}, {stamp}, "{sha256}"]}}')

    def close(self) -> None:
        """Close the journal; the file stays. On a full disk it may lack its last lines.

        What it lacks is copied once more when the export is resumed.
        """
        with suppress(OSError):
            self._file.close()
        self._known.close()

    def _append(self, entry: str) -> None:
        with self._lock, disk_errors(self._path):
            self._file.write(f"{entry}\n")

    def _load(self, source: str) -> None:
        if not self._path.is_file():
            return
        with disk_errors(self._path, "read"), self._path.open("rb") as lines:
            for line in lines:
                entry = _parse(line)
                if entry.get("source", source) != source:
                    message = f"was started from {entry['source']}, not from {source}"
                    hint = "resume with the same source, or use --restart"
                    raise RefusedError(message, subject=str(self._path.parent.parent), hint=hint)
                copied = entry.get("file", [])
                if _is_file(copied):
                    self._known.run(
                        "INSERT OR REPLACE INTO copied VALUES (?, ?, ?, ?, ?, ?)", *copied
                    )


def _parse(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _is_file(value: Any) -> bool:  # noqa: ANN401 - what JSON gave
    return (
        isinstance(value, list)
        and [type(item) for item in value] == [str, str, str, int, str, str]
        and SHA256.fullmatch(value[5]) is not None
    )
