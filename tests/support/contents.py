"""The contents of a bundle, wherever they lie, and the ways to break them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from mlporter.bundle.contents.packs import read_members
from mlporter.bundle.folder.layout import blob_path, pack_path

__all__ = ["contents", "damage_content", "lose_content"]


def contents(bundle: str | Path) -> dict[str, bytes]:
    """Every content of a bundle, finished or not, by its SHA-256."""
    found = {
        path.name: path.read_bytes() for path in Path(bundle, "blobs").rglob("*") if path.is_file()
    }
    for path in Path(bundle, "packs").glob("*/*.tar"):
        with path.open("rb") as file:
            found |= {member.sha256: content for member, content in read_members(file, str(path))}
    return found


def damage_content(bundle: Path) -> str:
    """Change a byte of a content, and return its SHA-256."""
    sha256, path, offset = _last(bundle)
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    return sha256


def lose_content(bundle: Path) -> str:
    """Remove the file in which a content lies, and return its name."""
    _, path, _ = _last(bundle)
    path.unlink()
    return path.name


def _last(bundle: Path) -> tuple[str, Path, int]:
    """A content that is not empty: its SHA-256, the file it lies in, and where."""
    table = pq.read_table(bundle / "tables" / "contents" / "00000.parquet").to_pylist()
    row = max((row for row in table if row["size"]), key=lambda row: row["sha256"])
    path = pack_path(row["pack"]) if row["pack"] else blob_path(row["sha256"])
    return row["sha256"], bundle / path, row["offset"]
