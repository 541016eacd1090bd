"""mlporter and MLflow's server in processes of their own."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .forks import Forked, start
from .mlflow_session import QUIET_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Runs a command line of mlporter; at the first step that begins with the first argument it says
#: so, and goes on when its input ends.
_PAUSED = """
import sys
import mlporter as api
from mlporter.cli.app import run

step, verb, *rest = sys.argv[1:]
name = {"import": "import_"}.get(verb, verb)
really = getattr(api, name)

def pausing(*args, on_progress, **options):
    paused = []
    def tell(told, *numbers):
        if told.startswith(step) and not paused:
            paused.append(True)
            print("paused", flush=True)
            sys.stdin.read()
    return really(*args, on_progress=tell, **options)

setattr(api, name, pausing)
sys.exit(run([verb, *rest]))
"""


_FIRST_PORT = 20_000
"""Below those that Linux takes for outgoing connections (32,768 and more)."""
_PORTS_EACH = 2_000
_PORTS = itertools.count(os.getpid())


def mlporter_process(*words: object, paused_at: str = "") -> Forked:
    """mlporter in another process; with ``paused_at`` it waits there until `go_on`."""
    what = ["-c", _PAUSED, paused_at] if paused_at else ["-m", "mlporter"]
    environment = {**os.environ, **QUIET_ENVIRONMENT, "MLFLOW_LOGGING_LEVEL": "WARNING"}
    return start(["-W", "ignore", *what, *words], environment=environment)


def wait_until_paused(process: Forked) -> None:
    """Return when the process has come to where it pauses."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "paused\n", (line, process.communicate())


def go_on(process: Forked) -> tuple[int, str]:
    """Let a process end; its exit code and what people read."""
    _, said = process.communicate(timeout=120)
    return process.returncode, said


@contextmanager
def mlflow_server(
    database: str,
    folder: Path,
    *options: str,
    python: str | Path = sys.executable,
    **environment: str,
) -> Iterator[str]:
    """``mlflow server`` on a database, with its files in a folder; its address.

    Args:
        database: Address for ``--backend-store-uri``.
        folder: For ``--artifacts-destination``, unless options name another root.
        options: More options of the command.
        python: Whose MLflow runs it.
        environment: More variables for it.
    """
    port = _free_port()
    folder.mkdir(parents=True, exist_ok=True)
    words = ["-m", "mlflow", "server", "--backend-store-uri", database]
    if "--no-serve-artifacts" not in options:
        words += ["--artifacts-destination", str(folder)]
    if "--workers" not in options:
        words += ["--workers", "1"]
    words += ["--host", "127.0.0.1", "--port", str(port), *options]
    log = folder.with_name(f"{folder.name}.log")
    # No jobs: they write into the database on their own account.
    jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    variables = {**os.environ, **QUIET_ENVIRONMENT, **jobs, **environment}
    server = _started(str(python), words, variables, folder, log)
    address = f"http://127.0.0.1:{port}"
    try:
        while not _is_up(address):
            assert server.poll() is None, log.read_text()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.02)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _started(
    python: str, words: list[str], environment: dict[str, str], folder: Path, log: Path
) -> Forked | subprocess.Popen[bytes]:
    """A process group of its own: stopping the command alone would leave its server running."""
    if python == sys.executable:
        return start(words, environment=environment, folder=folder, log=log, own_session=True)
    with log.open("w") as out:
        return subprocess.Popen(
            [python, *words],
            cwd=folder,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=environment,
        )


def _free_port() -> int:
    """A port that no other worker of the tests takes, nor the system for a connection.

    A server takes seconds to start, and would meanwhile lose one that the system chose.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = _FIRST_PORT + worker * _PORTS_EACH + next(_PORTS) % _PORTS_EACH
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5):  # noqa: S310 -- http
            return True
    except OSError:
        return False
