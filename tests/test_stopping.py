"""Stopping: threads end at their next step, what they wait for is ended, and nobody waits long."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from mlporter import stopping
from mlporter.artifacts.disk.copying import hash_stream
from mlporter.artifacts.prefetch import prefetched
from mlporter.errors import InterruptedByUserError, UnreachableError
from mlporter.execute.files.artifact_files import LocalWork, process_files
from mlporter.execute.server.shared.worker_pool import WorkerPool
from mlporter.stopping import Pool
from mlporter.stores.rest.client import Client
from mlporter.workers.threads import Threads
from tests.support.faulty_server import Answer, faulty_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOON = 20
"""Seconds: far more than it takes, and far less than what would be waited for otherwise."""


@pytest.fixture(autouse=True)
def going_on() -> Iterator[None]:
    yield
    stopping.let_go_on()


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """What a thread waits for that nothing wakes, until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def in_thread(work: Callable[[], object]) -> Future[object]:
    """What becomes of some work in another thread."""
    found: Future[object] = Future()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:  # noqa: BLE001 -- given to whoever asks
            found.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return found


def test_threads_end_at_their_next_step_and_the_main_thread_cleans_up():
    stopping.check()
    assert in_thread(stopping.check).result(SOON) is None
    stopping.stop()
    stopping.check()
    with pytest.raises(InterruptedByUserError):
        in_thread(stopping.check).result(SOON)
    stopping.let_go_on()
    assert in_thread(stopping.check).result(SOON) is None


def test_a_file_is_not_read_to_its_end():
    with Path("/dev/zero").open("rb") as endless:
        reading = in_thread(lambda: hash_stream(endless))
        stopping.stop()
        with pytest.raises(InterruptedByUserError):
            reading.result(SOON)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, InterruptedByUserError("stopped")])
def test_nobody_waits_for_a_thread_that_hangs(hanging, interrupt):
    begun = threading.Event()
    start = monotonic()

    def work() -> None:
        begun.set()
        hanging.wait(60)

    def interrupted() -> None:
        with Pool(2) as pool:
            waiting.extend(pool.submit(work) for _ in range(5))
            begun.wait(SOON)
            raise interrupt

    waiting: list[Future[None]] = []
    with pytest.raises((KeyboardInterrupt, InterruptedByUserError)):
        interrupted()
    assert monotonic() - start < SOON
    assert stopping.has_left()
    assert waiting[-1].cancelled()
    hanging.set()


def test_others_are_waited_for_where_nothing_is_stopped():
    pool, begun = Pool(1), threading.Event()

    def failing() -> None:
        with pool:
            pool.submit(begun.set)
            begun.wait(SOON)
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        failing()
    assert not any(thread.is_alive() for thread in pool._threads)


def test_each_of_ours_leaves_what_hangs(hanging):
    """In the middle of results, as whoever takes them is interrupted."""

    def work(item: int) -> int:
        return item if item == 0 else int(hanging.wait(60))

    def interrupted_ahead() -> None:
        for _ in prefetched(range(5), work, 3):
            raise KeyboardInterrupt

    def interrupted_files() -> None:
        items = process_files(
            range(5), LocalWork(work), lambda *_: None, pool=Threads(3), size=lambda _: 1 << 40
        )
        for _ in items:
            raise KeyboardInterrupt

    def interrupted_senders() -> None:
        with WorkerPool(3) as senders:
            senders.do(lambda: hanging.wait(60))
            raise KeyboardInterrupt

    for interrupted in (interrupted_ahead, interrupted_files, interrupted_senders):
        start = monotonic()
        threading.Timer(0.2, stopping.stop).start()
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert monotonic() - start < SOON
        stopping.let_go_on()


def test_a_request_that_hangs_is_cut_and_not_sent_again(hanging):
    with faulty_server() as faulty:
        faulty.says("/api/hang", Answer(wait_for=hanging))
        client = Client(faulty.address, retry_time=600)
        asking = in_thread(lambda: client.get("/api/hang"))
        while not faulty.came:
            pass
        stopping.stop()
        with pytest.raises((UnreachableError, InterruptedByUserError)):
            asking.result(SOON)
        with pytest.raises(InterruptedByUserError):
            in_thread(lambda: client.get("/api/hang")).result(SOON)
        assert len(faulty.came) == 1
        hanging.set()
        client.close()


def test_who_waits_to_try_again_gives_up():
    with faulty_server() as faulty:
        faulty.says("/api/busy", Answer(503, headers={"Retry_After": "600"}))
        client = Client(faulty.address, retry_time=6000)
        asking = in_thread(lambda: client.get("/api/busy"))
        while not faulty.came:
            pass
        stopping.stop()
        with pytest.raises((UnreachableError, InterruptedByUserError)):
            asking.result(SOON)
        with suppress(UnreachableError):
            client.close()
