"""An S3 that answers late: what stands between a registry of a company and its bucket."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["late"]

_CHUNK = 1 << 16


@contextmanager
def late(endpoint: str, seconds: float) -> Iterator[str]:
    """An address before `endpoint` whose every answer takes so many seconds more."""
    place = urlsplit(endpoint)
    loop = asyncio.new_event_loop()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: float) -> None:
        with suppress(OSError):
            answered = False
            while data := await reader.read(_CHUNK):
                if wait and (not answered or data.startswith(b"HTTP/")):
                    # One answer begins with each of these; the client waits for it to send more.
                    await asyncio.sleep(wait)
                    answered = True
                writer.write(data)
                await writer.drain()
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_connection(place.hostname, place.port)
        await asyncio.gather(copy(reader, here, 0), copy(there, writer, seconds))

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
