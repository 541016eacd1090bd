"""Verify: packs are what their names say, and hold what ``contents`` says, where it says."""

from __future__ import annotations

import hashlib
import io
from itertools import zip_longest
from typing import TYPE_CHECKING, Protocol, cast

from mlporter.bundle.contents.packs import (
    END,
    PACK_MEMBERS,
    Member,
    Members,
    holds,
    read_members,
    windows,
)
from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.files import CHUNK
from mlporter.bundle.folder.layout import pack_path
from mlporter.errors import BundleDamagedError, UnreachableError
from mlporter.stopping import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from typing_extensions import Buffer

    from mlporter.bundle.storage.protocol import Storage

__all__ = ["check_pack", "check_places"]

_QUICK = PACK_MEMBERS + 1
"""What writers make has fewer contents."""
_WINDOW = 256 * 2**10
"""Bytes of a pack that are in memory at a time, and those before them."""


class Report(Protocol):
    """Takes what is found."""

    blobs_read: int

    def add(self, path: str, what: str, detail: str) -> None:
        """Note something that is wrong."""

    def read(self, size: int) -> None:
        """Say that so many bytes were read."""


def check_pack(storage: Storage, pack: str, named: Iterable[Member], report: Report) -> None:
    """Read every byte of a pack; `named` is what it is said to hold, sorted by where that is."""
    usual = named if isinstance(named, Members) and len(named) < _QUICK else None
    with _Problems(report, pack_path(pack)), storage.open(pack_path(pack)) as file:
        if usual is not None and _is_as_it_should_be(pack, storage.name, file, usual, report):
            return
        _check_pack(pack, storage.name, file, named, report)


def _is_as_it_should_be(
    pack: str, where: str, file: BinaryIO, named: Members, report: Report
) -> bool:
    """Whether a pack is what its name and `contents` say; if not, it is read again to say why."""
    with disk_errors(where, "read"):
        total = _bytes_as_named(pack, file, named)
        if total is not None:
            report.read(total)
            report.blobs_read += len(named)
            return True
        file.seek(0)
    return False


def _bytes_as_named(pack: str, file: BinaryIO, named: Members) -> int | None:
    """The bytes of a pack that holds what is named, and nothing else; None of any other one."""
    digest = hashlib.sha256()
    at = 0
    for size, some in windows(named, _WINDOW):
        check()
        data = _read(file, size)
        if not holds(data, some, at):
            return None
        digest.update(data)
        at += size
    end = _read(file, len(END) + 1)
    digest.update(end)
    return at + len(end) if end == END and digest.hexdigest() == pack else None


def _read(file: BinaryIO, size: int) -> bytes:
    """So many bytes, or all that are left."""
    data = b""
    while len(data) < size and (chunk := file.read(size - len(data))):
        data = data + chunk if data else chunk
    return data


def _check_pack(
    pack: str, where: str, raw: BinaryIO, named: Iterable[Member], report: Report
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


def check_places(storage: Storage, pack: str, named: Iterable[Member], report: Report) -> None:
    """Read some contents of a pack where they are said to be, sorted by that."""
    path = pack_path(pack)
    with (
        _Problems(report, path),
        storage.open(path) as file,
        disk_errors(f"{storage.name}/{path}", "read"),
    ):
        for sha256, start, size in named:
            check()
            file.seek(start)
            content = file.read(size)
            report.read(len(content))
            report.blobs_read += 1
            if hashlib.sha256(content).hexdigest() != sha256:
                report.add(path, "sha256", f"{sha256} does not match its name")


class _Problems:
    """Turns what ends the reading of a pack into a finding. That one is missing was said before."""

    def __init__(self, report: Report, path: str) -> None:
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
