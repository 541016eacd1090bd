"""A web server that notes what it is sent, and sends a file as MLflow's proxy would."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NAME", "PLANTED", "PROXY", "Listener", "listening"]

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
NAME = "planted.txt"
PLANTED = b"what only the internal network may see"


@dataclass
class Listener:
    """What it was asked: methods and paths, and the headers that came with them.

    Attributes:
        leads_to: Where it sends every request for a file instead, if anywhere.
    """

    host: str
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    leads_to: str = ""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}"

    @property
    def heads(self) -> str:
        """All headers that it was ever sent."""
        return "\n".join(
            f"{name}: {value}" for *_, head in self.asked for name, value in head.items()
        )


@contextmanager
def listening() -> Iterator[Listener]:
    """Run one on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _noted(self) -> None:
            found.asked.append((self.command, self.path, dict(self.headers)))

        def _send(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._noted()
            if self.path.split("?")[0].endswith(PROXY):
                file = {"path": NAME, "is_dir": False, "file_size": len(PLANTED)}
                self._send(200, json.dumps({"files": [file]}).encode())
            elif found.leads_to:
                self._send(302, b"", Location=f"{found.leads_to}{self.path}")
            else:
                self._send(200, PLANTED)

        def do_PUT(self) -> None:
            self._noted()
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._send(200, b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Listener(f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
