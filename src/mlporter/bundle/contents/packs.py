"""Packs: many small contents in one uncompressed tar, each under its SHA-256.

``tar -tf PACK`` lists them, ``tar -xf PACK && sha256sum *`` checks them: no tool of ours is needed.
A pack is named by the SHA-256 of all of it.
"""

from __future__ import annotations

import hashlib
import io
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from mlporter.bundle.folder.layout import SHA256
from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

__all__ = [
    "END",
    "HEADER",
    "LARGEST_OFFSET",
    "PACK_BYTES",
    "PACK_MEMBERS",
    "SMALL",
    "Member",
    "Members",
    "PackBuilder",
    "holds",
    "read_members",
    "small_head",
    "windows",
]

SMALL = 256 * 2**10
"""Bytes below which a content goes into a pack."""
PACK_BYTES = 16 * 2**20
"""Bytes after which a pack is closed."""
PACK_MEMBERS = 10_000
"""Contents after which a pack is closed."""

HEADER = 512
"""Bytes before each content, of which all sizes are multiples in a tar."""
LARGEST_OFFSET = 2**40
"""No pack is nearly as large: what lies beyond is in none."""

END = bytes(2 * HEADER)
"""What a pack ends with."""

_ROW = Struct("<32sqq")
"""SHA-256, offset and size of a content."""
_SUM_AT = 148
# POSIX.1-1988 (ustar): name, mode, uid, gid, size, mtime, checksum, type, link, magic, version, …
_HEADER = (
    bytes(64)
    + bytes(36)
    + b"0000644\x00"
    + b"0000000\x00" * 2
    + b"00000000000\x00" * 2
    + b"        "
    + b"0"
    + bytes(100)
    + b"ustar\x0000"
    + bytes(247)
)
_SIZE_AT = 124
_SUM_OF_REST = sum(_HEADER) - sum(b"00000000000")


class Member(NamedTuple):
    """A content of a pack: SHA-256 (hex), where its bytes begin in the pack, and how many."""

    sha256: str
    offset: int
    size: int


class Members:
    """Contents of a pack as plain data, to be gone through as often as is wanted.

    Each takes 48 bytes, where Python's own values take three hundred.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        """Take their hashes, which are known to be some, offsets and sizes."""
        self._rows = b"".join(
            _ROW.pack(bytes.fromhex(sha256), offset, size) for sha256, offset, size in members
        )

    def __len__(self) -> int:
        """How many there are."""
        return len(self._rows) // _ROW.size

    def __iter__(self) -> Iterator[Member]:
        """Them, in their order."""
        for digest, offset, size in _ROW.iter_unpack(self._rows):
            yield Member(digest.hex(), offset, size)


def small_head(stream: BinaryIO) -> bytes:
    """The first `SMALL` bytes of a stream; fewer are all that there are."""
    head = stream.read(SMALL)
    while len(head) < SMALL and (more := stream.read(SMALL - len(head))):
        head += more
    return head


def _header(sha256: str, size: int) -> bytes:
    name, digits = sha256.encode(), b"%011o" % size
    total = _SUM_OF_REST + sum(name) + sum(digits)
    rest = _HEADER[64:_SIZE_AT] + digits + _HEADER[_SIZE_AT + 11 : _SUM_AT]
    return name + rest + b"%06o\x00 " % total + _HEADER[_SUM_AT + 8 :]


class PackBuilder:
    """A pack that is being filled, in memory. Not safe for several threads at once."""

    def __init__(self) -> None:
        self._data = io.BytesIO()
        self.members: list[Member] = []

    @property
    def is_full(self) -> bool:
        """Whether it is to be closed."""
        return self._data.tell() >= PACK_BYTES or len(self.members) >= PACK_MEMBERS

    def add(self, sha256: str, content: bytes) -> None:
        """Take a content."""
        self._data.write(_header(sha256, len(content)))
        self.members.append(Member(sha256, self._data.tell(), len(content)))
        self._data.write(content)
        self._data.write(bytes(-len(content) % HEADER))

    def close(self) -> tuple[str, bytes]:
        """Its SHA-256 and all of its bytes."""
        self._data.write(END)
        data = self._data.getvalue()  # no copy
        return hashlib.sha256(data).hexdigest(), data


def read_members(file: BinaryIO, where: str) -> Iterator[tuple[Member, bytes]]:
    """Every content of a pack and its bytes, as the headers say; nothing is checked by its sum.

    Raises:
        BundleDamagedError: it is no pack of ours: other names, kinds or sizes.
    """
    offset = 0
    while header := _exactly(file, HEADER, where):
        if header == bytes(HEADER):
            if _exactly(file, HEADER, where) != header or file.read(1):
                raise BundleDamagedError("goes on after its end", subject=where)
            return
        name = header[:64].decode("ascii", "replace")
        if not SHA256.fullmatch(name):
            raise BundleDamagedError("holds a member that is no content", subject=where)
        size = _octal(header[_SIZE_AT : _SIZE_AT + 11], where)
        if size >= SMALL or header != _header(name, size):
            raise BundleDamagedError(f"has another header for {name}", subject=where)
        content = _exactly(file, size, where)
        if any(_exactly(file, -size % HEADER, where)):
            raise BundleDamagedError(f"has something between contents, after {name}", subject=where)
        yield Member(name, offset + HEADER, size), content
        offset += HEADER + size + -size % HEADER
    raise BundleDamagedError("has no end", subject=where)


def windows(members: Iterable[Member], size: int) -> Iterator[tuple[int, list[Member]]]:
    """Contents that lie one after another, about `size` bytes of the pack at a time.

    Yields how many bytes they take, each with its header, and which they are.
    """
    some: list[Member] = []
    total = 0
    for member in members:
        some.append(member)
        total += HEADER + member.size + -member.size % HEADER
        if total >= size:
            yield total, some
            some, total = [], 0
    if some:
        yield total, some


def holds(data: bytes, members: Iterable[Member], start: int = 0) -> bool:
    """Whether part of a pack holds precisely these contents, in this order, each with its hash.

    Args:
        data: The bytes.
        members: The contents.
        start: Where in the pack the bytes begin.
    """
    at = 0
    for sha256, offset, size in members:
        begin = at + HEADER
        end = begin + size
        if offset != start + begin or size >= SMALL or data[at:begin] != _header(sha256, size):
            return False
        if hashlib.sha256(data[begin:end]).hexdigest() != sha256:
            return False
        at = end + -size % HEADER
        if data[end:at] != END[: at - end]:
            return False
    return at == len(data)


def _octal(digits: bytes, where: str) -> int:
    try:
        return int(digits, 8)
    except ValueError:
        raise BundleDamagedError("has a size that is no number", subject=where) from None


def _exactly(file: BinaryIO, size: int, where: str) -> bytes:
    pieces = []
    left = size
    while left and (piece := file.read(left)):
        pieces.append(piece)
        left -= len(piece)
    if left:
        raise BundleDamagedError("is cut short", subject=where)
    return b"".join(pieces)
