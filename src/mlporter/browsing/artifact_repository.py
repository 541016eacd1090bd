"""The artifacts of what is browsed, as MLflow's server sees them: listed from an index."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry

from mlporter.browsing.file_channel import fetch
from mlporter.browsing.shared_names import SCHEME
from mlporter.errors import UnreachableError

if TYPE_CHECKING:
    import socket

    from mlporter.browsing.file_index import FileIndex

__all__ = ["register"]


def register(index: FileIndex, control: socket.socket) -> None:
    """Let MLflow, in this process, find the files of an index behind `DESTINATION`.

    No entry point does it: no other process of the user's is to know this scheme.
    """

    def opened(
        artifact_uri: str,
        tracking_uri: str | None = None,  # noqa: ARG001 -- MLflow 3 tells more than we ask for
        registry_uri: str | None = None,  # noqa: ARG001 -- as above
    ) -> ArtifactRepository:
        return _Browsed(artifact_uri, index, control)

    _artifact_repository_registry.register(SCHEME, opened)


class _Browsed(ArtifactRepository):
    def __init__(self, uri: str, index: FileIndex, control: socket.socket) -> None:
        super().__init__(uri)
        self._below = urlsplit(uri).path
        self._index = index
        self._control = control

    def _place(self, path: str | None) -> str:
        return posixpath.join(self._below, path or "").strip("/")

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """What lies in a folder."""
        return [
            FileInfo(posixpath.join(path or "", entry.name), entry.size is None, entry.size)
            for entry in self._index.entries(self._place(path))
        ]

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        file = self._index.file(self._place(remote_file_path))
        if file is None:
            raise MlflowException(
                f"There is no file {remote_file_path}", error_code=RESOURCE_DOES_NOT_EXIST
            )
        try:
            with Path(local_path).open("wb") as into:
                fetch(self._control, file, into)
        except UnreachableError as error:
            raise MlflowException(str(error)) from error

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> NoReturn:  # noqa: ARG002
        """Refuse: the gate does, before it comes to this."""
        raise MlflowException("what is browsed is read-only", error_code=PERMISSION_DENIED)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> NoReturn:
        """Refuse."""
        self.log_artifact(local_dir, artifact_path)

    def delete_artifacts(self, artifact_path: str | None = None) -> NoReturn:
        """Refuse."""
        self.log_artifact("", artifact_path)
