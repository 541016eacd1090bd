"""Tracking servers as places of files: only those that may be asked, each with its credentials."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from mlporter.redaction import redact
from mlporter.stores.addresses.environment import PROCESS, Environment
from mlporter.stores.needing_mlflow import needing_mlflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.artifacts.places import Place
    from mlporter.artifacts.uris.allowed_hosts import Hosts, Proxy
    from mlporter.stores.rest.client import Client

__all__ = ["Proxies"]

_CLIENTS = 16


class Proxies:
    """The artifact proxies that one registry's files may lie behind.

    Args:
        hosts: Asked when the first place is opened: what rows record is not known before.
        own: Of the server that is read or written, if one is: it is connected already.
        environment: The variables by which the others are reached.
    """

    def __init__(
        self,
        hosts: Callable[[], Hosts],
        own: Client | None = None,
        environment: Environment = PROCESS,
    ) -> None:
        self._environment = environment
        self._find_hosts = hosts
        self._own = own
        self._client = lru_cache(_CLIENTS)(self._new_client)

    @cached_property
    def _hosts(self) -> Hosts:
        return self._find_hosts()

    def check(self, uri: str) -> None:
        """Refuse a URI that makes this machine talk to a host that only a row names.

        Raises:
            OutsideError: it is one.
        """
        self._hosts.find(uri)

    def find(self, uri: str) -> tuple[Client, str] | None:
        """What sends requests to the server behind a URI, and the path there; or None.

        Raises:
            OutsideError: see `check`.
        """
        found = self._hosts.find(uri)
        if found is None:
            return None
        proxy, path = found
        return self._client(proxy), path

    def place(self, uri: str) -> Place | None:
        """The place behind a server, to be read; None where a URI is none.

        Raises:
            OutsideError: see `check`.
        """
        found = self.find(uri)
        if found is None:
            return None
        from mlporter.stores.artifact_places.served_places import ProxyPlace  # noqa: PLC0415 -- imports MLflow

        return ProxyPlace(*found)

    def _new_client(self, proxy: Proxy) -> Client:
        if self._own is not None and proxy.is_home:
            return self._own
        with needing_mlflow("a tracking server", redact(proxy.url)):
            from mlporter.stores.rest.client import Client  # noqa: PLC0415 -- imports MLflow

        environment, is_theirs = self._environment, proxy.has_settings
        return Client(proxy.url, environment=environment, has_settings=is_theirs)
