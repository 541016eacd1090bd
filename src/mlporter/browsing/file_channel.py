"""How MLflow's server gets the bytes of files: from the process that has the source open.

So a source is opened once, whatever kind it is, and its passwords stay where they are. The server
asks over the one connection that both ends have from the start; each file comes over one of its
own. That the connection ends tells each side that the other is gone.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from contextlib import closing, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.listing import ArtifactFile
from mlporter.errors import MlporterError, UnreachableError

if TYPE_CHECKING:
    from mlporter.stores.protocols import Source

__all__ = ["fetch", "serve_files"]

_CHUNK = 1 << 20
_LENGTH = struct.Struct("!q")
"""Before each piece of a file; 0 at its end, and -1 before what went wrong."""


def serve_files(control: socket.socket, source: Source) -> None:
    """Answer for as long as somebody may ask; each file in a thread."""
    while True:
        try:
            said, (number, *_), _, _ = socket.recv_fds(control, 1, 1)
        except (OSError, ValueError):  # it was closed here, or there
            return
        if not said:
            return
        answer = socket.socket(fileno=number)
        threading.Thread(target=_answer, args=(answer, source), daemon=True).start()


def _answer(connection: socket.socket, source: Source) -> None:
    with closing(connection), suppress(OSError):  # nobody waits for it any more
        asked = connection.makefile("rb").readline()
        try:
            with source.open_file(ArtifactFile(**json.loads(asked))) as stream:
                while piece := stream.read(_CHUNK):
                    connection.sendall(_LENGTH.pack(len(piece)) + piece)
        except BrokenPipeError:
            return
        except (MlporterError, OSError) as error:
            connection.sendall(_LENGTH.pack(-1) + str(error).encode("utf-8", "replace"))
        else:
            connection.sendall(_LENGTH.pack(0))


def fetch(control: socket.socket, file: ArtifactFile, into: BinaryIO) -> None:
    """Have the bytes of a file written into another. Safe to call from several threads.

    Raises:
        UnreachableError: it cannot be read, or not to its end.
    """
    mine, other = socket.socketpair()
    with closing(mine):
        with closing(other):
            socket.send_fds(control, [b"!"], [other.fileno()])
        stream = mine.makefile("rwb")
        stream.write(json.dumps(asdict(file)).encode() + b"\n")
        stream.flush()
        while head := stream.read(_LENGTH.size):
            (length,) = _LENGTH.unpack(head)
            if length == 0:
                return
            if length < 0:
                raise UnreachableError(stream.read().decode("utf-8", "replace"), subject=file.path)
            into.write(stream.read(length))
    raise UnreachableError("whoever has the source open is gone", subject=file.path)
