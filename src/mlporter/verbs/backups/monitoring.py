"""What a monitoring system hears of a run that nobody watches: metrics in a file, and a call.

The file is one for Prometheus' node exporter (its textfile collector). Neither changes how the run
itself ends: that it was done counts, not that it was reported.
"""

from __future__ import annotations

import logging
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from mlporter.bundle.folder.atomic import write_atomic
from mlporter.errors import ExitCode, MlporterError, UsageError
from mlporter.execute.named_files import NamedKind, check_kind
from mlporter.redaction import redact

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = ["Monitored", "monitored"]

_log = logging.getLogger(__name__)

_METRICS = NamedKind("file of metrics", b"mlporter_backup_", "--metrics")

_SECONDS = 10.0
_LAST_SUCCESS = "last_success_timestamp_seconds"
_HELP = {
    _LAST_SUCCESS: "When the last backup ended that lacked nothing (Unix time).",
    "last_run_timestamp_seconds": "When the last backup ended, however it did (Unix time).",
    "last_exit_code": "The exit code of the last backup: 0 is success, 3 incomplete.",
    "duration_seconds": "How long the last backup took.",
    "added_bytes": "Bytes that it added to the repository.",
    "file_bytes": "Bytes of all artifact files in the snapshot.",
    "left_out": "Things that could not be copied.",
    "rows": "Rows of the snapshot, by table.",
}


@dataclass
class Monitored:
    """One run: what there is to say of it once it has ended.

    ``values`` by the name of a metric; ``rows`` by table.
    """

    labels: dict[str, str]
    exit_code: int = ExitCode.OK
    values: dict[str, float] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


@contextmanager
def monitored(
    labels: dict[str, str], metrics: str | os.PathLike[str] | None, notify: str | None
) -> Iterator[Monitored]:
    """Do something, and report how it ended, also where it failed.

    Args:
        labels: What the metrics are of, such as the source and the repository; redacted.
        metrics: The file to write, ending in ``.prom``; what it says of the last success stays
            where this run is none.
        notify: A URL that is asked for (GET) at the end; ``{exit}`` in it becomes the exit code.

    Raises:
        UsageError: the URL is none of HTTP, or the file is there and is something else.
    """
    if metrics is not None:
        check_kind(Path(metrics), _METRICS)
    if notify is not None and not re.match(r"https?://[^/\s]+", notify):
        raise UsageError("is no address that can be called", subject=redact(notify))
    run = Monitored(labels)
    started = time.monotonic()
    try:
        yield run
    except MlporterError as error:
        run.exit_code = error.exit_code
        raise
    except KeyboardInterrupt:
        run.exit_code = ExitCode.SIGINT
        raise
    except BaseException:
        run.exit_code = ExitCode.BUG
        raise
    finally:
        run.values["duration_seconds"] = time.monotonic() - started
        if metrics is not None:
            _write(Path(metrics), run)
        if notify is not None:
            _call(notify.replace("{exit}", str(int(run.exit_code))))


def _write(file: Path, run: Monitored) -> None:
    now = time.time()
    values = {
        "last_run_timestamp_seconds": now,
        "last_exit_code": float(run.exit_code),
        **run.values,
    }
    last = now if run.exit_code == ExitCode.OK else _last_success(file)
    if last is not None:
        values[_LAST_SUCCESS] = last
    try:
        write_atomic(file, "".join(_lines(run, values)).encode())
        file.chmod(0o644)
    except (MlporterError, OSError) as error:
        _log.warning("the metrics could not be written: %s", error)


def _lines(run: Monitored, values: dict[str, float]) -> Iterator[str]:
    for name, text in _HELP.items():
        metric = f"mlporter_backup_{name}"
        if name == "rows" and run.rows:
            yield f"# HELP {metric} {text}\n# TYPE {metric} gauge\n"
            for table, count in sorted(run.rows.items()):
                yield f"{metric}{_labels(run.labels | {'table': table})} {count}\n"
        elif name in values:
            yield f"# HELP {metric} {text}\n# TYPE {metric} gauge\n"
            yield f"{metric}{_labels(run.labels)} {values[name]:.17g}\n"


def _labels(labels: dict[str, str]) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"


def _last_success(file: Path) -> float | None:
    """What the file of an earlier run says of the last success."""
    try:
        text = file.read_text()
    except (OSError, ValueError):
        return None
    found = re.search(rf"^mlporter_backup_{_LAST_SUCCESS}\S* (\S+)$", text, re.MULTILINE)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


def _call(url: str) -> None:
    try:
        requests.get(url, timeout=_SECONDS).raise_for_status()
    except requests.RequestException as error:
        _log.warning("%s could not be notified: %s", redact(url), type(error).__name__)
