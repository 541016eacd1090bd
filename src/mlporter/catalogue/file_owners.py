"""Whose artifact files there are, as data: which row owns them, and where it says that they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FILE_OWNERS", "FileOwners"]


@dataclass(frozen=True)
class FileOwners:
    """Rows of one kind that own files.

    Attributes:
        table: Their table.
        key: The column that names them; "" where it takes several.
        place: The column that holds the URI of their files; "" where tags or other rows say it.
        status: The column that says whether one is still at work; "" where files come all at once.
        at_work: The values of it that say so.
        ended: The columns that add up to when it was done, or last changed, in milliseconds.
    """

    table: str
    key: str = ""
    place: str = ""
    status: str = ""
    at_work: frozenset[object] = frozenset()
    ended: tuple[str, ...] = ()


_TRACE_ENDED = ("timestamp_ms", "execution_time_ms")

FILE_OWNERS: Mapping[str, FileOwners] = {
    "logged_model": FileOwners(
        "logged_models",
        "model_id",
        "artifact_location",
        "status",
        frozenset({0, 1, None}),
        ("last_updated_timestamp_ms",),
    ),
    "run": FileOwners(
        "runs",
        "run_uuid",
        "artifact_uri",
        "status",
        frozenset({"RUNNING", "SCHEDULED", None}),
        ("end_time",),
    ),
    "model_version": FileOwners("model_versions", ended=("last_updated_time",)),
    "trace": FileOwners("trace_info", "request_id", ended=_TRACE_ENDED),
    "trace_archive": FileOwners("trace_info", "request_id", ended=_TRACE_ENDED),
}
"""By the kind of owner (`mlporter.catalogue.tables.own.OWNER_KINDS`); an orphan is no row's."""
