"""A web server that answers as told: every fault that a proxy or a tired server can have."""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Answer:
    """What is sent back; ``length`` promises more bytes than come, and then it hangs up."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    length: int | None = None
    hang_up: bool = False
    """Close the connection without a word."""
    wait_for: threading.Event | None = None
    """Answer only when this is set."""


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    """A JSON answer."""
    return Answer(status, json.dumps(value).encode(), headers)


HTML = Answer(502, b"<html><title>Bad gateway</title></html>", kind="text/html")
LOGIN = Answer(200, b"<html><title>Log in</title></html>", kind="text/html")


@dataclass
class Request:
    """What came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class _Quiet(ThreadingHTTPServer):
    """Says nothing when a client hangs up."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """It is one of the faults."""


class FaultyServer:
    """Answers each path with what was put in line for it; the last one in line stays."""

    def __init__(self) -> None:
        self.came: list[Request] = []
        self._lines: dict[str, deque[Answer]] = defaultdict(deque)
        self.connections = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server.connections += 1
                super().setup()

            def answer(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(size)
                path = self.path.partition("?")[0]
                server.came.append(Request(self.command, self.path, dict(self.headers), body))
                line = server._lines[path]
                answer = (line.popleft() if len(line) > 1 else line[0]) if line else Answer(404)
                if answer.wait_for:
                    answer.wait_for.wait(60)
                if answer.hang_up:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Type", answer.kind)
                self.send_header("Content-Length", str(answer.length or len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)
                self.close_connection = self.close_connection or answer.length is not None

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def says(self, path: str, *answers: Answer) -> None:
        """Put answers in line for a path."""
        self._lines[path].extend(answers)

    def serve(self) -> None:
        """Until closed."""
        self._server.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def faulty_server() -> Iterator[FaultyServer]:
    """A server for the length of a block."""
    server = FaultyServer()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
