"""Bytes to and from a server, streamed: no file is ever whole in memory."""

from __future__ import annotations

import io
import json
import secrets
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

import requests
from urllib3.exceptions import HTTPError

from mlporter.stores.rest.answer_log import Hashing
from mlporter.stores.rest.answers import check
from mlporter.stores.rest.transport import way_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

__all__ = ["Download", "Form", "Sized"]

_CHUNK = 1 << 20


class Download:
    """A streamed answer, which is asked for again where its connection is cut.

    Args:
        ask: Sends the request, once.
        persist: Runs something until it works.
        subject: Server and path, for errors.
        on_end: Called with the digest of all of it.
    """

    def __init__(
        self,
        ask: Callable[[], AbstractContextManager[requests.Response]],
        persist: Callable[[Callable[[], Any]], Any],
        subject: str,
        on_end: Callable[[str], None] | None = None,
    ) -> None:
        self._ask, self._persist, self._subject = ask, persist, subject
        self._on_end, self._digest = on_end, Hashing(requests.codes.ok)
        self._now: AbstractContextManager[requests.Response] | None = None
        self._parts: Iterator[bytes] = iter(())
        self._done = 0

    def __enter__(self) -> BinaryIO:
        self._persist(self._start)
        return io.BufferedReader(_Chunks(self._next), _CHUNK)

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _start(self) -> None:
        self._stop()
        now = self._ask()
        response = now.__enter__()
        self._now = now
        try:
            check(response, self._subject)
        except BaseException:
            self._stop()
            raise
        self._parts = _after(response.iter_content(_CHUNK), self._done)

    def _stop(self) -> None:
        now, self._now = self._now, None
        if now is not None:
            now.__exit__(None, None, None)

    def _next(self) -> bytes:
        part: bytes = self._persist(self._part)
        self._done += len(part)
        if self._on_end is not None:
            self._digest.update(part)
            if not part:
                self._on_end(self._digest.text)
        return part

    def _part(self) -> bytes:
        """The next bytes, of any number; none at the end."""
        if self._now is None:
            self._start()
        try:
            return next(self._parts, b"")
        except (requests.RequestException, HTTPError) as error:
            self._stop()
            raise way_error(error, self._subject) from None


def _after(parts: Iterator[bytes], skip: int) -> Iterator[bytes]:
    for part in parts:
        if len(part) > skip:
            yield part[skip:]
        skip = max(0, skip - len(part))


class _Chunks(io.RawIOBase):
    """A stream over a function that gives the next bytes."""

    def __init__(self, following: Callable[[], bytes]) -> None:
        self._following = following
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 -- any writable buffer
        if not self._left:
            self._left = memoryview(self._following())
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


class Sized:
    """A stream whose length is known, so that it is sent as it is and not cut into HTTP chunks."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as of any stream."""
        return self._stream.read(size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._stream.read(_CHUNK), b"")


class Form:
    """A form (``multipart/form-data``) of JSON and of a file that is streamed.

    Attributes:
        content_type: Its type, with what stands between its parts.
    """

    def __init__(self, metadata: Mapping[str, object], stream: BinaryIO, size: int) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        named = 'Content-Disposition: form-data; name="{}"{}\r\nContent-Type: {}\r\n\r\n'
        said = named.format("metadata", "", "application/json") + json.dumps(metadata)
        file = named.format("content", '; filename="content"', "application/octet-stream")
        self._before = f"--{boundary}\r\n{said}\r\n--{boundary}\r\n{file}".encode()
        self._after = f"\r\n--{boundary}--\r\n".encode()
        self._content = Sized(stream, size)

    def __len__(self) -> int:
        return len(self._before) + len(self._content) + len(self._after)

    def __iter__(self) -> Iterator[bytes]:
        return chain([self._before], self._content, [self._after])
