"""Objects in object storage, through fsspec: S3 and what speaks it, Google's, Azure's."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mlporter.artifacts.places import WholeObject
from mlporter.bundle.storage.protocol import StoredObject
from mlporter.errors import (
    AccessDeniedError,
    BundleDamagedError,
    UnreachableError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["SCHEMES", "Later", "RemoteStorage", "open_remote"]

SCHEMES = {
    "s3": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
    "az": ("adlfs", "azure"),
}
"""Schemes of addresses: the package that speaks it, and our extra that brings it."""

_LOG_IN = {
    "adlfs": "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with "
    "AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_ANON=false"
}
"""What to do where a package finds no way to log in."""
_AT_ONCE = 1_000
"""Objects that one request removes."""


def open_remote(place: str, name: str, options: Mapping[str, Any]) -> RemoteStorage:
    """A place in object storage.

    Args:
        place: Its address, such as ``s3://bucket/backups``.
        name: The same for people; redacted.
        options: What the package for its scheme takes: keys, an endpoint.

    Raises:
        UnsupportedError: the package for its scheme is not installed, or there is none.
    """
    scheme = place.partition("://")[0]
    package, extra = SCHEMES.get(scheme.lower(), ("", ""))
    if not package:
        raise UnsupportedError(f"{scheme}:// is no object storage that is known", subject=name)
    try:
        import_module(package)
        url_to_fs = import_module("fsspec.core").url_to_fs
    except ImportError:
        raise UnsupportedError(
            f"needs the package {package}, which is not installed",
            subject=name,
            hint=f"pip install 'mlporter[{extra}]'",
        ) from None
    try:
        # An address of Azure's may name the account, too: abfs://container@account.dfs.….net/prefix.
        system, path = url_to_fs(place, use_listings_cache=False, **options)
    except ValueError as error:
        raise AccessDeniedError(
            f"cannot be reached: {_reason(error)}", subject=name, hint=_LOG_IN.get(package)
        ) from error
    return RemoteStorage(system, path.rstrip("/"), name)


class Later:
    """A file system of fsspec's that is opened when it is first used."""

    def __init__(self, opened: Callable[[], object]) -> None:
        self._opened = cache(opened)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- fsspec is untyped
        return getattr(self._opened(), name)


