"""One run of one command: its output, progress and log, opened once and closed on every way out."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.abc import MetaPathFinder
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from mlporter.cli.json_output import JsonOutput
from mlporter.cli.output import ConsoleOutput
from mlporter.cli.render.layout import View
from mlporter.cli.terminal.consoles import error_console, result_console
from mlporter.cli.terminal.failures import as_failure, short_traceback, write_crash_report
from mlporter.cli.terminal.logs import logging_to
from mlporter.cli.terminal.progress import TerminalProgress
from mlporter.cli.terminal.progress_lines import ProgressLines
from mlporter.cli.terminal.spans import spans_of
from mlporter.errors import ExitCode
from mlporter.progress import ProgressEvents, log_progress, silent, told_to_all
from mlporter.redaction import redact_argument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from pathlib import Path
    from types import ModuleType, TracebackType

    from mlporter.cli.output import Output
    from mlporter.cli.terminal.failures import Failure
    from mlporter.cli.terminal.logs import LogFormat
    from mlporter.cli.terminal.spans import CommandSpans
    from mlporter.progress import OnProgress

    _Listener = ProgressEvents | ProgressLines | TerminalProgress

__all__ = ["Session", "Settings", "light_arrow"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """The options that every command takes."""

    as_json: bool = False
    quiet: bool = False
    verbose: int = 0
    log_file: Path | None = None
    log_format: LogFormat = "text"
    progress: Literal["bar", "json", "none"] = "bar"
    width: int | None = None
    explain: bool = False
    epoch: bool = False

    @property
    def view(self) -> View:
        """How much people want to see."""
        is_full = self.verbose > 0
        return View(is_full, self.explain or is_full, self.epoch, self.width)


class Session:
    """What a command gets: where its results go, and who hears how far it is.

    Attributes:
        output: Takes results and errors.
        when_interrupted: What a user should know, or do next, if the command is interrupted.
    """

    def __init__(self, argv: list[str]) -> None:
        self._argv = argv
        self._stderr = error_console()
        self._open = ExitStack()
        self._settings = Settings()
        # Until the options are known: a wrong option must not turn JSON into text.
        self.output: Output = JsonOutput() if "--json" in argv else self._console_output()
        self.when_interrupted: str | None = None
        self._spans: CommandSpans | None = None

    def __enter__(self) -> Session:  # noqa: PYI034 -- Self is newer than Python 3.10
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def configure(self, settings: Settings) -> None:
        """Open what the options ask for.

        Raises:
            UsageError: the log file cannot be written.
        """
        light_arrow()
        self._settings = settings
        self._stderr = error_console(settings.width)
        self.output = JsonOutput() if settings.as_json else self._console_output()
        logs = logging_to(
            self._stderr,
            settings.log_file,
            verbose=settings.verbose,
            quiet=settings.quiet,
            how=settings.log_format,
        )
        self._open.enter_context(logs)
        _log.debug("mlporter %s, Python %s", version("mlporter"), platform.python_version())
        command = " ".join(["mlporter", *map(redact_argument, self._argv)])
        _log.debug("command: %s", command)
        self._spans = self._open.enter_context(spans_of(self._argv[0], command))

    def ended(self, code: int) -> int:
        """Note the exit code, and hand it on."""
        if self._spans is not None:
            self._spans.exit_code = code
        return code

    @property
    def writes_json(self) -> bool:
        """Whether results are JSON."""
        return self._settings.as_json

    @contextmanager
    def working(self) -> Iterator[OnProgress]:
        """Say how far the work inside is, to whom options name; and log its steps."""
        _without_pandas()
        started, listeners = monotonic(), list(self._listeners())
        try:
            yield told_to_all(*listeners) if listeners else silent
        finally:
            for one in listeners:
                one.close()
            _log.info("took %.2f s", monotonic() - started)

    def _listeners(self) -> Iterator[_Listener]:
        settings = self._settings
        if settings.verbose or settings.log_file is not None:
            yield ProgressEvents(log_progress)
        if self._spans is not None:
            yield ProgressEvents(self._spans)
        if settings.progress == "json":  # who asks for it wants it, also with -q
            yield ProgressLines(self._stderr.file)
        elif settings.progress == "bar" and not settings.quiet and self._stderr.file.isatty():
            yield TerminalProgress(self._stderr)

    def fail(self, error: BaseException) -> ExitCode:
        """Tell people (or a program) what went wrong, and return the exit code."""
        failure = as_failure(error, self.when_interrupted)
        self.ended(failure.exit_code)
        if self._spans is not None:
            self._spans.failed(failure.type, failure.message)
        if failure.exit_code == ExitCode.SIGPIPE:
            return ExitCode.SIGPIPE
        if failure.exit_code == ExitCode.BUG:
            failure = self._with_evidence(failure, error)
        else:
            _log.debug("ended by %s: %s", failure.type, failure.message)
        self.output.failed(failure)
        return ExitCode(failure.exit_code)

    def _with_evidence(self, failure: Failure, error: BaseException) -> Failure:
        _log.debug("unexpected error", exc_info=error)
        if self._settings.verbose:
            self._stderr.print(Text(short_traceback(error), style="dim"), soft_wrap=True)
        where = self._settings.log_file or write_crash_report(error)
        return replace(failure, hint=failure.hint or f"please report it with {where}")

    def _console_output(self) -> ConsoleOutput:
        settings = self._settings
        return ConsoleOutput(
            result_console(settings.width),
            self._stderr,
            quiet=settings.quiet,
            view=settings.view,
        )


_POOL = "ARROW_DEFAULT_MEMORY_POOL"
_HEAP = (("MALLOC_MMAP_THRESHOLD_", -3, 256 << 10), ("MALLOC_ARENA_MAX", -8, 2))
"""What glibc's allocator is told, unless one of its variables says it: `mallopt(3)`, malloc.h."""


