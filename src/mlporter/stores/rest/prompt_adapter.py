"""Connections that acknowledge at once what arrives.

MLflow's server has several workers unless told otherwise, and uvicorn then leaves Nagle's algorithm
on: it sends the head of an answer, and holds the body back until the head is acknowledged. A
connection that stays open acknowledges with a delay, of 40 ms on Linux, which each answer would
take longer.
"""

from __future__ import annotations

import contextlib
import socket
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from urllib3 import ProxyManager
    from urllib3.response import HTTPResponse

__all__ = ["PromptAdapter", "cut_all"]

_AT_ONCE: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Linux only. It holds for a few packets, so it is set for each answer."""


_sockets: WeakSet[socket.socket] = WeakSet()
_lock = Lock()


def cut_all() -> None:
    """Cut all connections: whoever waits for an answer gets none, at once."""
    with _lock:
        found = list(_sockets)
    for one in found:
        # Of what is gone already. TLS would say good-bye first, and wait.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(one, socket.SHUT_RDWR)


class _Prompt(HTTPConnection):
    """A connection that acknowledges answers at once, where the system can do it."""

    def connect(self) -> None:
        """As `HTTPConnection` has it."""
        super().connect()
        if self.sock is not None:
            with _lock:
                _sockets.add(self.sock)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 has it
        """As `HTTPConnection` has it."""
        if _AT_ONCE is not None and self.sock is not None:
            # It is only faster: a socket that does not know it (a proxy's TLS in TLS) does without.
            with contextlib.suppress(OSError, AttributeError):
                self.sock.setsockopt(socket.IPPROTO_TCP, _AT_ONCE, 1)
        return super().getresponse()


class _PromptTls(_Prompt, HTTPSConnection):
    """The same with TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Prompt


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _PromptTls


_POOLS = {"http": _Pool, "https": _TlsPool}


class PromptAdapter(HTTPAdapter):
    """Sends requests over such connections, directly or through a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- as it takes them
        """As `HTTPAdapter` has it."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:  # noqa: ANN401
        """As `HTTPAdapter` has it."""
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager
