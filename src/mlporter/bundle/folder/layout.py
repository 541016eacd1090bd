"""Names and limits of bundles: the constants of docs/bundle-format.md, in one place."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

from mlporter.artifacts.uris.uri_text import safe_relative
from mlporter.catalogue.tables.own import OWNER_KINDS

__all__ = [
    "BLOBS",
    "BLOB_PATH",
    "EXPERIMENTS",
    "FORMAT",
    "FORMAT_VERSION",
    "GROUP_BYTES",
    "GROUP_ROWS",
    "JOURNAL",
    "LOCK",
    "MANIFEST",
    "MAX_GROUP_BYTES",
    "MAX_GROUP_ROWS",
    "MAX_MANIFEST_BYTES",
    "MODELS",
    "OWNER",
    "PACKED_VERSION",
    "PACKS",
    "PACK_PATH",
    "PARTS_PER_SIZE",
    "PART_BYTES",
    "PART_PATH",
    "SHA256",
    "SIGNATURE",
    "SUMMARIES",
    "SUMS",
    "TABLES",
    "TEMPORARY",
    "WORK",
    "blob_path",
    "is_ours",
    "is_safe_path",
    "pack_path",
    "part_limit",
    "part_path",
    "table_folder",
    "what_is_wrong",
]

FORMAT: Final = "mlporter-bundle"
FORMAT_VERSION: Final = 1
PACKED_VERSION: Final = 2
"""Bundles whose small files are in packs, and snapshots, whose tables may have layers."""

MANIFEST: Final = "manifest.yaml"
EXPERIMENTS: Final = "experiments.yaml"
MODELS: Final = "models.yaml"
SUMMARIES: Final = (EXPERIMENTS, MODELS)
SIGNATURE: Final = f"{MANIFEST}.sig"
"""The signature of the manifest, where the bundle is signed; in no list of sums."""
SUMS: Final = "SHA256SUMS"
TABLES: Final = "tables"
BLOBS: Final = "blobs"
PACKS: Final = "packs"

WORK: Final = ".mlporter"
"""The folder that exists while a bundle is being written."""
LOCK: Final = f"{WORK}/lock"
OWNER: Final = f"{WORK}/owner.json"
JOURNAL: Final = f"{WORK}/journal.jsonl"

GROUP_ROWS: Final = 65_536
"""Rows after which a row group is closed."""
MAX_GROUP_ROWS: Final = 131_072
"""The most rows of a row group."""
GROUP_BYTES: Final = 16 * 2**20
"""Raw bytes (see `mlporter.bundle.tables.rows.row_sizes`) after which a row group is closed."""
MAX_GROUP_BYTES: Final = 2**30
"""The most raw bytes a reader takes from one row group: the last row may be a long text."""
PART_BYTES: Final = 256 * 2**20
"""Raw bytes after which a part is closed at the next change of the first key column."""
PARTS_PER_SIZE: Final = 16
"""After so many parts of a table the limit doubles, so that the manifest stays small."""
MAX_MANIFEST_BYTES: Final = 2**20
"""A longer manifest is refused unread; one of ours stays under a tenth of it."""

SHA256: Final = re.compile(r"[0-9a-f]{64}")
PART_PATH: Final = re.compile(r"tables/[a-z0-9_%A-F-]{1,200}/[0-9]{5,9}\.parquet")
BLOB_PATH: Final = re.compile(r"blobs/([0-9a-f]{2})/(\1[0-9a-f]{62})")
PACK_PATH: Final = re.compile(r"packs/([0-9a-f]{2})/(\1[0-9a-f]{62})\.tar")
TEMPORARY: Final = re.compile(r"\.tmp-[0-9a-f]{16}")

_PLAIN_BYTES: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
_WORK_FILES: Final = frozenset({LOCK, OWNER, JOURNAL})
_TOP_FILES: Final = frozenset({MANIFEST, SUMS, SIGNATURE, *SUMMARIES})


def table_folder(name: str) -> str:
    """The folder of a table below ``tables/``.

    It is the table's name with every byte but ``a-z 0-9 _ -`` written as ``%XX``: no name leads
    out of the folder, and no two names meet on a file system that ignores case.
    """
    return "".join(chr(byte) if byte in _PLAIN_BYTES else f"%{byte:02X}" for byte in name.encode())


def part_path(table: str, index: int) -> str:
    """The path of a table's part, relative to the bundle; `index` counts from 0."""
    return f"{TABLES}/{table_folder(table)}/{index:05d}.parquet"


def part_limit(index: int) -> int:
    """Raw bytes after which part `index` is closed: doubled every `PARTS_PER_SIZE` parts."""
    return PART_BYTES << (index // PARTS_PER_SIZE)


def blob_path(sha256: str) -> str:
    """The path of a blob, relative to the bundle."""
    return f"{BLOBS}/{sha256[:2]}/{sha256}"


def pack_path(sha256: str) -> str:
    """The path of a pack, relative to the bundle or repository."""
    return f"{PACKS}/{sha256[:2]}/{sha256}.tar"


def name_in(path: str) -> str:
    """The SHA-256 by which a blob, a pack or a shared part is called, from its path."""
    return path.rpartition("/")[2].partition(".")[0]


def is_safe_path(path: str) -> bool:
    """Whether an artifact's path stays below its owner's root on every system.

    Refused are empty and absolute paths, empty, ``.`` and ``..`` segments, NUL, and what would
    climb or be absolute on Windows.
    """
    return safe_relative(path)


def what_is_wrong(owner_kind: str, path: str, size: int, sha256: str) -> str | None:
    """What a row of ``artifacts`` has that no writer of bundles writes, or None."""
    if owner_kind not in OWNER_KINDS:
        return "has an unknown kind of owner"
    if not is_safe_path(path):
        return "is an unsafe path"
    if not SHA256.fullmatch(sha256) or size < 0:
        return "has no SHA-256 or no size"
    return None


def is_ours(path: str) -> bool:
    """Whether a file at this path, relative to a bundle, is one that only a bundle has."""
    return (
        path in _TOP_FILES
        or path in _WORK_FILES
        or PART_PATH.fullmatch(path) is not None
        or BLOB_PATH.fullmatch(path) is not None
        or PACK_PATH.fullmatch(path) is not None
        or TEMPORARY.fullmatch(PurePosixPath(path).name) is not None
    )
