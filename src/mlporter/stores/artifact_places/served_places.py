"""Places whose files a server lists and sends: behind its artifact proxy, or on its own machine."""

from __future__ import annotations

import posixpath
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.listing import Folder, Found, listed_inside, walk
from mlporter.artifacts.uris.allowed_hosts import PROXY
from mlporter.artifacts.uris.uri_text import safe_relative
from mlporter.errors import AccessDeniedError, RefusedError, UnreachableError
from mlporter.redaction import redact
from mlporter.stores.rest.answers import ApiError
from mlporter.stores.rest.client import quoted_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from mlporter.artifacts.places import Written
    from mlporter.stores.rest.client import Client


__all__ = ["ModelPlace", "ProxyPlace", "RunPlace"]


_NOT_FOUND = 404

_UNSAFE = "its name is not safe to use as a path"


class ServedPlace(ABC):
    """A place whose files a server lists and sends; how is said by those that inherit."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    @abstractmethod
    def uri(self) -> str:
        """What it is, for people; redacted."""

    @abstractmethod
    def _children(self, folder: str) -> Iterator[tuple[str, Mapping[str, object]]]:
        """What is in a folder: paths below the root, and what the server says of each."""

    @abstractmethod
    def _download(self, path: str) -> AbstractContextManager[BinaryIO]:
        """The bytes of a file."""

    def exists(self) -> bool:
        """Whether there is anything below it."""
        return any(True for _ in self._children(""))

    def list(self) -> Iterator[Found]:
        """All files below it; see `Place.list`. The server lists one folder at a time."""
        return walk(Folder(""), self._inside)

    def _inside(self, folder: Folder) -> Iterator[Found | Folder]:
        return listed_inside(folder, map(_child, self._children(folder.path)), _UNSAFE)

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """A file's bytes, streamed; see `Place.open`."""
        if not safe_relative(path):
            raise PermissionError(f"not a safe path: {path!r}")
        try:
            with self._download(path) as stream:
                yield stream
        except AccessDeniedError as error:
            raise PermissionError(str(error)) from None
        except UnreachableError as error:
            raise OSError(str(error)) from None

    def put(self, path: str, stream: BinaryIO) -> Written:  # noqa: ARG002 -- as `Place`
        """Nothing is ever written into a source."""
        raise RefusedError("a source is never written to", subject=self.uri)

    def _asked(self, path: str, query: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
        """The list of files in an answer; none where the server says that nothing is there."""
        try:
            found: Sequence[Mapping[str, object]] = self._client.get(path, query).get("files", [])
        except ApiError as error:
            if error.status == _NOT_FOUND and error.code:
                return []
            raise
        return found


def _child(said: tuple[str, Mapping[str, object]]) -> tuple[str, bool, int]:
    """Path, whether it is a folder, and bytes, from what the server says of one."""
    path, found = said
    is_folder = bool(found.get("is_dir"))
    return path, is_folder, 0 if is_folder else int(str(found.get("file_size") or 0))


class ProxyPlace(ServedPlace):
    """A place behind the server's artifact proxy.

    Args:
        client: Of the server.
        path: Below the server's artifact root; not quoted.
    """

    def __init__(self, client: Client, path: str) -> None:
        super().__init__(client)
        self._path = path

    @property
    def uri(self) -> str:
        """Its URI, redacted."""
        return f"mlflow-artifacts:/{redact(self._path)}"

    def _children(self, folder: str) -> Iterator[tuple[str, Mapping[str, object]]]:
        path = posixpath.join(self._path, folder) if folder else self._path
        for found in self._asked(PROXY, {"path": path}):
            yield posixpath.join(folder, str(found.get("path", ""))), found

    def _download(self, path: str) -> AbstractContextManager[BinaryIO]:
        parts = (part for part in (*self._path.split("/"), *path.split("/")) if part)
        return self._client.download("/".join((PROXY, *map(quoted_path, parts))))


class RunPlace(ServedPlace):
    """The files of a run on the server's own machine, of a server without a proxy.

    Args:
        client: Of the server.
        run: The run's id.
    """

    def __init__(self, client: Client, run: str) -> None:
        super().__init__(client)
        self._run = run

    @property
    def uri(self) -> str:
        """What it is, for people."""
        return f"run {self._run} on {self._client.subject}"

    def _children(self, folder: str) -> Iterator[tuple[str, Mapping[str, object]]]:
        query = {"run_id": self._run} | ({"path": folder} if folder else {})
        for found in self._asked("/api/2.0/mlflow/artifacts/list", query):
            yield str(found.get("path", "")), found

    def _download(self, path: str) -> AbstractContextManager[BinaryIO]:
        return self._client.download("/get-artifact", {"path": path, "run_uuid": self._run})


class ModelPlace(ServedPlace):
    """The files of a logged model on the server's own machine, of a server without a proxy.

    Args:
        client: Of the server.
        model: The logged model's id.
    """

    def __init__(self, client: Client, model: str) -> None:
        super().__init__(client)
        self._model = model

    @property
    def uri(self) -> str:
        """What it is, for people."""
        return f"logged model {self._model} on {self._client.subject}"

    def _children(self, folder: str) -> Iterator[tuple[str, Mapping[str, object]]]:
        query = {"artifact_directory_path": folder} if folder else {}
        path = f"/api/2.0/mlflow/logged-models/{self._model}/artifacts/directories"
        for found in self._asked(path, query):
            yield str(found.get("path", "")), found

    def _download(self, path: str) -> AbstractContextManager[BinaryIO]:
        where = f"/ajax-api/2.0/mlflow/logged-models/{self._model}/artifacts/files"
        return self._client.download(where, {"artifact_file_path": path})
