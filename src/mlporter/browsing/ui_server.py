"""MLflow's server in a process of its own, over a scratch folder: started, asked, and stopped."""

from __future__ import annotations

import errno
import http.client
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.browsing.file_channel import serve_files
from mlporter.browsing.shared_names import ARTIFACT_ROOT, DATABASE, DESTINATION, HOST, TEMPORARY
from mlporter.errors import (
    AccessDeniedError,
    NeedsMlflowError,
    RefusedError,
    UnreachableError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from mlporter.stores.protocols import Source

__all__ = ["UiServer"]

_log = logging.getLogger(__name__)

_PREFIX = "mlporter-browse-"
_START_SECONDS = 300
"""How long MLflow may take to answer for the first time: it loads on slow disks, too."""
_END_SECONDS = 5
_FIRST_QUESTION = "/api/2.0/mlflow/experiments/search?max_results=1"
"""What shows that MLflow can read the scratch."""
_LAST_LINES = 20
_OTHERS = ("MLFLOW_", "_MLFLOW_")
"""How the variables begin by which the user's own MLflow is set up."""


class UiServer:
    """A server that loads while the scratch is being made, and is stopped by `close`.

    It ends, and the scratch folder goes, when this process ends, however that comes.

    Attributes:
        folder: Where the scratch goes.
        url: Where the UI is.

    Raises (when made):
        RefusedError: the port is taken.
        AccessDeniedError: the port is not for everybody.
        UnsupportedError: this is Windows.
    """

    def __init__(self, port: int | None = None, *, workspaces: bool = False) -> None:
        """Take the port, and start loading MLflow.

        Args:
            port: Of 127.0.0.1; None for a free one.
            workspaces: Whether MLflow is to use workspaces.
        """
        if os.name == "nt":
            raise UnsupportedError(
                "Windows hands no open connection on to MLflow's server, as browse needs it",
                hint="run it in WSL; or copy the place into a new database and run mlflow ui on it",
            )
        with _listening(port) as listener:
            self._port = listener.getsockname()[1]
            self.url = f"http://{HOST}:{self._port}"
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            (self.folder / TEMPORARY).mkdir()
            self._control, theirs = socket.socketpair()
            self._said: deque[str] = deque(maxlen=_LAST_LINES)
            try:
                with theirs:
                    self._process = self._started(listener, theirs, workspaces=workspaces)
            except BaseException:
                self._control.close()
                shutil.rmtree(self.folder, ignore_errors=True)
                raise
        threading.Thread(target=self._listen, daemon=True).start()

    def _started(
        self, listener: socket.socket, control: socket.socket, *, workspaces: bool
    ) -> subprocess.Popen[bytes]:
        numbers = {"control": control.fileno(), "listener": listener.fileno()}
        return subprocess.Popen(  # noqa: S603 -- our own code, in this very Python
            [
                sys.executable,
                *("-W", "ignore", "-m", "mlporter.browsing.server_process"),
                json.dumps({**numbers, "folder": str(self.folder)}),
            ],
            env=self._environment(workspaces=workspaces),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=tuple(numbers.values()),
            start_new_session=True,  # Ctrl-C is for this process, which then stops that one
        )

    def _environment(self, *, workspaces: bool) -> dict[str, str]:
        """This process's variables, without what would make it the user's own MLflow."""
        theirs = {k: value for k, value in os.environ.items() if not k.startswith(_OTHERS)}
        database = f"sqlite:///{self.folder / DATABASE}"
        return {
            **theirs,
            "_MLFLOW_SERVER_FILE_STORE": database,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": ARTIFACT_ROOT,
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": DESTINATION,
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "MLFLOW_ENABLE_WORKSPACES": "true" if workspaces else "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "GIT_PYTHON_REFRESH": "quiet",
            "TMPDIR": str(self.folder / TEMPORARY),
        }

    def _listen(self) -> None:
        """Keep the last of what the server says, for errors; all of it goes to the log."""
        stream = self._process.stdout
        if stream is None:
            return
        with stream:
            for line in stream:
                text = line.decode("utf-8", "replace").rstrip()
                _log.debug("server: %s", text)
                self._said.append(text)

    def begin(self, source: Source) -> None:
        """Serve the scratch, and the files of the source; returns when MLflow has answered.

        Raises:
            UnreachableError: it does not.
        """
        threading.Thread(target=serve_files, args=(self._control, source), daemon=True).start()
        connection = http.client.HTTPConnection(HOST, self._port, timeout=_START_SECONDS)
        try:
            self._control.sendall(b"!")
            connection.request("GET", _FIRST_QUESTION)
            answer = connection.getresponse()
            text = answer.read(1 << 12).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            raise self._failed("MLflow's server did not start") from None
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise UnreachableError(f"MLflow cannot show it: {text[:500]}", subject=self.url)

    def wait(self) -> None:
        """Wait until the process is interrupted.

        Raises:
            UnreachableError: the server ended by itself.
        """
        self._process.wait()
        raise self._failed("MLflow's server ended by itself")

    def _failed(self, what: str) -> UnreachableError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        last = next((line for line in reversed(self._said) if line.strip()), "")
        if last.startswith(("ModuleNotFoundError", "ImportError")):
            return NeedsMlflowError(
                f"the UI needs all of MLflow: {last}", hint="pip install mlflow"
            )
        told = f": {last}" if last else ""
        return UnreachableError(f"{what}{told}", hint="-v shows all that it said")

    def close(self) -> None:
        """Stop the server, and take the scratch away; does nothing the second time."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # the server ends itself by that
        self._control.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _listening(port: int | None) -> socket.socket:
    """A socket that takes requests already: whoever comes early waits."""
    try:
        return socket.create_server((HOST, port or 0), backlog=128)
    except OSError as error:
        if error.errno == errno.EACCES:
            raise AccessDeniedError(
                "this port is not for everybody",
                subject=f"{HOST}:{port}",
                hint="take one above 1023",
            ) from None
        if error.errno != errno.EADDRINUSE:
            raise
        raise RefusedError(
            "another program has this port",
            subject=f"{HOST}:{port}",
            hint="name another one, or leave --port out for a free one",
        ) from None
