"""A test's files need not outlive a crash of the machine.

Those of database servers are kept in memory if there is room: to make and drop a database, which
is hundreds of files, takes a fifth of the time there. (Other files are not: no folder below
``/dev`` may be read for a server or a bundle, and that is tested.) The rest is not written through
to the disk: each ``fsync`` takes some milliseconds, and MLflow waits for one with every call. What
is said to be durable is another matter: tests of that see each call.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_IN_MEMORY = Path("/dev/shm")
_WANTED = 4 << 30
"""Bytes: many times what the servers of a run need."""


def quick_folder(prefix: str) -> Path:
    """A new folder for a server's files: in memory, or where other temporary files are.

    Its path is short, as a socket's may have about 100 characters.
    """
    has_room = os.access(_IN_MEMORY, os.W_OK) and _room() > _WANTED
    return Path(tempfile.mkdtemp(prefix=prefix, dir=_IN_MEMORY if has_room else None))


def _room() -> int:
    disk = os.statvfs(_IN_MEMORY)
    return min(disk.f_bavail * disk.f_frsize, _available())


def _available() -> int:
    """Bytes of memory that programs can have without anything being put out of it."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


def write_nothing_through() -> None:
    """From now on, in this process: by Python, and by all of mlporter."""
    os.fsync = _seem_to_sync
    from mlporter.artifacts.disk import durable  # noqa: PLC0415 -- an installed one, in any process

    durable._libc = cache(lambda really=durable._libc: _Libc(really()))


def let_sqlite_write_nothing_through() -> None:
    """The same for every SQLite database that SQLAlchemy or mlporter opens, if it is there."""
    if "sqlalchemy" in sys.modules:
        from sqlalchemy import Engine, event  # noqa: PLC0415 -- somebody has imported it

        if not event.contains(Engine, "connect", _relax):
            event.listen(Engine, "connect", _relax)
    for name, function in _OPENERS.items():
        module = sys.modules.get(name)
        if module and not isinstance(getattr(module, function), partial):
            setattr(module, function, partial(_relaxed, getattr(module, function)))


_OPENERS = {
    "mlporter.stores.database.engines.sqlite": "open_writer",
    "mlporter.stores.rows.last_sent": "_connected",
}
"""What opens databases that are written, by module."""


def _relax(connection: Any, _record: object) -> None:
    if "sqlite" in type(connection).__module__:
        connection.execute("PRAGMA synchronous = OFF")


def _relaxed(really: Callable[..., Any], *arguments: object) -> Any:
    connection = really(*arguments)
    with suppress(sqlite3.Error):  # It is no database, which is for others to find.
        connection.execute("PRAGMA synchronous = OFF")
    return connection


def _seem_to_sync(descriptor: Any) -> None:
    os.fstat(descriptor if isinstance(descriptor, int) else descriptor.fileno())


class _Libc:
    """The C library, whose ``syncfs`` does nothing."""

    def __init__(self, really: Any) -> None:
        self._really = really

    def __getattr__(self, name: str) -> Any:
        return getattr(self._really, name)

    @staticmethod
    def syncfs(descriptor: int) -> int:
        """Nothing."""
        os.fstat(descriptor)
        return 0
