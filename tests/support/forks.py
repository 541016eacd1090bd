"""Python processes that start at once: forks of one that has imported all that is slow.

A process that imports MLflow takes seconds before it does anything, and the tests start hundreds.
Here one process imports it and then forks whenever another is wanted (`forkserver`): each is a
process of its own, which can be killed, holds its own locks, and has its own environment, folder
and streams. What is about the start itself (what gets imported, how long that takes, how much
memory), or about the few variables that MLflow reads when it is imported, needs a real one:
`subprocess`.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import functools
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Forked:
    """A process; what `subprocess.Popen` would be, as far as the tests ask."""

    def __init__(self, connection: socket.socket, streams: Sequence[IO[str] | None]) -> None:
        self._connection = connection
        self._answers = connection.makefile("r")
        self.pid = int(self._answers.readline())
        self.stdin, self.stdout, self.stderr = streams
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended, if it has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """How it ended: its exit code, or less than 0 for the signal that ended it."""
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._connection, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._connection.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """End its input and read what it still says until its end."""
        said = ["", ""]

        def read(place: int, stream: IO[str]) -> None:
            with stream:
                said[place] = stream.read()

        if self.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.stdin.close()
        threads = [
            threading.Thread(target=read, args=(place, stream), daemon=True)
            for place, stream in enumerate((self.stdout, self.stderr))
            if stream and not stream.closed
        ]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join()
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def start(
    words: Sequence[object],
    *,
    environment: Mapping[str, str],
    folder: Path | None = None,
    log: Path | None = None,
    own_session: bool = False,
) -> Forked:
    """A process for ``python *words``.

    Args:
        words: ``-m module`` or ``-c code`` and arguments, maybe with ``-W action`` before them.
        environment: All of its variables.
        folder: Where it runs; here, unless said otherwise.
        log: Where it writes; otherwise its streams are pipes.
        own_session: Whether it gets a process group of its own, and can be stopped with its
            children.
    """
    request = {
        "words": [str(word) for word in words],
        "environment": dict(environment),
        "folder": str(folder or Path.cwd()),
        "own_session": own_session,
    }
    with contextlib.ExitStack() as theirs:
        ours: list[IO[str] | None] = [None, None, None]
        if log is None:
            streams = []
            for place in range(3):
                reading, writing = os.pipe()
                kept, given = (reading, writing) if place else (writing, reading)
                theirs.callback(os.close, given)
                streams.append(given)
                ours[place] = os.fdopen(kept, "r" if place else "w", encoding="utf-8")
        else:
            out = theirs.enter_context(log.open("w")).fileno()
            null = theirs.enter_context(Path(os.devnull).open()).fileno()
            streams = [null, out, out]
        return Forked(_ask(request, streams), ours)


def run(
    words: Sequence[object], folder: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """``python *words`` to its end, with more variables than are set here."""
    process = start(words, environment={**os.environ, **variables}, folder=folder)
    out, err = process.communicate()
    return subprocess.CompletedProcess(words, process.returncode or 0, out, err)


def _ask(request: dict[str, Any], streams: Sequence[int]) -> socket.socket:
    text = json.dumps(request).encode()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(_socket()))
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))
    connection.sendmsg([struct.pack("!I", len(text))], [rights])
    connection.sendall(text)
    return connection


def commands(folder: Path) -> Path:
    """A folder for the front of ``PATH``, with ``mlporter``, ``mlflow`` and ``python``."""
    folder.mkdir()
    words = {"mlporter": ["-m", "mlporter"], "mlflow": ["-m", "mlflow"], "python": []}
    for name, first in words.items():
        program = folder / name
        program.write_text(_PROGRAM.format(sys.executable, str(_socket()), first))
        program.chmod(0o755)
    return folder


_PROGRAM = """#!{0} -IS
import array, json, os, socket, struct, sys
words = {2!r} + sys.argv[1:]
more = []
if "mlporter.browsing.server_process" in words:  # It is given more than its streams.
    more = [number for number in json.loads(words[-1]).values() if isinstance(number, int)]
request = dict(words=words, environment=dict(os.environ), folder=os.getcwd(), own_session=False)
text = json.dumps(dict(request, more=more)).encode()
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect({1!r})
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2] + more))
    connection.sendmsg([struct.pack("!I", len(text))], [rights])
    connection.sendall(text)
    for number in more:
        os.close(number)
    code = int(connection.makefile().read().split()[1])
sys.exit(code if code >= 0 else 128 - code)
"""
"""Has its work done by a fork, which gets its streams. Python without modules starts at once."""


class _Forkserver:
    """The process that has imported everything; it ends with this one, however this one ends."""

    def __init__(self) -> None:
        # Paths of sockets may have about 100 characters, and pytest's own folders are long.
        self.socket = Path(tempfile.mkdtemp(prefix="mlp"), "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.socket))
            listener.listen(64)
            script = Path(__file__).with_name("forkserver.py")
            self._process = subprocess.Popen(
                [sys.executable, script, str(listener.fileno()), self.socket],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
        atexit.register(self._process.communicate)


_SHARED = "MLPORTER_TESTS_FORKSERVER"
"""The variable that says where the one that all workers of pytest-xdist share is asked."""


def share_forkserver() -> None:
    """Start one for the workers that this process will start: each would import for seconds."""
    os.environ[_SHARED] = str(_Forkserver().socket)


def fork_workers(specifications: Sequence[str]) -> list[str]:
    """How pytest-xdist starts its workers, as forks of it.

    Args:
        specifications: What execnet is told of each of them.
    """
    python = commands(_socket().with_name("bin")) / "python"
    return [f"popen//python={python}" if words == "popen" else words for words in specifications]


@functools.cache
def _socket() -> Path:
    shared = os.environ.get(_SHARED)
    return Path(shared) if shared else _Forkserver().socket
