"""The file of a report: where one may be written, and writing it whole or not at all."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.bundle.folder.atomic import disk_errors, write_atomic
from mlporter.bundle.folder.layout import MANIFEST, SUMS
from mlporter.errors import UnreachableError, UsageError
from mlporter.reports.mark import GENERATOR
from mlporter.repository.layout import REPOSITORY, SNAPSHOTS

if TYPE_CHECKING:
    from os import PathLike

    from mlporter.reports.page import Page

__all__ = ["check_report_file", "write_report"]

_BEGINNING = 1024
_OURS = ((MANIFEST, SUMS), (REPOSITORY, SNAPSHOTS))
"""What a bundle and a repository have in their folders."""


def check_report_file(file: str | PathLike[str] | None) -> Path | None:
    """Refuse, before any work, a file that cannot be a report or is something else already.

    Raises:
        UsageError: it is something that is no report, or in a bundle.
        UnreachableError: there is no such folder.
    """
    if file is None:
        return None
    path = Path(file)
    folder = path.resolve().parent
    if not folder.is_dir():
        raise UnreachableError("there is no such folder", subject=str(path.parent))
    if path.exists() and not _is_replaced(path):
        raise UsageError(
            "is there, and is no report of mlporter",
            subject=str(path),
            hint="--html names a new file, or an earlier report",
        )
    for outer in (folder, *folder.parents):
        if any(all((outer / name).exists() for name in names) for names in _OURS):
            raise UsageError(
                "a report does not belong into a bundle or a repository",
                subject=str(path),
                hint="name a file outside of it",
            )
    return path


def _is_replaced(path: Path) -> bool:
    """Whether what is there may go: an earlier report, or an empty file."""
    if not path.is_file():
        return False
    with disk_errors(path, "read"), path.open("rb") as file:
        beginning = file.read(_BEGINNING)
    return not beginning or GENERATOR.encode() in beginning


def write_report(page: Page, path: Path) -> None:
    """Write a report: whole, or not at all.

    Raises:
        UnreachableError: the disk is full or fails.
    """
    from mlporter.reports.rendering import render  # noqa: PLC0415 -- Jinja, and only here

    # Through a link to the file that it stands for.
    made = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
    write_atomic(path.resolve(), render(page, made).encode("utf-8", "backslashreplace"))