class RemoteStorage:
    """Objects below a prefix; implements `mlporter.bundle.storage.protocol.Storage`.

    A write is one request, or a multipart upload that is there only once it is complete. Retries
    are those of the package that speaks with the provider.
    """

    is_local = False
    reads_parts = True

    def __init__(self, system: Any, root: str, name: str) -> None:  # noqa: ANN401 -- fsspec is untyped
        """Use a file system of fsspec's below `root` (bucket and prefix)."""
        self.system = system
        self.root = root
        self._name = name
        self.again: tuple[Callable[..., RemoteStorage], tuple[str, ...]] | None = None
        """How another process opens it, by the variables that it has itself."""

    def elsewhere(self) -> RemoteStorage | None:
        """This, if another process can open it; see `Storage.elsewhere`."""
        return None if self.again is None else self

    def whole(self, path: str, sha256: str) -> WholeObject | None:
        """An object of a bucket that S3 might copy itself; see `Storage.whole`."""
        if self.again is None:
            return None
        address, prefix, root = self.again[1]
        bucket, _, key = f"{root}/{path}".partition("/")
        return WholeObject(bucket, key, prefix, sha256) if address.startswith("s3://") else None

    def __reduce__(self) -> tuple[Callable[..., RemoteStorage], tuple[str, ...]]:
        """It is sent as how to open it, and never with what opened it here."""
        if self.again is None:
            raise TypeError(f"{self._name} cannot be sent to another process")
        return self.again

    @property
    def name(self) -> str:
        """Its address."""
        return self._name

    def brought(self, path: str) -> None:
        """Nothing is remembered of what is there."""

    def scratch(self) -> Path:
        """The temporary folder of this machine."""
        return Path(tempfile.gettempdir())

    def put(self, path: str, data: bytes) -> None:
        """Write an object."""
        with self._errors(path, "write"):
            self.system.pipe_file(self._at(path), data)

    def put_file(self, path: str, file: Path) -> None:
        """Upload a file, in parts if it is large, and remove it here."""
        with self._errors(path, "write"):
            self.system.put_file(str(file), self._at(path))
        file.unlink()

    def put_new(self, path: str, data: bytes) -> bool:
        """Write an object unless there is one."""
        with self._errors(path, "write"):
            try:
                self.system.pipe_file(self._at(path), data, mode="create")
            except FileExistsError:
                return False
        return True

    def size(self, path: str) -> int | None:
        """Bytes of an object."""
        with self._errors(path, "look at"):
            try:
                return int(self.system.info(self._at(path))["size"])
            except FileNotFoundError:
                return None

    def open(self, path: str) -> BinaryIO:
        """An object, downloaded to a file without a name."""
        descriptor, file = tempfile.mkstemp(prefix="mlporter-")
        os.close(descriptor)
        try:
            with self._errors(path, "read"):
                self.system.get_file(self._at(path), file)
            return Path(file).open("rb", buffering=0)
        finally:
            with suppress(OSError):  # some packages remove it themselves where there is no object
                Path(file).unlink()

    def read(self, path: str, limit: int) -> bytes:
        """A small object."""
        data = self.read_range(path, 0, limit + 1)
        if len(data) > limit:
            message = f"{path} is longer than {limit:,} bytes"
            raise BundleDamagedError(message, subject=self._name)
        return data

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """Some bytes of an object."""
        try:
            with self._errors(path, "read"):
                return bytes(self.system.cat_file(self._at(path), start=start, end=start + size))
        except UnreachableError:
            # Providers differ in what they say of a range that begins behind the end.
            if (self.size(path) or 0) <= start:
                return b""
            raise

    def walk(self, below: str = "") -> Iterator[StoredObject]:
        """Every object below a folder."""
        with self._errors(below, "list"):
            try:
                found = self.system.find(self._at(below), detail=True)
            except FileNotFoundError:
                return
        for path in sorted(found):
            entry = found[path]
            relative = path.removeprefix(self.root).lstrip("/")
            yield StoredObject(relative, int(entry["size"]), _modified(entry))

    def remove(self, paths: Iterable[str]) -> None:
        """Remove objects."""
        all_of_them = [self._at(path) for path in paths]
        for start in range(0, len(all_of_them), _AT_ONCE):
            some = all_of_them[start : start + _AT_ONCE]
            with self._errors(some[0], "remove"):
                try:
                    self.system.rm(some)
                except FileNotFoundError:
                    for path in some:
                        self._remove_if_there(path)

    def _remove_if_there(self, path: str) -> None:
        try:
            self.system.rm_file(path)
        except FileNotFoundError:
            return

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    @contextmanager
    def _errors(self, path: str, doing: str) -> Iterator[None]:
        """Turn what the package raises into errors of ours."""
        try:
            yield
        except FileNotFoundError as error:
            if doing == "read":
                raise BundleDamagedError(f"{path} is missing", subject=self._name) from None
            message = f"cannot {doing} {path}: there is no such bucket"
            raise UnreachableError(message, subject=self._name) from error
        except _failures() as error:
            message = f"cannot {doing} {path}: {_reason(error)}"
            kind = AccessDeniedError if _is_denied(error) else UnreachableError
            raise kind(message, subject=self._name) from error


_RAISED = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "AzureError"),
)


def _failures() -> tuple[type[BaseException], ...]:
    """What the packages raise where a place fails, denies or cannot be reached."""
    found: list[type[BaseException]] = [OSError, TimeoutError, asyncio.TimeoutError]
    for module, name in _RAISED:
        if module in sys.modules:  # of this provider's package, or of another that is in use
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


_DENIED = frozenset({401, 403})


def _is_denied(error: BaseException) -> bool:
    """Whether a place was reached, and lets nobody in; packages keep the status of HTTP."""
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    return isinstance(error, PermissionError) or status in _DENIED


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0][:300]


def _modified(entry: Mapping[str, Any]) -> datetime:
    """When an object was written, as the provider calls it."""
    for name in ("LastModified", "updated", "last_modified", "mtime", "created"):
        found = entry.get(name)
        if isinstance(found, str):
            found = datetime.fromisoformat(found.replace("Z", "+00:00"))
        if isinstance(found, datetime):
            return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
    return datetime.now(timezone.utc)
