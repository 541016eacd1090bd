"""The process of MLflow's server: started by `ui_server`, and gone when that is."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.browsing.file_index import FileIndex
from mlporter.browsing.gate import read_only_asgi, read_only_wsgi
from mlporter.browsing.shared_names import INDEX

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main"]

_PATIENCE = 2
"""Seconds for open connections to end."""


def main(control: socket.socket, listener: socket.socket, folder: Path) -> None:
    """Load MLflow while the scratch is being made, and serve it as soon as it is there.

    Args:
        control: To the process that started this one; when it ends, so does this.
        listener: Where requests come in.
        folder: Of the scratch; removed when this process is left alone.
    """
    os.chdir(folder)  # where MLflow may leave what it likes
    begun = threading.Event()
    threading.Thread(target=_watch, args=(control, folder, begun), daemon=True).start()
    from mlporter.browsing.artifact_repository import register  # noqa: PLC0415 -- loads MLflow

    serve = _loaded(listener)
    begun.wait()
    register(FileIndex(folder / INDEX), control)
    serve()


def _watch(control: socket.socket, folder: Path, begun: threading.Event) -> None:
    while control.recv(1):
        begun.set()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _loaded(listener: socket.socket) -> Callable[[], object]:
    """What runs MLflow's server: as an ASGI application, or WSGI where it is not one yet."""
    try:
        from mlflow.server.fastapi_app import app  # noqa: PLC0415 -- as above
    except ModuleNotFoundError as error:
        if error.name != "mlflow.server.fastapi_app":
            raise
        return _wsgi(listener)
    import uvicorn  # noqa: PLC0415

    # No lifespan: MLflow's clears away what other servers on this machine may be using.
    config = uvicorn.Config(
        read_only_asgi(app),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_PATIENCE,
    )
    return lambda: uvicorn.Server(config).run([listener])


def _wsgi(listener: socket.socket) -> Callable[[], object]:
    from mlflow.server import app  # noqa: PLC0415 -- as above
    from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415

    class Quiet(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nobody asked."""

    host, port = listener.getsockname()
    return make_server(
        host,
        port,
        read_only_wsgi(app),
        threaded=True,
        request_handler=Quiet,
        fd=listener.fileno(),
    ).serve_forever


if __name__ == "__main__":
    _given = json.loads(sys.argv[1])
    main(
        socket.socket(fileno=_given["control"]),
        socket.socket(fileno=_given["listener"]),
        Path(_given["folder"]),
    )
