"""Other processes: a server that holds a database, a writer that never stops.

A process of its own matters with SQLite: its locks are between processes, and two SQLite libraries
in one process (Python's and the driver's) do not see each other's.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HOLDER = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement)
print("ready", flush=True)
sys.stdin.read()
os._exit(0)  # as if killed: SQLite gets no chance to tidy up
"""


@contextmanager
def sqlite_held(path: Path, *statements: str) -> Iterator[None]:
    """A process that ran statements on a SQLite file and keeps it open; killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path), *statements],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


class Gate:
    """A way to a server through which nothing passes that names a certain text, until opened.

    So a test knows for certain, and without sleeping, that another process is in the middle of
    something: `wait` returns when the text has come to the closed gate.
    """

    def __init__(self, host: str, port: int, text: bytes) -> None:
        self._server = (host, port)
        self._text = text
        self._came = threading.Event()
        self._opened = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def wait(self, seconds: float = 60) -> None:
        """Until the text has come."""
        assert self._came.wait(seconds), f"nothing with {self._text!r} came in {seconds} s"

    def open(self) -> None:
        """Let everything pass from now on."""
        self._opened.set()

    def close(self) -> None:
        """Take no more connections."""
        self.open()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                for source, target, gated in ((client, server, True), (server, client, False)):
                    threading.Thread(
                        target=self._pass, args=(source, target, gated), daemon=True
                    ).start()

    def _pass(self, source: socket.socket, target: socket.socket, gated: bool) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(65536):
                if gated and self._text in data:
                    self._came.set()
                    self._opened.wait()
                target.sendall(data)
