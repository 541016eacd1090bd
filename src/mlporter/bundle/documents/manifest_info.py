"""From what is known of a bundle that was written to its manifest."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

from mlporter.bundle.documents.manifest import Manifest
from mlporter.bundle.documents.manifest_entries import ArtifactTotals, CreatedBy, SourceEntry
from mlporter.bundle.folder.layout import FORMAT, FORMAT_VERSION, PACKED_VERSION
from mlporter.bundle.folder.lock import utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.bundle.contents.writing import PackTotals
    from mlporter.bundle.documents.manifest_entries import LeftOutTotals, SummaryEntry, TableEntry
    from mlporter.bundle.documents.summary import OwnedFiles
    from mlporter.stores.protocols import Description

__all__ = ["ManifestInfo", "WhatWasWritten", "manifest_of"]

_WORKSPACES_SHOWN = 200


@dataclass(frozen=True)
class ManifestInfo:
    """What the writer of a bundle cannot know by itself.

    Attributes:
        source: What is exported; its address is redacted.
        mlporter: Version of this tool.
        mlflow: Version of the MLflow installed here, if any.
        workspaces: The names of the workspaces in the bundle.
        artifacts: "copy", "reference" or "none".
        selection: What was asked for, as plain values, or None for everything.
        locations: For model versions whose files are another owner's: where they are.
    """

    source: Description
    mlporter: str
    mlflow: str | None = None
    workspaces: tuple[str, ...] = ("default",)
    artifacts: Literal["copy", "reference", "none"] = "copy"
    selection: Mapping[str, object] | None = None
    locations: Mapping[tuple[str, str, int], OwnedFiles] = field(default_factory=dict)


@dataclass(frozen=True)
class WhatWasWritten:
    """What the writer of a bundle knows.

    Attributes:
        started: When it began.
        files: Artifact files, and `bytes` in all.
        blobs: Contents, each once however many files have it, and `blob_bytes` in all.
        packs: What of them lies in packs.
        is_packed: Whether only a reader of packs can read it.
    """

    started: str
    files: int
    bytes: int
    blobs: int
    blob_bytes: int
    packs: PackTotals
    is_packed: bool
    left_out: LeftOutTotals
    secrets: Mapping[str, int]
    summaries: tuple[SummaryEntry, ...]
    tables: dict[str, TableEntry]


def manifest_of(info: ManifestInfo, written: WhatWasWritten) -> Manifest:
    """The manifest of a bundle that is finished now, with an id of its own."""
    source = info.source
    return Manifest(
        format=FORMAT,
        format_version=PACKED_VERSION if written.is_packed else FORMAT_VERSION,
        bundle_id=str(uuid.uuid4()),
        created_by=CreatedBy(mlporter=info.mlporter, mlflow=info.mlflow),
        schema_revision=source.revision,
        source=SourceEntry(
            address=source.address,
            kind=source.kind,
            consistency=source.consistency,
            schema_revision=source.stored_revision,
            registry=source.registry,
        ),
        workspaces=tuple(sorted(info.workspaces)[:_WORKSPACES_SHOWN]),
        workspace_count=len(info.workspaces),
        started=written.started,
        finished=utc_now(),
        selection=info.selection,
        artifacts=ArtifactTotals(
            mode=info.artifacts,
            files=written.files,
            bytes=written.bytes,
            blobs=written.blobs,
            blob_bytes=written.blob_bytes,
            **asdict(written.packs),
        ),
        left_out=written.left_out,
        secrets=dict(sorted(written.secrets.items())),
        summaries=written.summaries,
        tables=written.tables,
    )
