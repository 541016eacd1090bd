"""The file of a report: where one may be written, and writing it whole or not at all."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from mlporter.execute.named_files import NamedKind, check_named_file, write_named_file
from mlporter.reports.mark import GENERATOR

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from mlporter.reports.page import Page

__all__ = ["check_report_file", "write_report"]

_REPORT = NamedKind("report", GENERATOR.encode(), "--html")


def check_report_file(file: str | PathLike[str] | None) -> Path | None:
    """Refuse, before any work, a file that cannot be a report or is something else already.

    Raises:
        UsageError: it is something that is no report, or in a bundle.
        UnreachableError: there is no such folder.
    """
    return check_named_file(file, _REPORT)


def write_report(page: Page, path: Path) -> None:
    """Write a report: whole, or not at all.

    Raises:
        UnreachableError: the disk is full or fails.
    """
    from mlporter.reports.rendering import render  # noqa: PLC0415 -- Jinja, and only here

    made = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
    write_named_file(path, [render(page, made).encode("utf-8", "backslashreplace")])
