"""An S3 that is told what to do with copies: moto's server, with what Amazon's has besides."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Copies", "watched_copies"]


def _nothing() -> None:
    """Nothing happens before a copy."""


@dataclass
class Copies:
    """What the server is asked for, and what it does then.

    Attributes:
        read: Keys of objects whose bytes it sent.
        asked: Keys to which it was to copy something.
        before: Called when it is asked for a copy, right before it makes it.
        is_old: Whether it takes no SHA-256, but keeps the checksum that the source has, if any.
    """

    read: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    before: Callable[[], None] = _nothing
    is_old: bool = False


@contextmanager
def watched_copies() -> Iterator[Copies]:
    """Watch, and change, what moto's server in this process does."""
    from moto.s3 import exceptions, responses  # noqa: PLC0415 -- for S3 only
    from werkzeug.datastructures import Headers  # noqa: PLC0415 -- likewise

    copies = Copies()
    response: Any = responses.S3Response
    get, head, copy = response.get_object, response.head_object, response.copy_object

    def get_object(self: Any) -> Any:
        copies.read.append(self.parse_key_name())
        return get(self)

    def head_object(self: Any, *given: Any, **named: Any) -> Any:
        status, headers, body = head(self, *given, **named)
        found = self.backend.get_object(self.bucket_name, self.parse_key_name())
        if "x-amz-checksum-sha256" in headers and found.checksum_type == "COMPOSITE":
            headers["x-amz-checksum-sha256"] += f"-{found.checksum_parts}"
            headers["x-amz-checksum-type"] = found.checksum_type
        return status, headers, body

    def copy_object(self: Any) -> Any:
        copies.asked.append(self.parse_key_name())
        copies.before()
        bucket, _, key = self.headers["x-amz-copy-source"].lstrip("/").partition("/")
        source = self.backend.get_object(bucket, responses.unquote(key))
        wanted = self.headers.get("x-amz-copy-source-if-match")
        if wanted is not None and wanted.strip('"') != source.etag.strip('"'):
            raise exceptions.PreconditionFailed("x-amz-copy-source-If-Match")
        there = self.backend.get_object(self.bucket_name, self.parse_key_name())
        if self.headers.get("If-None-Match") == "*" and there is not None:
            raise exceptions.PreconditionFailed("If-None-Match")
        seen = self.headers.get("If-Match")
        if seen is not None and (there is None or seen.strip('"') != there.etag.strip('"')):
            raise exceptions.PreconditionFailed("If-Match")
        if copies.is_old:
            self.headers = Headers(list(self.headers.items()))
            self.headers.remove("x-amz-checksum-algorithm")
        return copy(self)

    with (
        patch.object(response, "get_object", get_object),
        patch.object(response, "head_object", head_object),
        patch.object(response, "copy_object", copy_object),
    ):
        yield copies
