"""MLflow's server answers at once what its Flask application answers.

That is nearly all. In MLflow since 3.2 it stands behind FastAPI, and what Starlette does to hand a
request from the event loop through all layers to a thread, and the answer back in pieces, takes
four times as long as what MLflow does for it. Here such a request goes to a thread and back, and
that is all. Whatever somebody may have set up in those layers gets its requests as ever: another
host name, an origin, workspaces, users, FastAPI's own endpoints. Files do too, as they are
streamed. MLflow in another Python than that of the tests (the matrix) has all as it comes.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_QUICK = "/api/2.0/mlflow/"
"""Below it FastAPI has no endpoint of its own."""


def answer_at_once() -> None:
    """From now on, in this process, if there is such a server."""
    if os.environ.get("MLFLOW_ENABLE_WORKSPACES", "false").lower() in {"true", "1"}:
        return
    try:
        served: Any = importlib.import_module("mlflow.server.fastapi_app")
    except ImportError:
        return  # MLflow before 3.2
    served.app = Shortcut(served.app)


class Shortcut:
    """MLflow's ASGI application, with a way around it."""

    def __init__(self, app: Any) -> None:
        self._app = app
        flask = getattr(app.router.routes[-1], "app", None)
        self._flask: Callable[..., Any] | None = getattr(flask, "app", None)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if self._flask is None or scope["type"] != "http" or not self._is_flasks(scope):
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        head, text = await loop.run_in_executor(None, context.run, self._answer, scope, body)
        await send(head)
        await send({"type": "http.response.body", "body": text})

    def _is_flasks(self, scope: Any) -> bool:
        if not scope["path"].startswith(_QUICK):
            return False
        headers = dict(scope["headers"])
        return headers.get(b"host", b"").startswith(b"127.0.0.1:") and b"origin" not in headers

    def _answer(self, scope: Any, body: bytes) -> tuple[dict[str, Any], bytes]:
        assert self._flask is not None
        wsgi: Any = importlib.import_module("starlette.middleware.wsgi")
        head: dict[str, Any] = {"type": "http.response.start"}

        def start(status: str, headers: list[tuple[str, str]], _failed: object = None) -> None:
            head["status"] = int(status.split(" ", 1)[0])
            head["headers"] = [
                (name.strip().lower().encode("ascii"), value.strip().encode("ascii"))
                for name, value in headers
            ]

        pieces = self._flask(wsgi.build_environ(scope, body), start)
        return head, b"".join(pieces)
