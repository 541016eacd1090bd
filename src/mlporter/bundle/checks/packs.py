"""Verify: packs are what their names say, and hold what ``contents`` says, where it says."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import partial
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING, cast

from mlporter.artifacts.prefetch import prefetched
from mlporter.bundle.contents.packs import Member, read_members
from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.files import CHUNK
from mlporter.bundle.folder.layout import pack_path
from mlporter.errors import BundleDamagedError, UnreachableError
from mlporter.stopping import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from typing_extensions import Buffer

    from mlporter.bundle.checks.findings import VerifyReport
    from mlporter.bundle.storage.protocol import Storage

__all__ = ["PackedPlaces", "check_packs", "check_places"]

_Place = tuple[str, int, str, int]
"""SHA-256 of the pack, offset in it, SHA-256 of the content, bytes."""


@dataclass(frozen=True)
class PackedPlaces:
    """Contents in packs that are to be read.

    Attributes:
        storage: Where the packs are.
        names: The packs, sorted.
        places: The contents in them, sorted; each pack has some.
        workers: Packs that are fetched at a time.
    """

    storage: Storage
    names: Iterable[str]
    places: Iterable[_Place]
    workers: int

    def opened(self) -> Iterator[tuple[str, Iterator[_Place], Callable[[], BinaryIO]]]:
        """Each pack, what is in it, and what gives its file: those that come next are fetched."""
        fetch = partial(_fetched, self.storage)
        ahead = prefetched(self.names, fetch, self.workers, each=1)
        groups = groupby(self.places, lambda place: place[0])
        for (pack, rows), (_, file) in zip(groups, ahead, strict=True):
            yield pack, rows, file


def _fetched(storage: Storage, pack: str) -> Callable[[], BinaryIO]:
    """Open a pack; what that raises is raised by who asks for the file."""
    try:
        file = storage.open(pack_path(pack))
    except (UnreachableError, BundleDamagedError) as error:
        return partial(_raise, error)
    return lambda: file


def _raise(error: Exception) -> BinaryIO:
    raise error


def check_packs(packed: PackedPlaces, report: VerifyReport) -> None:
    """Read every byte of the packs that are named."""
    for pack, rows, opened in packed.opened():
        named = (Member(sha256, start, size) for _, start, sha256, size in rows)
        with _Problems(report, pack_path(pack)), opened() as file:
            _check_pack(pack, packed.storage.name, file, named, report)


def _check_pack(
    pack: str, where: str, raw: BinaryIO, named: Iterator[Member], report: VerifyReport
) -> None:
    """All of a pack: its sum first of all, for where it is wrong, the rest follows from that."""
    path = pack_path(pack)
    problems: list[str] = []
    watched = _Hashed(raw, where, report.read)
    file = cast("BinaryIO", io.BufferedReader(watched, CHUNK))
    try:
        for found, expected in zip_longest(_members(file, path, problems), named):
            report.blobs_read += found is not None
            if found != expected:
                which = found.sha256 if found is not None else cast("Member", expected).sha256
                problems.append(f"does not hold {which} where contents says, or holds more")
                break
    except BundleDamagedError as error:
        problems.append(error.message)
    while file.read(CHUNK):
        pass
    if watched.sha256 != pack:
        report.add(path, "sha256", "does not match its name")
        return
    for problem in problems:
        report.add(path, "content", problem)


def _members(file: BinaryIO, path: str, problems: list[str]) -> Iterator[Member]:
    for member, content in read_members(file, path):
        if hashlib.sha256(content).hexdigest() != member.sha256:
            problems.append(f"{member.sha256} does not match its name")
        yield member


def check_places(packed: PackedPlaces, report: VerifyReport) -> None:
    """Read some contents where they are said to be."""
    for pack, rows, opened in packed.opened():
        path = pack_path(pack)
        with (
            _Problems(report, path),
            opened() as file,
            disk_errors(f"{packed.storage.name}/{path}", "read"),
        ):
            for _, start, sha256, size in rows:
                check()
                file.seek(start)
                content = file.read(size)
                report.read(len(content))
                report.blobs_read += 1
                if hashlib.sha256(content).hexdigest() != sha256:
                    report.add(path, "sha256", f"{sha256} does not match its name")


class _Problems:
    """Turns what ends the reading of a pack into a finding. That one is missing was said before."""

    def __init__(self, report: VerifyReport, path: str) -> None:
        self._report = report
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, UnreachableError):
            self._report.add(self._path, "unreadable", error.message)
        return isinstance(error, (UnreachableError, BundleDamagedError))


class _Hashed(io.RawIOBase):
    """A raw file whose bytes are hashed as they are read."""

    def __init__(self, raw: BinaryIO, where: str, seen: Callable[[int], None]) -> None:
        super().__init__()
        self._raw = raw
        self._where = where
        self._seen = seen
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of what was read so far."""
        return self._hash.hexdigest()

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read, and hash what was read."""
        check()
        view = memoryview(buffer)
        with disk_errors(self._where, "read"):
            size: int = self._raw.readinto(view)  # type: ignore[attr-defined]
        self._hash.update(view[:size])
        self._seen(size)
        return size
