"""MLflow's application behind a gate: what is refused never gets to it. For ASGI and for WSGI."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mlporter.browsing.reading_requests import REFUSED_STATUS, is_refused, refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    Message = MutableMapping[str, Any]
    AsgiApp = Callable[
        [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
        Awaitable[None],
    ]
    WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

__all__ = ["read_only_asgi", "read_only_wsgi"]

_log = logging.getLogger(__name__)


def read_only_asgi(app: AsgiApp) -> AsgiApp:
    """MLflow's application since 3.3, without what writes."""

    async def gate(
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        why = None
        if scope["type"] == "http":
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            why = is_refused(scope["method"], scope["path"], host)
        if why is None:
            await app(scope, receive, send)
            return
        body = _refused(why)
        headers = [(name.lower().encode(), value.encode()) for name, value in _headers(body)]
        await send({"type": "http.response.start", "status": REFUSED_STATUS, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return gate


def read_only_wsgi(app: WsgiApp) -> WsgiApp:
    """The application of older MLflows, without what writes."""

    def gate(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        why = is_refused(environ["REQUEST_METHOD"], path, environ.get("HTTP_HOST", ""))
        if why is None:
            return app(environ, start_response)
        body = _refused(why)
        start_response(f"{REFUSED_STATUS} Forbidden", _headers(body))
        return [body]

    return gate


def _refused(why: str) -> bytes:
    _log.warning("refused: %s", why)
    return refusal(why)


def _headers(body: bytes) -> list[tuple[str, str]]:
    return [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
