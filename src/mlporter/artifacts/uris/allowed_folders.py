"""Which folders of this machine files of a registry may be read from.

An artifact URI stands in a row, and anybody who may write a run may write any URI. Who exports is
often somebody who may read more. So a local place is only read if it lies below a folder that the
registry keeps its files in, or one that the user named.

Compared are real paths (`os.path.realpath`), on both sides.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Machine", "Roots", "is_below"]

_SYSTEM = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/root",
    "/run/credentials",
    "/run/secrets",
    "/run/systemd",
    "/run/user",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/lib",
    "/usr/sbin",
    "/usr/share",
    "/var/backups",
    "/var/log",
    "/var/mail",
    "/var/spool",
    "/Library",
    "/System",
    "/var/db",
    "/var/root",
)
"""Folders of the system on Linux and macOS; those that are not here do no harm.

Disks of users may be mounted below ``/run/media``, so not the whole of ``/run``.
"""
_FOLDERS = 4096
"""Folders that are remembered: those of experiments, mostly."""
_HOMES_IN = ("/home", "/Users", "/mnt/c/Users")
"""Of people's homes on Linux, on macOS, and on Windows as its Linux shows them."""


@dataclass(frozen=True)
class Machine:
    """Folders that are nobody's artifact root, whatever a row says. Real paths.

    Attributes:
        system: The operating system's.
        homes: Of people: the folder itself is no root, and what begins with a dot in it is theirs.
        homes_in: Folders whose folders are homes.
    """

    system: frozenset[str] = frozenset()
    homes: frozenset[str] = frozenset()
    homes_in: frozenset[str] = frozenset()

    @classmethod
    def here(cls) -> Machine:
        """This one."""
        system = {*_SYSTEM, *filter(None, [os.environ.get("SystemRoot")])}  # noqa: SIM112 -- Windows' name
        homes = _reals(_own_homes())
        # Root's home is the system's, but for root, who may keep a registry there.
        return cls(_reals(system) - homes, homes, _reals(_HOMES_IN))

    def private_part(self, real: str) -> str | None:
        """The system's or somebody's own folder that a path lies in, the innermost; or None."""
        below = real
        for folder in _upwards(real):
            is_home = folder in self.homes or os.path.dirname(folder) in self.homes_in  # noqa: PTH120
            if is_home and folder != below and os.path.basename(below).startswith("."):  # noqa: PTH119
                return below
            if folder in self.system:
                return folder
            below = folder
        return None

    def is_wide(self, real: str) -> bool:
        """Whether a folder is somebody's home, or holds homes: the whole disk, say."""
        parent = os.path.dirname(real)  # noqa: PTH120
        if real in self.homes or parent in self.homes_in or parent == real:
            return True
        return any(is_below(home, real) for home in (*self.homes, *self.homes_in))

    def refuses(self, real: str) -> bool:
        """Whether a folder is no artifact root, whatever a row says."""
        return self.is_wide(real) or self.private_part(real) is not None

    def has_private(self, real: str) -> bool:
        """Whether a folder holds, or is, the system's or somebody's own."""
        return self.is_wide(real) or any(is_below(folder, real) for folder in self.system)


@dataclass(frozen=True)
class Roots:
    """Folders that files may be read from. Real paths.

    Attributes:
        named: By the user, and those that the store's address implies: whatever they are, they
            count, but for the system's and people's own folders further down.
        recorded: By rows: where experiments and workspaces keep their files. A folder that an
            experiment lies in under its own number is where MLflow keeps files by default.
        machine: What is no root even where a row says so.
    """

    named: frozenset[str] = frozenset()
    recorded: frozenset[str] = frozenset()
    machine: Machine = field(default_factory=Machine.here)

    @classmethod
    def of(
        cls,
        named: Iterable[Path] = (),
        experiments: Iterable[tuple[str, Path]] = (),
        others: Iterable[Path] = (),
    ) -> Roots:
        """The roots of a registry.

        Args:
            named: As the user named them.
            experiments: Ids, and recorded places.
            others: What else rows record as a place for the files of many.
        """
        machine = Machine.here()
        found = [*others]
        for id_, path in experiments:
            found += [path, path.parent] if path.name == id_ else [path]
        recorded = (real for real in _reals(found) if not machine.refuses(real))
        return cls(_reals(named), frozenset(recorded), machine)

    def with_named(self, *folders: Path) -> Roots:
        """The same, and some folders besides."""
        return Roots(self.named | _reals(folders), self.recorded, self.machine)

    def and_those(self, other: Roots) -> Roots:
        """These and others."""
        return Roots(self.named | other.named, self.recorded | other.recorded, self.machine)

    def locate(self, path: Path) -> tuple[str, bool]:
        """The real path of a place, and whether it may be read.

        Runs lie side by side: what can be said of all that is in a folder is remembered.
        """
        text = os.fspath(path)
        above, _, last = text.rpartition(os.sep)
        above, _, name = above.rpartition(os.sep)
        if above and ".." not in {name, last} and not _has_link(f"{above}{os.sep}{name}", text):
            real, is_open = self._folder(above)
            if is_open:
                return f"{real}{os.sep}{name}{os.sep}{last}", True
        real = os.path.realpath(text)
        return real, self.holds(real)

    @cached_property
    def _folder(self) -> Callable[[str], tuple[str, bool]]:
        def look(folder: str) -> tuple[str, bool]:
            real = os.path.realpath(folder)
            return real, self.holds(real) and not self.machine.has_private(real)

        return lru_cache(_FOLDERS)(look)

    def holds(self, real: str) -> bool:
        """Whether what has this real path may be read."""
        above = tuple(_upwards(real))
        private = self.machine.private_part(real)
        if private is None and any(folder in self.recorded for folder in above):
            return True
        # The user may have named a private folder, or one in it, but not merely one above it.
        return any(len(folder) >= len(private or "") for folder in above if folder in self.named)


def is_below(real: str, base: str) -> bool:
    """Whether a real path is another one, or lies below it."""
    return real == base or real.startswith(base.rstrip(os.sep) + os.sep)


def _upwards(path: str) -> Iterator[str]:
    """A path, and all that it lies in."""
    while True:
        yield path
        parent = os.path.dirname(path)  # noqa: PTH120 -- a plain text, and many of them
        if parent == path:
            return
        path = parent


def _has_link(*paths: str) -> bool:
    return any(map(os.path.islink, paths))


def _reals(paths: Iterable[Path | str]) -> frozenset[str]:
    return frozenset(map(os.path.realpath, {os.fspath(path) for path in paths}))


def _own_homes() -> Iterator[Path]:
    """Where the user's home is, and where it would be without ``HOME``."""
    with suppress(RuntimeError):  # nobody knows
        yield Path.home()
    if hasattr(os, "getuid"):
        import pwd  # noqa: PLC0415 -- not on Windows

        with suppress(KeyError):  # a user of a container, say, who is in no list
            yield Path(pwd.getpwuid(os.getuid()).pw_dir)
