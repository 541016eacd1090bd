"""Names and limits of repository format 1: the constants of docs/repository-format.md."""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "CONTENT_FOLDERS",
    "FORMAT",
    "FORMAT_VERSION",
    "INDEX",
    "LOCKS",
    "MAX_DOCUMENT_BYTES",
    "NAME",
    "PARTS",
    "REPOSITORY",
    "SNAPSHOT",
    "SNAPSHOTS",
    "SNAPSHOT_FORMAT",
    "index_path",
    "part_object",
    "snapshot_path",
]

FORMAT: Final = "mlporter-repository"
FORMAT_VERSION: Final = 1
SNAPSHOT_FORMAT: Final = "mlporter-snapshot"

REPOSITORY: Final = "repository.yaml"
SNAPSHOTS: Final = "snapshots"
SNAPSHOT: Final = "snapshot.yaml"
"""The commit point of a snapshot: written last."""
PARTS: Final = "parts"
INDEX: Final = "index"
LOCKS: Final = "locks"
CONTENT_FOLDERS: Final = ("packs", "blobs")

MAX_DOCUMENT_BYTES: Final = 2**20
"""A longer document is refused unread."""

NAME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z-[0-9a-f]{8}")
"""How a snapshot is called: when it was begun (UTC), and a part of its id."""


def snapshot_path(name: str, document: str = SNAPSHOT) -> str:
    """The path of a document of a snapshot."""
    return f"{SNAPSHOTS}/{name}/{document}"


def part_object(sha256: str) -> str:
    """The path of a table's part, whatever tables of whatever snapshots it belongs to."""
    return f"{PARTS}/{sha256[:2]}/{sha256}.parquet"


def index_path(sha256: str) -> str:
    """The path of a piece of the index of contents."""
    return f"{INDEX}/{sha256}.parquet"
