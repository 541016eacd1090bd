"""What can go wrong, as one small tree; each error has an exit code and a hint.

    MlporterError                    70  a bug, if raised as such
    ├── UsageError                    2  wrong usage
    ├── RefusedError                  4  refused before anything was written
    │   ├── RevisionError             4  a schema revision that this release does not read
    │   ├── ConflictError             4  something is different in the target
    │   └── UnsupportedError          4  a place or a format that this release does not know
    ├── BundleError                   5  the bundle cannot be used
    │   ├── BundleDamagedError        5  something in it does not match the manifest
    │   └── BundleUnfinishedError     5  it has no manifest: the export never finished
    ├── UnreachableError              6  a source or target cannot be reached, read or written
    │   ├── AccessDeniedError         6  reached, but not allowed
    │   ├── OutsideError              6  a place of files that is nobody's artifact root
    │   └── NeedsMlflowError          6  what is asked for needs MLflow, which is not installed
    ├── BundleInUseError              7  another process is working in the bundle
    ├── StateInUseError               7  another process is at work between the same two places
    ├── RepositoryInUseError          7  another process does in a repository what forbids this
    ├── ReadBackError                70  what was written is not what was read back
    └── InterruptedByUserError  130, 143  SIGINT or SIGTERM

An error names the object it is about (``subject``) and says what to do next (``hint``). A failure
of *one* object among many is not an exception but an entry in the result: see `LeftOut`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

__all__ = [
    "AccessDeniedError",
    "BundleDamagedError",
    "BundleError",
    "BundleInUseError",
    "BundleUnfinishedError",
    "ConflictError",
    "ExitCode",
    "InterruptedByUserError",
    "LeftOut",
    "MlporterError",
    "NeedsMlflowError",
    "OutsideError",
    "ReadBackError",
    "RefusedError",
    "RepositoryInUseError",
    "RevisionError",
    "StateInUseError",
    "UnreachableError",
    "UnsupportedError",
    "UsageError",
]


class ExitCode(int, Enum):
    """Exit codes of the command line, the same for every verb."""

    OK = 0
    DIFFERENT = 1
    USAGE = 2
    INCOMPLETE = 3
    REFUSED = 4
    BUNDLE = 5
    UNREACHABLE = 6
    IN_USE = 7
    BUG = 70
    SIGINT = 130
    SIGPIPE = 141
    SIGTERM = 143


class MlporterError(Exception):
    """Base of every error that mlporter raises on purpose.

    Args:
        message: One sentence that says what is wrong.
        subject: The object it is about: an address (credentials redacted), a path, a table, an id.
        hint: What to do next, as a sentence or a command.
        reasons: Where several things are wrong at once, a line for each.
    """

    exit_code: ClassVar[int] = ExitCode.BUG

    def __init__(
        self,
        message: str,
        *,
        subject: str | None = None,
        hint: str | None = None,
        reasons: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.subject = subject
        self.hint = hint
        self.reasons = reasons

    def __str__(self) -> str:
        head = f"{self.subject}: {self.message}" if self.subject else self.message
        return "\n".join([head, *(f"  - {reason}" for reason in self.reasons)])


class UsageError(MlporterError):
    """The command or call does not make sense as given."""

    exit_code = ExitCode.USAGE


class RefusedError(MlporterError):
    """Refused before the first write; nothing was changed."""

    exit_code = ExitCode.REFUSED


class RevisionError(RefusedError):
    """A database or bundle at a schema revision that this release does not read or write."""


class ConflictError(RefusedError):
    """The target has something else under the name or the id of what would be copied."""


class UnsupportedError(RefusedError):
    """A kind of place, or a format version, that this release does not know."""


class BundleError(MlporterError):
    """The bundle cannot be used as it is."""

    exit_code = ExitCode.BUNDLE


class BundleDamagedError(BundleError):
    """Something in the bundle is missing, changed, misplaced, or not what the manifest says."""


class BundleUnfinishedError(BundleError):
    """The directory has no manifest: its export was interrupted, and can be resumed."""


class UnreachableError(MlporterError):
    """A source or target cannot be found, reached, read or written (a full disk included)."""

    exit_code = ExitCode.UNREACHABLE


class AccessDeniedError(UnreachableError):
    """A source or target was reached, and denied access."""


class OutsideError(UnreachableError):
    """A row names a folder in which its registry keeps no files, or a host that is not asked.

    Args:
        is_there: Whether there is such a folder of this machine, or nobody can say.
    """

    def __init__(
        self, message: str, *, subject: str, hint: str | None = None, is_there: bool = True
    ) -> None:
        super().__init__(message, subject=subject, hint=hint)
        self.is_there = is_there


class NeedsMlflowError(UnreachableError):
    """What is asked for needs MLflow's own code, and MLflow is not installed."""


class RowRefusedError(UnreachableError):
    """A database refused a row, which breaks a rule of its schema; nothing was kept."""


class BundleInUseError(MlporterError):
    """Another process holds the bundle's lock."""

    exit_code = ExitCode.IN_USE


class StateInUseError(MlporterError):
    """Another process holds the lock on what was last sent between two places."""

    exit_code = ExitCode.IN_USE


class RepositoryInUseError(MlporterError):
    """Another process is at work in the repository, and this cannot be done beside."""

    exit_code = ExitCode.IN_USE


class ReadBackError(MlporterError):
    """What was read back from the target is not what was sent; the hint says what was kept."""


class InterruptedByUserError(MlporterError):
    """The user or the system stopped the work (SIGINT: 130, SIGTERM: 143)."""

    exit_code = ExitCode.SIGTERM


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One thing that was not copied, by name and reason.

    Attributes:
        kind: What it is: ``table``, ``column``, ``secret``, ``artifact``, or an owner kind.
        id: Its id: the table's name, or the id of the run, logged model, trace or model version.
        path: For an artifact its path below the owner's root, ``/`` separated; else "".
        reason: A short slug: ``missing``, ``unreadable``, ``unreachable``, ``secret``,
            ``transient``, ``derived``, ``inconsistent``, ``unknown``, ``unsafe-path``,
            ``not-requested``,
            ``hidden`` (MLflow's REST API does not show it), ``denied``,
            ``outside`` (a place that is nobody's artifact root, or on a host that is not asked).
        detail: One sentence for people.
        expected: True where leaving it out is the rule or the user's wish (transient tables,
            ``--artifacts none``): said, but no reason for exit code 3.
    """

    kind: str
    id: str
    path: str
    reason: str
    detail: str
    expected: bool = False

    def __str__(self) -> str:
        """What was left out, why, and in what words."""
        whole = self.path if self.id in self.path.split("/") else f"{self.id}/{self.path}"
        what = f"{self.kind} {whole if self.path else self.id}"
        return f"{what}: {self.reason}" + (f": {self.detail}" if self.detail else "")

    @property
    def is_file(self) -> bool:
        """Whether it is an artifact file, and not a row or a whole owner."""
        return self.kind == "artifact"
