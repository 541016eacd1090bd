"""How much memory a verb takes, seen from outside."""

from __future__ import annotations

import subprocess
import sys

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
