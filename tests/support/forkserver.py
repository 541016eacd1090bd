"""A script that imports everything slow, and then forks for whoever asks; see `forks`.

A request comes over a socket: what to run, with the streams to run it on. Its answer is the id of
the process in a line, and how it ended in another.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import shutil
import signal
import socket
import struct
import sys
import threading
import traceback
import warnings
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SLOW = (
    "alembic.command",
    "boto3",
    "flask_wtf",
    "mlflow.cli",
    "mlflow.db",
    "mlflow.pyfunc",
    "mlflow.server.fastapi_app",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "moto.iam.urls",
    "moto.s3.urls",
    "moto.server",
    "pandas",
    "psycopg2",
    "pyarrow.parquet",
    "pymysql",
    "sklearn.ensemble",
    "uvicorn.main",
)
"""Imported beforehand, where there is such a module; and all of mlporter."""

ANSWERS = "tests.support.quick_answers"

LENGTH = struct.Struct("!I")
MOST = 8
"""File descriptors that a process is given."""

PYTHON = "MLPORTER_TESTS_PYTHON"
"""The variable that names what forks start as their own Python, if that is to be a fork, too."""


class Forkserver:
    """Waits for requests, for the ends of forks, and for its own end: that of its input."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._running: dict[int, socket.socket] = {}
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Until the input ends; what still runs then is killed."""
        with selectors.DefaultSelector() as selector:
            for source in (sys.stdin, self._listener, self._woken):
                selector.register(source, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    self._woken.recv(4096)
                    self._tell_ends()
                if self._listener in ready:
                    self._fork()
                if sys.stdin in ready:
                    break
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)

    def _fork(self) -> None:
        connection, _ = self._listener.accept()
        request, streams = received(connection)
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            mine = (self._listener, self._woken, self._wake)
            for descriptor in (*mine, connection, *self._running.values()):
                descriptor.close()
            become(request, streams)
        for descriptor in streams:
            os.close(descriptor)
        self._running[pid] = connection
        answer(connection, pid)

    def _tell_ends(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with self._running.pop(pid) as connection:
                answer(connection, os.waitstatus_to_exitcode(status))


def received(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A request and its streams."""
    head, rights, *_ = connection.recvmsg(LENGTH.size, socket.CMSG_SPACE(MOST * 4))
    streams = array.array("i", rights[0][2]).tolist()
    (length,) = LENGTH.unpack(head)
    with connection.makefile("rb") as text:
        return json.loads(text.read(length)), streams


def answer(connection: socket.socket, number: int) -> None:
    """Say a number, if whoever asked is still there."""
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(f"{number}\n".encode())


# --- A fork ---------------------------------------------------------------------------------------


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Be the process that was asked for, to its end."""
    if request["own_session"]:
        os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Shells have what they start in the background ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.executable = os.environ.get(PYTHON, sys.executable)
    give(streams, [0, 1, 2, *request.get("more", ())])
    open_streams()
    code = ended(request["words"])
    # As Python does at its end.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for written in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            written.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def give(streams: list[int], places: list[int]) -> None:
    """Have them at these places, of which some may be taken by others of them."""
    away = [fcntl.fcntl(stream, fcntl.F_DUPFD, 1 + max(*places, *streams)) for stream in streams]
    for stream in streams:
        os.close(stream)
    for stream, place in zip(away, places, strict=True):
        os.dup2(stream, place, inheritable=True)
        os.close(stream)


def open_streams() -> None:
    """Standard streams, as Python opens them."""
    for place, name in enumerate(("stdin", "stdout", "stderr")):
        by_line = name == "stderr" or os.isatty(place)
        stream = os.fdopen(
            place,
            "w" if place else "r",
            buffering=1 if by_line else -1,
            encoding="utf-8",
            errors="backslashreplace" if name == "stderr" else "strict",
            closefd=False,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def ended(words: list[str]) -> int:
    """Run ``python *words``; the code that it ends with, or the signal, negative."""
    try:
        run(words)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return -signal.SIGINT
    except BaseException:  # noqa: BLE001 -- as Python itself
        traceback.print_exc()
        return 1
    return 0


def run(words: list[str]) -> None:
    """What ``python *words`` does."""
    while words[0] in {"-W", "-u"}:
        if words.pop(0) == "-W":
            warnings.simplefilter(words.pop(0))  # type: ignore[arg-type]
    kind, what, *rest = words
    sys.argv = [kind, *rest]
    sys.path.insert(0, os.getcwd() if kind == "-m" else "")  # noqa: PTH109 -- as Python does
    if kind == "-m":
        if (what, rest[:1]) == ("mlflow", ["server"]):
            importlib.import_module("mlflow.server")._exec_cmd = serve
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    assert kind == "-c", words
    main = sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(what, "<string>", "exec"), main.__dict__)  # noqa: S102 -- that is ``-c``


def serve(command: list[str], extra_env: Mapping[str, str], **_: object) -> None:
    """What ``mlflow server`` starts another Python for, in this process."""
    os.environ.update(extra_env)
    if command[1:3] != ["-m", "uvicorn"]:
        os.execve(command[0], command, os.environ)  # noqa: S606 -- MLflow before 3.2, say
    forget("mlflow.server")  # It has read the environment when it was imported.
    sys.argv = command[2:]
    if "mlflow.server.fastapi_app:app" in command:
        sys.modules[ANSWERS].answer_at_once()
    runpy.run_module("uvicorn", run_name="__main__", alter_sys=True)
    raise SystemExit


# --- Imports --------------------------------------------------------------------------------------


def import_all(names: Iterable[str]) -> None:
    """Import what there is."""
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def forget(package: str) -> None:
    """Have it imported again by whoever wants it."""
    for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
        del sys.modules[name]


def look_at_tables() -> None:
    """What every process does that opens a database with MLflow, at the first time."""
    with contextlib.suppress(ImportError):
        orm: Any = importlib.import_module("sqlalchemy.orm")
        orm.configure_mappers()
        utils: Any = importlib.import_module("mlflow.store.db.utils")
        utils._get_latest_schema_revision()


def main() -> None:
    """Import, and wait for requests."""
    sys.path[0] = str(Path(__file__).parents[2])  # not the script's own folder
    from tests.support import quick_answers, quick_disks, quick_tables  # noqa: PLC0415

    del sys.path[0]
    import mlporter  # noqa: PLC0415 -- from where it is installed

    assert quick_answers.__name__ == ANSWERS

    shown, warnings.showwarning = warnings.showwarning, lambda *_, **__: None
    ours = pkgutil.walk_packages(mlporter.__path__, "mlporter.")
    import_all([*SLOW, *(m.name for m in ours if not m.name.endswith("__main__"))])
    warnings.showwarning = shown
    quick_disks.write_nothing_through()
    quick_disks.let_sqlite_write_nothing_through()
    quick_tables.make_tables_once()
    look_at_tables()
    forget("mlflow.server")
    gc.collect()
    gc.freeze()  # What is here for good need not be looked through by every fork.
    Forkserver(socket.socket(fileno=int(sys.argv[1]))).run()
    shutil.rmtree(os.path.dirname(sys.argv[2]))  # noqa: PTH120 -- a text


if __name__ == "__main__":
    main()
