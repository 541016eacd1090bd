"""A link whose connections are slow, each by itself, as between sites, to PostgreSQL."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 32 << 10


@contextmanager
def slow_link(socket: str, rate: int) -> Iterator[int]:
    """A port of this machine that leads to a socket; each connection has so many bytes a second.

    In each direction, that is.

    It is a process of its own, which shares no interpreter with what is measured.
    """
    command = [sys.executable, __file__, socket, str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: float) -> None:
    clock = asyncio.get_running_loop().time
    due = clock()
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
        due = max(due, clock() - 0.1) + len(piece) / rate
        await asyncio.sleep(max(0, due - clock()))
    writer.close()


async def _serve(socket: str, rate: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(socket)
        await asyncio.gather(
            _pass_on(reader, back, rate),
            _pass_on(there, writer, rate),
            return_exceptions=True,
        )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))
