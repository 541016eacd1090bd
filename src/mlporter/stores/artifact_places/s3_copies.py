"""Objects that a store of S3's kind copies itself, bucket to bucket: no byte passes through here.

The store is asked to take the SHA-256 of what it copies. Only with that hash, of all bytes, is an
object copied; where a store says none, or does not copy, the file is streamed as any other.
"""

from __future__ import annotations

import logging
from base64 import b64decode
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.failures import codes_of, known_errors, text_of
from mlporter.artifacts.places import Written
from mlporter.errors import ReadBackError
from mlporter.stores.addresses.environment import S3, environment_of
from mlporter.stores.artifact_places.s3_objects import object_at, speaks_s3

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlporter.artifacts.places import WholeObject

__all__ = ["OtherwiseNowError", "StoreCopy", "UnprovenError", "copy_by_store", "stored_sha256"]

_log = logging.getLogger(__name__)

_SIDES = 16
_MOST = 5 << 30
"""Bytes of the largest object that is copied by one request."""
_ALONG = frozenset(
    {
        "ACL",
        "BucketKeyEnabled",
        "GrantFullControl",
        "GrantRead",
        "GrantReadACP",
        "GrantWriteACP",
        "RequestPayer",
        "SSEKMSEncryptionContext",
        "SSEKMSKeyId",
        "ServerSideEncryption",
        "StorageClass",
    }
)
"""Settings of uploads that mean the same for a copy."""
_CONDITIONS = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_ABSENT = frozenset({"NoSuchKey", "404"})
_NOTHING_THERE = {"IfNoneMatch": "*"}


class UnprovenError(Exception):
    """Another object was replaced by a copy that nothing proves: it is to be written over."""


class OtherwiseNowError(Exception):
    """The source's object has changed since it was looked at, or something has the new name."""


def stored_sha256(repository: Any, path: str) -> str:  # noqa: ANN401 -- MLflow's, of any store
    """The SHA-256 (hex) that S3 took of all bytes of an object and stored with it; "" for none."""
    if not speaks_s3(repository):
        return ""
    bucket, key = object_at(repository.artifact_uri, path)
    with suppress(*known_errors()):
        client, owner = repository._get_s3_client(), repository._bucket_owner_params  # noqa: SLF001
        found = client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **owner)
        return _of_all_bytes(found)
    return ""


def copy_by_store(
    repository: Any,  # noqa: ANN401 -- MLflow's, of any store
    prefix: str | None,
    path: str,
    whole: WholeObject,
    *,
    is_artifact: bool = True,
) -> StoreCopy | None:
    """An object that a store can be asked to copy to a path; None where it is to be streamed.

    Args:
        repository: MLflow's of the place where it goes.
        prefix: Of the variables by which that is reached: both sides must be one account's.
        path: Below that place.
        whole: What is copied.
        is_artifact: Whether it becomes a file of MLflow's, with MLflow's settings of uploads.
    """
    if not speaks_s3(repository) or prefix is None or not _is_one_account(prefix, whole.prefix):
        return None
    try:
        extra = repository.get_s3_file_upload_extra_args() if is_artifact else None
        copy = StoreCopy(repository, whole, path, extra or {})
    except known_errors():
        return None  # An upload says what is wrong.
    return copy if copy.is_as_an_upload and _willing.may_be_asked(copy.pair) else None


@lru_cache(_SIDES)
def _is_one_account(prefix: str, other: str) -> bool:
    """Whether two sides have the same keys and the same endpoint."""
    if prefix == other:
        return True
    mine, theirs = environment_of(prefix), environment_of(other)
    return all(mine.get(name) == theirs.get(name) for name in S3)