def light_arrow() -> None:
    """Make pyarrow take little memory, and the database drivers find no polars.

    To be called before anything imports pyarrow: it looks once which allocator is wanted.
    Its own allocator keeps what threads have once used: with the system's, verbs took 13 to 59
    MB less and as long (docs/performance.md). What the user has set stays. Source:
    https://arrow.apache.org/docs/cpp/memory.html (overriding the default memory pool).
    """
    os.environ.setdefault(_POOL, "system")
    _give_back()
    if _NO_POLARS not in sys.meta_path:
        sys.meta_path.insert(0, _NO_POLARS)


def _give_back() -> None:
    """Have the system's allocator return large buffers as soon as they are freed.

    glibc's would keep more of them the larger they get, and small objects that come to lie in
    between keep all of it for good: that grew with the registry, though what was in use did not.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for variable, option, value in _HEAP:
            if variable not in os.environ:
                mallopt(option, value)


def _without_pandas() -> None:
    """Let pyarrow find no pandas, so that it does not import it, once and for all.

    It looks for it when the first Python value becomes an Arrow one, as that could be one of
    pandas': half a second for what never happens here. Whoever imports pandas later (MLflow does)
    gets it. Source: pyarrow/pandas-shim.pxi, which remembers whether its import succeeded.
    """
    import pyarrow as pa  # noqa: PLC0415 -- `--help` needs none

    if "pandas" in sys.modules:
        return
    finder = _Hidden("pandas")
    sys.meta_path.insert(0, finder)
    try:
        pa.array([None])
    finally:
        sys.meta_path.remove(finder)


class _Hidden(MetaPathFinder):
    """Lets a module not be found: by anybody, or by one that is being imported."""

    def __init__(self, name: str, *, importer: str = "") -> None:
        """Hide `name`: from all, or from the module `importer` alone, while that is imported."""
        self._name = name
        self._importer = importer

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 -- as the protocol wants it
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname == self._name and (not self._importer or _is_being_imported(self._importer)):
            raise ImportError(fullname)
        return None


def _is_being_imported(name: str) -> bool:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


_NO_POLARS = _Hidden("polars", importer="adbc_driver_manager._dbapi_backend")
"""Where polars is installed, the database drivers import it for who wants its data frames: a third
of a second and 40 MB. Source: adbc_driver_manager/_dbapi_backend.py."""
