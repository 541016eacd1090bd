"""Connections: what an answer in two packets takes."""

from __future__ import annotations

import socket
import sys
import time
from threading import Thread

import pytest
import requests

from mlporter.stores.rest.prompt_adapter import PromptAdapter

DELAYED = 0.035
"""Seconds: Linux acknowledges after 40 ms where it may wait."""


@pytest.fixture
def hesitant():
    """The address of a server that sends head and body by themselves, with Nagle's algorithm."""

    def serve(listening):
        with listening.accept()[0] as connection:
            while connection.recv(10_000):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
                connection.sendall(b"ok")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=serve, args=(listening,))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


def fastest(session, address):
    """Seconds of the fastest of many requests over one connection, when it no longer is new."""
    found = []
    for _ in range(30):
        start = time.perf_counter()
        assert session.get(address, timeout=10).text == "ok"
        found.append(time.perf_counter() - start)
    session.close()
    return min(found[-10:])


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_QUICKACK is Linux's")
def test_answers_in_two_packets_are_not_waited_for(hesitant):
    """Without it, each takes the 40 ms (on a machine that is not too busy to be quick)."""
    session = requests.Session()
    session.mount("http://", PromptAdapter())
    assert fastest(session, hesitant) < DELAYED
