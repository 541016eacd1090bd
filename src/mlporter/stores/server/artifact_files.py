"""The artifact files of a registry behind a server: through its proxy, or where they really are."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from mlporter.artifacts.places import LocalPlace
from mlporter.artifacts.uris.allowed_folders import Roots
from mlporter.artifacts.uris.allowed_hosts import Hosts
from mlporter.artifacts.uris.uri_text import UriMap, canonical, scheme_of
from mlporter.errors import OutsideError, UnreachableError
from mlporter.stores.artifact_places.places import Places
from mlporter.stores.artifact_places.proxies import Proxies
from mlporter.stores.artifact_places.recorded_files import StoreFiles, recorded_places
from mlporter.stores.artifact_places.served_places import ModelPlace, RunPlace

if TYPE_CHECKING:
    from pathlib import Path

    from mlporter.artifacts.places import Place
    from mlporter.stores.rest.client import Client
    from mlporter.stores.rows.version_locations import TableReader


__all__ = ["server_files"]


_PLACES = 256

_RUN = re.compile(r"/([0-9a-f]{32})/artifacts$")

_MODEL = re.compile(r"/models/(m-[0-9a-z]+)/artifacts$")


def server_files(
    reader: TableReader,
    client: Client,
    uri_map: tuple[str, ...],
    workers: int,
    allowed: tuple[Path, ...] = (),
) -> StoreFiles:
    """The files behind the URIs that a server gives.

    A server is another machine, or may say so: a folder that it names is only looked for on this
    one if the user says that it is here.
    """
    parsed = UriMap.parse(uri_map)
    roots = Roots.of((*allowed, *parsed.folders()))

    def hosts() -> Hosts:
        return Hosts.of(client.url, parsed.targets, recorded_places(reader, parsed))

    proxies = Proxies(hosts, client, client.environment)
    places = Places(
        uri_map=parsed,
        tracking_uri=client.tracking_uri,
        roots=lambda: roots,
        hosts=hosts,
        environment=client.environment,
    )

    @lru_cache(_PLACES)
    def opened(uri: str) -> Place:
        address = parsed.apply(uri)
        return proxies.place(address) or _here_or_sent(client, places, address)

    def check(uri: str) -> None:
        address = parsed.apply(uri)
        proxies.check(address)
        if scheme_of(address) in {"", "file"}:
            opened(uri)

    return StoreFiles(reader, opened, check, workers)


def _here_or_sent(client: Client, places: Places, uri: str) -> Place:
    """A place that is not behind the proxy: here, in an object store, or sent by the server."""
    served = _served(client, uri)
    try:
        place = places.open(uri)
    except UnreachableError as error:
        if served is not None:
            return served
        if isinstance(error, OutsideError):
            raise OutsideError(
                "a folder of the server's machine, which does not send what is in it",
                subject=error.subject or "",
                hint=f"if it is on this machine too, {error.hint}",
            ) from None
        raise
    is_here = not isinstance(place, LocalPlace) or place.exists()
    return place if is_here or served is None else served


def _served(client: Client, uri: str) -> Place | None:
    """The files in a folder of the server's machine, where it sends them; or None."""
    if scheme_of(uri) not in {"", "file"}:
        return None
    path = canonical(uri).path
    if found := _RUN.search(path):
        return RunPlace(client, found[1])
    if found := _MODEL.search(path):
        return ModelPlace(client, found[1])
    return None
