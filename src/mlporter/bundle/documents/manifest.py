"""``manifest.yaml`` and ``SHA256SUMS``: what a bundle holds, and how its chain of hashes begins."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from mlporter.bundle.documents.manifest_entries import (
    NEEDED,
    OWN_TABLES,
    ArtifactTotals,
    Count,
    CreatedBy,
    Entry,
    LeftOutTotals,
    Name,
    SourceEntry,
    SummaryEntry,
    TableEntry,
    Time,
    require,
)
from mlporter.bundle.documents.plain_yaml import emit
from mlporter.bundle.documents.safe_yaml import load_yaml
from mlporter.bundle.folder.files import read_inside
from mlporter.bundle.folder.layout import (
    FORMAT,
    FORMAT_VERSION,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    PACKED_VERSION,
    SUMMARIES,
    part_path,
)
from mlporter.catalogue.tables.own import CONTENTS
from mlporter.catalogue.types import Kind
from mlporter.errors import BundleDamagedError, UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Manifest",
    "load_manifest",
    "manifest_bytes",
    "parse_manifest",
    "sums_bytes",
    "sums_of",
]


class Manifest(Entry):
    """All of ``manifest.yaml``; docs/bundle-format.md explains every field.

    ``secrets`` counts the secrets that are in the bundle: a table's rows by its name, a column's
    values by ``table.column``.
    """

    format: Literal["mlporter-bundle"]
    format_version: Literal[1, 2]
    bundle_id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    created_by: CreatedBy
    schema_revision: str
    source: SourceEntry
    workspaces: tuple[str, ...] = Field(strict=False)
    workspace_count: Count
    started: Time
    finished: Time
    selection: Any = None
    artifacts: ArtifactTotals
    left_out: LeftOutTotals
    secrets: dict[Name, Count] = Field(default_factory=dict)
    summaries: tuple[SummaryEntry, ...] = Field(strict=False)
    tables: dict[Name, TableEntry]

    @model_validator(mode="after")
    def _is_in_its_places(self) -> Manifest:
        for name, entry in self.tables.items():
            for index, part in enumerate(entry.parts):
                right = part.path == part_path(name, index)
                require(right, f"part {index} of table {name!r} has another path")
        require(set(self.tables) >= NEEDED, "artifacts or left_out is not listed")
        for name, table in OWN_TABLES.items():
            if name not in self.tables or (name not in NEEDED and not _is_ours(self, name)):
                continue
            right = self.tables[name].table(name).schema == table.schema
            require(right and self.tables[name].key == table.key, f"{name} has other columns")
        layered = any(entry.layers for entry in self.tables.values())
        require(self.format_version > 1 or not layered, "format 1 has no layers")
        require(self.format_version > 1 or not self.has_packs, "format 1 has no packs")
        packs = self.artifacts.packs > 0
        require(packs == self.has_packs, "packs are counted without contents, or not counted")
        paths = tuple(summary.path for summary in self.summaries)
        require(paths == SUMMARIES, "summaries are not experiments.yaml and models.yaml")
        return self

    @property
    def has_packs(self) -> bool:
        """Whether contents are in packs, so that the table ``contents`` says where."""
        return CONTENTS.name in self.tables and _is_ours(self, CONTENTS.name)


def _is_ours(manifest: Manifest, name: str) -> bool:
    return manifest.tables[name].kind == Kind.OWN.value


def manifest_bytes(manifest: Manifest) -> bytes:
    """The bytes of ``manifest.yaml``; fields that say nothing (``unknown: false``) are left out."""
    fields = manifest.model_dump(mode="json")
    if fields["source"]["schema_revision"] is None:
        del fields["source"]["schema_revision"]
    if not fields["secrets"]:
        del fields["secrets"]
    if not fields["artifacts"]["packs"]:
        for name in ("packs", "pack_bytes", "packed", "packed_bytes"):
            del fields["artifacts"][name]
    for table in fields["tables"].values():
        _leave_out_what_says_nothing(table)
    return "".join(emit(fields)).encode()


def _leave_out_what_says_nothing(table: dict[str, Any]) -> None:
    for entry in (table, *table["columns"]):
        if not entry["unknown"]:
            del entry["unknown"]
    for name in ("references", "places", "layers"):
        if not table[name]:
            del table[name]
    for part in table["parts"]:
        if not part["layer"]:
            del part["layer"]


def load_manifest(root: Path) -> Manifest:
    """Read and check ``manifest.yaml`` of the bundle in `root`.

    Raises:
        BundleDamagedError: it is not what docs/bundle-format.md says.
        UnsupportedError: it is of a later format version.
        UnreachableError: it cannot be read.
    """
    data = read_inside(root, MANIFEST, MAX_MANIFEST_BYTES)
    return parse_manifest(data, str(root / MANIFEST))


@lru_cache(maxsize=8)
def parse_manifest(data: bytes, where: str = MANIFEST) -> Manifest:
    """As `load_manifest`, from bytes; errors say `where` they are from.

    The last ones are kept: a verb asks for that of a bundle two or three times, and to read the
    YAML of sixty tables takes longer than many a verb has to do besides. Nobody changes one.
    """
    value = load_yaml(data, where)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BundleDamagedError(f"does not say format: {FORMAT}", subject=where)
    _check_version(value, where)
    try:
        return Manifest.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        reasons = tuple(
            f"{'.'.join(str(step)[:80] for step in problem['loc']) or 'manifest'}: {problem['msg']}"
            for problem in problems[:10]
        )
        message = "is not as the format says"
        raise BundleDamagedError(message, subject=where, reasons=reasons) from None


def _check_version(value: dict[str, Any], where: str) -> None:
    version = value.get("format_version")
    if version in {FORMAT_VERSION, PACKED_VERSION} and type(version) is int:
        return
    if type(version) is not int or version < 1:
        raise BundleDamagedError("format_version is not a positive number", subject=where)
    maker = value.get("created_by")
    release = str(maker.get("mlporter", "")) if isinstance(maker, dict) else ""
    named = f"mlporter {release}" if re.fullmatch(r"[0-9A-Za-z.+!-]{1,40}", release) else "another"
    message = f"bundle format {version}; this release reads formats up to {PACKED_VERSION}"
    hint = f"it was written by {named}; use that release: pip install --upgrade mlporter"
    raise UnsupportedError(message, subject=where, hint=hint)


def sums_of(manifest: Manifest, manifest_data: bytes) -> dict[str, str]:
    """The SHA-256 (hex) that each file but blobs and ``SHA256SUMS`` itself must have, by path."""
    sums = {MANIFEST: hashlib.sha256(manifest_data).hexdigest()}
    sums |= {summary.path: summary.sha256 for summary in manifest.summaries}
    for table in manifest.tables.values():
        sums |= {part.path: part.sha256 for part in table.parts}
    return sums


def sums_bytes(sums: dict[str, str]) -> bytes:
    """The one and only bytes of ``SHA256SUMS``: sorted by path, two spaces, lower case."""
    return "".join(f"{sums[path]}  {path}\n" for path in sorted(sums)).encode()
