"""Processes of this machine: each has one task at a time, and one that is killed is replaced."""

from __future__ import annotations

import os
from contextlib import closing, suppress

import pytest

from mlporter.errors import UsageError
from mlporter.workers.choice import check_workers, local_workers
from mlporter.workers.in_order import answers_in_order
from mlporter.workers.processes import Processes
from mlporter.workers.task_pool import WorkerLostError
from tests.workers import tasks


def test_tasks_are_done_by_another_process_in_order_and_whoever_is_killed_is_replaced(tmp_path):
    with closing(Processes(1)) as pool, pool.started(waits=False) as executor:
        assert executor.submit(tasks.process, None).result() != os.getpid()
        assert executor.submit(tasks.die_once, str(tmp_path / "mark")).result() == "done"
        lost = executor.submit(tasks.die, None)
        with pytest.raises(WorkerLostError):
            lost.result()
        with pytest.raises(OSError, match="no space left"):
            executor.submit(tasks.fail, None).result()
        assert executor.submit(tasks.double, 4).result() == 8


def test_answers_come_in_the_order_of_the_tasks_and_what_failed_there_is_tried_here():
    with closing(Processes(1)) as pool:
        answers = answers_in_order(pool, tasks.process, range(3), failed=lambda _: True)
        assert list(answers) == [os.getpid()] * 3


def test_processes_stay_for_the_next_tasks_unless_they_may_be_at_work():
    with closing(Processes(1)) as pool:
        found = []
        for error in (None, OSError, None):
            with suppress(OSError), pool.started(waits=False) as executor:
                found.append(executor.submit(tasks.process, None).result())
                if error:
                    raise error
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("processes", "dask", "said"),
    [
        (2, "local:2", "exclude each other"),
        (0, None, "from 1 to"),
        (None, "scheduler", "no address"),
        (None, "local:0", "no address"),
        (None, "local:x", "no address"),
    ],
)
def test_what_makes_no_sense_is_refused(processes, dask, said):
    with pytest.raises(UsageError, match=said):
        check_workers(processes, dask)


def test_an_address_is_no_number_of_workers():
    assert local_workers("local:3") == 3
    assert local_workers("tcp://local:3") == 0
