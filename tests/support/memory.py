"""How much memory something takes: a verb, seen from outside, or a call, seen by Python."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_CALL = """
import sys
import mlporter

verb, arguments, options = eval(sys.argv[1])
getattr(mlporter, verb)(*arguments, **options)
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


def peak_memory(verb: str, *arguments: str, **options: object) -> float:
    """Megabytes that a fresh process had in memory at most while it ran a verb of the API.

    Read from ``/proc``, so on Linux only: `resource.getrusage` would count the memory of the
    process that started it too.
    """
    call = repr((verb, arguments, options))
    done = subprocess.run(
        [sys.executable, "-c", _CALL, call], check=True, stdout=subprocess.PIPE, text=True
    )
    return int(done.stdout) / 1024


def traced_peak(call: Callable[[], object], tries: int = 3) -> int:
    """Bytes that Python had at most for a call, which is made several times.

    The least of all tries, as what other threads do meanwhile is counted too.
    """
    return min(_traced_peak(call) for _ in range(tries))


def _traced_peak(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