class StoreCopy:
    """One object on its way from bucket to bucket."""

    def __init__(
        self,
        repository: Any,  # noqa: ANN401 -- as above
        whole: WholeObject,
        path: str,
        extra: Mapping[str, Any],
    ) -> None:
        """Use `copy_by_store`."""
        bucket, key = object_at(repository.artifact_uri, path)
        self._client = repository._get_s3_client()  # noqa: SLF001 -- MLflow has no other way in
        self._owner = repository._bucket_owner_params  # noqa: SLF001 -- likewise
        self._extra = extra
        self._whole = whole
        self._there = {"Bucket": bucket, "Key": key, **self._owner}
        self.pair = (self._client.meta.endpoint_url, whole.bucket, bucket)

    @property
    def is_as_an_upload(self) -> bool:
        """Whether a copy can be given all that an upload would be."""
        return _ALONG.issuperset(self._extra)

    def made(self) -> Written | None:
        """Make it, where nothing is; None if it is to be streamed.

        Raises:
            OtherwiseNowError: the object changed meanwhile, or something is there: look again.
            ReadBackError: something else was copied than is there, and could not be removed.
        """
        return self._tried(lambda: self._made(self._source(), _NOTHING_THERE))

    def made_under_its_name(
        self, key_of: Callable[[str], str], has: Callable[[str, int], bool]
    ) -> Written | None:
        """Make it where the SHA-256 that is stored with it says; None if it is to be streamed.

        Args:
            key_of: The key for a SHA-256 (hex).
            has: Whether there is such a content already, of so many bytes; then nothing is made.

        Raises:
            OtherwiseNowError: as `made`.
            ReadBackError: as `made`.
        """
        return self._tried(lambda: self._made_under_its_name(key_of, has))

    def _made_under_its_name(
        self, key_of: Callable[[str], str], has: Callable[[str, int], bool]
    ) -> Written | None:
        source = self._source()
        sha256 = _of_all_bytes(source)
        if not sha256:
            _willing.failed(self.pair, "no SHA-256 of all of it is stored")
            return None
        there = Written(sha256, source["ContentLength"], created=False)
        if has(sha256, there.size):
            _willing.did(self.pair)
            return there
        self._there["Key"] = key_of(sha256)
        try:
            return self._made(source, _NOTHING_THERE)
        except known_errors() as error:
            if codes_of(error) & _CONDITIONS and has(sha256, there.size):
                return there  # Another thread or worker was quicker.
            raise

    def made_over(
        self, is_expected: Callable[[str], bool], read: Callable[[], str]
    ) -> Written | None:
        """Make it in place of what is there; None if it is to be streamed, or looked at again.

        Args:
            is_expected: Whether what is there may be replaced, by its SHA-256 (hex).
            read: The SHA-256 of what is there, where the store has none.

        Raises:
            OtherwiseNowError: one of both changed meanwhile; what is there was left alone.
            UnprovenError: it was replaced, and the store says nothing that proves by what.
        """
        return self._tried(lambda: self._made_over(is_expected, read))

    def _made_over(
        self, is_expected: Callable[[str], bool], read: Callable[[], str]
    ) -> Written | None:
        found = self._client.head_object(**self._there, ChecksumMode="ENABLED")
        # What is read now is what the ETag is of, or the copy is refused.
        if "ETag" not in found or not is_expected(_of_all_bytes(found) or read()):
            return None
        return self._made(self._source(), {"IfMatch": found["ETag"]})

    def _tried(self, make: Callable[[], Written | None]) -> Written | None:
        try:
            return make()
        except known_errors() as error:
            codes = codes_of(error)
            if not codes & _ABSENT:
                _willing.failed(self.pair, text_of(error))
            if codes & _CONDITIONS:
                raise OtherwiseNowError from None
            return None

    def there(self) -> Written | None:
        """What is at the path, if it is the same by hashes that are stored; None if it is read."""
        with suppress(*known_errors()):
            found = self._client.head_object(**self._there, ChecksumMode="ENABLED")
            sha256 = _of_all_bytes(found)
            if sha256 and sha256 == (self._whole.sha256 or _of_all_bytes(self._source())):
                return Written(sha256, found["ContentLength"], created=False)
        return None

    def _source(self) -> Mapping[str, Any]:
        whole = self._whole
        found: Mapping[str, Any] = self._client.head_object(
            Bucket=whole.bucket, Key=whole.key, ChecksumMode="ENABLED", **self._owner
        )
        return found

    def _made(self, source: Mapping[str, Any], condition: Mapping[str, str]) -> Written | None:
        """Make it as it was looked at; `condition` says what must be at the path, or must not."""
        whole = self._whole
        size, stored = source.get("ContentLength", _MOST + 1), _of_all_bytes(source)
        known = whole.sha256 or stored
        if size > _MOST or (stored and stored != known) or "ETag" not in source:
            return None
        # What is replaced cannot be had back: what a name promises must be known before.
        if "IfMatch" in condition and stored != known:
            return None
        sha256 = self._copied(source, condition)
        if sha256 and sha256 == (known or sha256):
            _willing.did(self.pair)
            return Written(sha256, size, created=True, by_storage=True)
        why = "another SHA-256" if sha256 else "no SHA-256"
        _willing.failed(self.pair, f"it says {why} of what it copied", for_good=not sha256)
        if "IfMatch" in condition:
            raise UnprovenError
        self._take_back(is_other=bool(sha256))
        return None

    def _copied(self, source: Mapping[str, Any], condition: Mapping[str, str]) -> str:
        """The SHA-256 of all bytes that the store says of the copy; "" for none."""
        said = self._copy(source["ETag"], condition)
        of_parts = "" if _of_all_bytes(source) else source.get("ChecksumSHA256", "")
        if of_parts and of_parts.partition("-")[0] == said.get("ChecksumSHA256", ""):
            return ""  # It went along as it was, whatever it is called now.
        return _of_all_bytes(said)

    def _copy(self, etag: str, condition: Mapping[str, str]) -> Mapping[str, Any]:
        """Have it copied as it was looked at; what the store says of it."""
        owner = self._owner.get("ExpectedBucketOwner")
        answer = self._client.copy_object(
            **self._there,
            **self._extra,
            **({"ExpectedSourceBucketOwner": owner} if owner else {}),
            CopySource={"Bucket": self._whole.bucket, "Key": self._whole.key},
            CopySourceIfMatch=etag,
            **condition,
            ChecksumAlgorithm="SHA256",
            TaggingDirective="REPLACE",  # Tags are rules of the other bucket; an upload has none.
        )
        found: Mapping[str, Any] = answer.get("CopyObjectResult", {})
        if found.get("ChecksumSHA256"):
            return found
        with suppress(*known_errors()):
            found = self._client.head_object(**self._there, ChecksumMode="ENABLED")
        return found

    def _take_back(self, *, is_other: bool) -> None:
        """Remove a copy that nothing proves: it is streamed instead."""
        with suppress(*known_errors()):
            self._client.delete_object(**self._there)
            return
        if is_other:
            raise ReadBackError(
                "was copied by the storage with another content, and could not be removed",
                subject="s3://{Bucket}/{Key}".format(**self._there),
            )


