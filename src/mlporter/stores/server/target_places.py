"""Where a server keeps files, to be written to: through its proxy, or where they really are."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

from mlporter.artifacts.listing import files_of
from mlporter.artifacts.uris.allowed_folders import Roots
from mlporter.artifacts.uris.allowed_hosts import PROXY, Hosts
from mlporter.artifacts.uris.uri_text import UriMap, safe_relative
from mlporter.errors import OutsideError, RefusedError
from mlporter.redaction import redact
from mlporter.stores.artifact_places.mlflow_place import MlflowPlace
from mlporter.stores.artifact_places.places import Places
from mlporter.stores.artifact_places.proxies import Proxies
from mlporter.stores.artifact_places.served_places import ProxyPlace
from mlporter.stores.rest.client import quoted_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from mlporter.artifacts.places import Place, WholeObject, Written
    from mlporter.stores.rest.client import Client

__all__ = ["ServerPlaces"]

_PLACES = 256


class ServerPlaces:
    """Writes the files of what a server holds. Safe to use from several threads.

    Args:
        uri_map: ``FROM=TO`` pairs that say how places that are not behind the proxy are reached.
    """

    def __init__(self, client: Client, uri_map: tuple[str, ...] = ()) -> None:
        self._client = client
        self._map = UriMap.parse(uri_map)
        # A server may name any folder of this machine: not one that is nobody's artifact root.
        anywhere = Roots.of([Path(Path.cwd().anchor), *self._map.folders()])
        # Nor any other host, to which our files and credentials would go.
        hosts = Hosts.of(client.url, self._map.targets)
        self._proxies = Proxies(lambda: hosts, client, client.environment)
        self._places = Places(
            uri_map=self._map,
            tracking_uri=client.tracking_uri,
            roots=lambda: anywhere,
            hosts=lambda: hosts,
            environment=client.environment,
        )
        self._open = lru_cache(_PLACES)(self._opened)

    def _opened(self, root: str) -> Place:
        found = self._proxies.find(self._map.apply(root))
        if found is not None:
            return ProxyPlace(*found)
        try:
            return self._places.open(root)
        except OutsideError as error:
            raise OutsideError(
                f"the server keeps them in {error.subject}, which is the system's or somebody's "
                "own (--map-uri FOLDER=FOLDER writes into it)",
                subject=redact(root),
            ) from None

    def sizes(self, root: str) -> Mapping[str, int]:
        """The files at a place, and their bytes."""
        return {file.path: file.size for file in files_of(self._open(root).list())}

    def open(self, root: str, path: str) -> AbstractContextManager[BinaryIO]:
        """The bytes of a file that is there."""
        return self._open(root).open(path)

    def is_renamed(self, root: str, path: str) -> bool:
        """Whether a file would get another name: the proxy decodes `%20` and the like in names."""
        behind = self._proxies.find(self._map.apply(root)) is not None
        return behind and unquote(path) != path

    def put(
        self,
        root: str,
        path: str,
        size: int,
        open_bytes: Callable[[], AbstractContextManager[BinaryIO]],
        whole: WholeObject | None = None,
    ) -> Written | None:
        """Write a file, over one that is there: an upload that was cut may have left a part.

        Returns:
            What was written; None of what the server took, and said nothing of.

        Raises:
            RefusedError: the path is not safe; or the place is not behind the proxy, and has
                another file there.
            OutsideError: the place is not behind the proxy, and nobody's artifact root here.
        """
        if not safe_relative(path):
            raise RefusedError("the path of an artifact is not safe", subject=path)
        found = self._proxies.find(self._map.apply(root))
        if found is None:
            place = self._open(root)
            if isinstance(place, MlflowPlace):
                return place.put_from(path, open_bytes, whole)
            with open_bytes() as stream:
                return place.put(path, stream)
        client, proxied = found
        parts = (part for part in (*proxied.split("/"), *path.split("/")) if part)
        where = "/".join((PROXY, *(quoted_path(part) for part in parts)))
        client.upload(where, size, open_bytes)
        return None
