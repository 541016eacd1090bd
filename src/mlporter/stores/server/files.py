"""The artifact files of a registry behind a server: through its proxy, or where they really are."""

from __future__ import annotations

import posixpath
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from mlporter.artifacts.places import FoundFile, Listing, Problem
from mlporter.artifacts.uris import UriMap, safe_relative, scheme_of
from mlporter.errors import AccessDeniedError, RefusedError, UnreachableError
from mlporter.redaction import redact
from mlporter.stores.files import StoreFiles
from mlporter.stores.places import Places
from mlporter.stores.server.answers import ApiError
from mlporter.stores.server.client import quoted_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlporter.artifacts.places import Place, Written
    from mlporter.stores.server.client import Client
    from mlporter.stores.versions import TableReader

__all__ = ["ProxyPlace", "server_files"]

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_PLACES = 256
_NOT_FOUND = 404
_UNSAFE = "its name is not safe to use as a path"


def server_files(
    reader: TableReader, client: Client, uri_map: tuple[str, ...], workers: int
) -> StoreFiles:
    """The files behind the URIs that a server gives."""
    parsed = UriMap.parse(uri_map)
    places = Places(uri_map=parsed, tracking_uri=client.url)

    @lru_cache(_PLACES)
    def opened(uri: str) -> Place:
        address = parsed.apply(uri)
        path = proxied_path(address, client)
        if path is not None:
            return ProxyPlace(client, path)
        return places.open(uri)

    return StoreFiles(reader, opened, workers)


def proxied_path(uri: str, client: Client) -> str | None:
    """The path of a ``mlflow-artifacts:`` URI behind this server; None for any other URI."""
    if scheme_of(uri) != "mlflow-artifacts":
        return None
    parts = urlsplit(uri)
    if parts.netloc and parts.netloc.rpartition("@")[2] != urlsplit(client.url).netloc:
        return None
    return uri.partition(":")[2].removeprefix(f"//{parts.netloc}").strip("/")


class ProxyPlace:
    """A place behind the server's artifact proxy.

    Args:
        client: Of the server.
        path: Below the server's artifact root; not quoted.
    """

    def __init__(self, client: Client, path: str) -> None:
        self._client = client
        self._path = path

    @property
    def uri(self) -> str:
        """Its URI, redacted."""
        return f"mlflow-artifacts:/{redact(self._path)}"

    def exists(self) -> bool:
        """Whether there is anything below it."""
        return bool(self._children(""))

    def list(self) -> Listing:
        """All files below it; see `Place.list`."""
        files: list[FoundFile] = []
        problems: list[Problem] = []
        pending = [""]
        while pending:
            folder = pending.pop()
            for found in self._children(folder):
                name = str(found.get("path", ""))
                path = posixpath.join(folder, name)
                if not safe_relative(path) or "/" in name:
                    problems.append(Problem(path, "unsafe-path", _UNSAFE))
                elif found.get("is_dir"):
                    pending.append(path)
                else:
                    files.append(FoundFile(path, int(str(found.get("file_size") or 0))))
        ordered = sorted(files, key=lambda file: file.path.encode())
        return Listing(tuple(ordered), tuple(problems))

    def _children(self, folder: str) -> Sequence[Mapping[str, object]]:
        path = posixpath.join(self._path, folder) if folder else self._path
        try:
            found: Sequence[Mapping[str, object]] = self._client.get(PROXY, {"path": path}).get(
                "files", []
            )
        except ApiError as error:
            if error.status == _NOT_FOUND and error.code:
                return []
            raise
        return found

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """A file's bytes, streamed; see `Place.open`."""
        if not safe_relative(path):
            raise PermissionError(f"not a safe path: {path!r}")
        where = "/".join((PROXY, *(quoted_path(part) for part in self._parts(path))))
        try:
            with self._client.download(where) as stream:
                yield stream
        except AccessDeniedError as error:
            raise PermissionError(str(error)) from None
        except UnreachableError as error:
            raise OSError(str(error)) from None

    def _parts(self, path: str) -> Iterator[str]:
        return (part for part in (*self._path.split("/"), *path.split("/")) if part)

    def put(self, path: str, stream: BinaryIO) -> Written:  # noqa: ARG002 -- as `Place`
        """Nothing is ever written into a source."""
        raise RefusedError("a source is not written to", subject=self.uri)
