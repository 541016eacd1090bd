"""Whose the processors were while something ran."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from pathlib import Path

__all__ = ["Busy", "server_process"]

_TICKS = os.sysconf("SC_CLK_TCK")
_SYSTEM = Path("/proc")


def server_process(address: str) -> int:
    """The process of the command ``mlflow server`` behind an address of this machine."""
    port = address.rpartition(":")[2].encode()
    for found in _SYSTEM.glob("[0-9]*/cmdline"):
        try:
            words = found.read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if port in words and {b"mlflow", b"server"} <= set(words):
            return int(found.parent.name)
    raise LookupError(address)


class Busy:
    """Counts the processors' time from its start on, for some processes and all below them.

    Args:
        processes: The server's; its database's where that has processes of its own.
    """

    def __init__(self, *processes: int) -> None:
        self._processes = processes
        self._before = self._now()

    def _now(self) -> tuple[float, float, float, float]:
        """Seconds: the server's, this process's with its ended children's, idle ones, the clock."""
        own = os.times()
        idle = (_SYSTEM / "stat").read_text().splitlines()[0].split()[4:6]
        mine = own.user + own.system + own.children_user + own.children_system
        return _below(self._processes), mine, sum(map(int, idle)) / _TICKS, time.perf_counter()

    @property
    def server(self) -> float:
        """The server's seconds of processor time so far."""
        return self._now()[0] - self._before[0]

    def __str__(self) -> str:
        """In parts of all processors: the server, this process, others' work, and none."""
        server, mine, idle, clock = (
            now - then for now, then in zip(self._now(), self._before, strict=True)
        )
        whole = clock * (os.cpu_count() or 1)
        others = max(0.0, whole - server - mine - idle)
        return (
            f"of the processors' time the server took {server / whole:.0%}, mlporter "
            f"{mine / whole:.0%}, other work of the machine {others / whole:.0%}, and "
            f"{idle / whole:.0%} was idle; of what was left by others the server took "
            f"{server / (whole - others):.0%}"
        )


def _below(processes: tuple[int, ...]) -> float:
    """Seconds of processes and all that they started, also of what has ended."""
    children, used = defaultdict(list), {}
    for found in _SYSTEM.glob("[0-9]*/stat"):
        try:
            fields = found.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        process = int(found.parent.name)
        children[int(fields[1])].append(process)
        used[process] = sum(map(int, fields[11:15])) / _TICKS
    pending, total = list(processes), 0.0
    while pending:
        process = pending.pop()
        total += used.get(process, 0.0)
        pending += children[process]
    return total
