"""How much memory something takes: a verb, seen from outside, or a call, seen by Python."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING

from mlporter.errors import ExitCode

from . import forks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_COMMAND = """
import atexit, sys
from mlporter.cli import main

def tell():
    with open("/proc/self/status") as status:
        peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    print(peak, file=sys.stderr)

atexit.register(tell)
main()
"""
_USUAL = (700, 10, 10)
"""Python's own thresholds for collecting what nobody refers to any more."""
_DONE = (ExitCode.OK, ExitCode.DIFFERENT, ExitCode.INCOMPLETE)


def peak_memory(verb: str, *arguments: str, **options: object) -> float:
    """Megabytes that a process of the command line had in memory at most.

    Read from ``/proc``, so on Linux only: `resource.getrusage` would count the memory of the
    process that started it too.
    """
    given = _given(options)
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, verb, *arguments, *given],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode in _DONE, done.stderr
    return int(done.stderr.split()[-1]) / 1024


def forked_peak(verb: str, *arguments: str, **options: object) -> float:
    """The same of a fork: it starts at once, with all that was imported counted in.

    For differences between two: what both had from the beginning is the same.
    """
    done = forks.run(["-W", "ignore", "-c", _COMMAND, verb, *arguments, *_given(options)])
    assert done.returncode in _DONE, done.stderr
    return int(done.stderr.split()[-1]) / 1024


def _given(options: Mapping[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in options.items()]


def traced_peak(call: Callable[[], object], tries: int = 3) -> int:
    """Bytes that Python had at most for a call, which is made several times.

    The least of all tries, as what other threads do meanwhile is counted too.
    """
    return min(_traced_peak(call) for _ in range(tries))


def _traced_peak(call: Callable[[], object]) -> int:
    thresholds = gc.get_threshold()
    gc.set_threshold(*_USUAL)  # Those of the tests let megabytes of garbage lie.
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.set_threshold(*thresholds)
