"""The phases of transfers: what is said of them while they are under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.progress import Phases

if TYPE_CHECKING:
    from mlporter.progress import OnProgress

__all__ = [
    "COPYING",
    "FINISHING",
    "LISTING",
    "OPENING",
    "PLANNING",
    "READING",
    "READING_BACK",
    "WRITING",
    "into_bundle",
    "into_database",
    "into_server",
]

OPENING = "opening both sides"
PLANNING = "planning"
READING = "reading tables"
LISTING = "listing files"
WRITING = "writing"
READING_BACK = "reading back"
COPYING = "copying files"
FINISHING = "finishing"


def into_database(on_progress: OnProgress, *, dry: bool, copies: bool) -> Phases:
    """Rows are read back in the same transaction; files come last, as they can be taken back."""
    files = [LISTING if dry else COPYING] if copies else []
    work = [] if dry else [WRITING, READING_BACK]
    end = [] if dry else [FINISHING]
    return Phases(on_progress, (OPENING, PLANNING, *work, *files, *end))


def into_server(on_progress: OnProgress, *, dry: bool) -> Phases:
    """Files go along with what they belong to."""
    return Phases(on_progress, (OPENING, PLANNING, *([] if dry else [WRITING, READING_BACK])))


def into_bundle(on_progress: OnProgress, *, copies: bool) -> Phases:
    """Into a bundle, or into a snapshot of a repository."""
    files = [COPYING] if copies else []
    return Phases(on_progress, (OPENING, READING, *files, FINISHING))