def _of_all_bytes(said: Mapping[str, Any]) -> str:
    """The SHA-256 (hex) of a whole object; "" for none, or one of the hashes of its parts.

    >>> _of_all_bytes({"ChecksumSHA256": "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="})[:8]
    '2cf24dba'
    >>> _of_all_bytes({"ChecksumSHA256": "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=-3"})
    ''
    """
    if said.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT":
        return ""
    try:
        found = b64decode(said.get("ChecksumSHA256", ""), validate=True)
    except ValueError:
        return ""
    return found.hex() if len(found) == 32 else ""  # noqa: PLR2004 -- bytes of a SHA-256


class _Willing:
    """Between which buckets a store did not copy, so that it is not asked for every file."""

    _ENOUGH = 3
    """Refusals in a row."""
    _LATER = 300.0
    """Seconds after which it is asked again: rights change."""
    _PAIRS = 256

    def __init__(self) -> None:
        self._lock = Lock()
        self._refusals: OrderedDict[tuple[str, str, str], tuple[int, float]] = OrderedDict()

    def may_be_asked(self, pair: tuple[str, str, str]) -> bool:
        with self._lock:
            times, last = self._refusals.get(pair, (0, 0.0))
        return times < self._ENOUGH or monotonic() - last > self._LATER

    def did(self, pair: tuple[str, str, str]) -> None:
        with self._lock:
            self._refusals.pop(pair, None)

    def failed(self, pair: tuple[str, str, str], why: str, *, for_good: bool = False) -> None:
        with self._lock:
            times, _ = self._refusals.pop(pair, (0, 0.0))
            self._refusals[pair] = (self._ENOUGH if for_good else times + 1, monotonic())
            if len(self._refusals) > self._PAIRS:
                self._refusals.popitem(last=False)
        if times == 0:
            _log.info("the storage did not copy from %s to %s itself: %s", pair[1], pair[2], why)


_willing = _Willing()
