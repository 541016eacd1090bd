"""What a bundle or a snapshot would hold: rows counted, files listed, nothing written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.execute.findings.left_out import LeftOutCollector, left_out_of
from mlporter.execute.result import FilesResult, Result, TableResult
from mlporter.plan.table_plan import plan_transfer

if TYPE_CHECKING:
    from mlporter.execute.options import ArtifactsMode
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import Source

__all__ = ["counted_export"]


def counted_export(
    verb: str,
    source: Source,
    target: str,
    *,
    artifacts: ArtifactsMode,
    include_secrets: bool,
    on_progress: OnProgress,
) -> Result:
    """Count rows and list files; no file is read.

    Args:
        verb: What would be done.
        source: What would be copied.
        target: Where to; for people.
        artifacts: What would become of files.
        include_secrets: Whether secrets would come.
        on_progress: Called with how far it is.
    """
    counts = {table.name: source.count(table.name) for table in source.tables}
    plan = plan_transfer(source.tables, counts, include_secrets=include_secrets)
    left_out = LeftOutCollector()
    for item in (*plan.left_out, *left_out_of(source)):
        left_out.add(item)
    files = size = 0
    if artifacts == "copy":
        for file in source.files(left_out.add):
            files, size = files + 1, size + file.size
            on_progress("listing artifacts", files, None, "files")
    skipped = (TableResult(name, 0, skipped=rows) for name, rows in plan.skipped.items())
    return Result(
        verb=verb,
        source=source.description.address,
        target=target,
        tables=(*(TableResult(table.name, counts[table.name]) for table in plan.tables), *skipped),
        files=FilesResult(artifacts, files, size),
        left_out=left_out.summary(),
        notes=source.notes,
        dry_run=True,
    )
