"""What an export would do: looked at in the source and at the directory, with nothing written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.bundle.folder.state import State, refuse_used, state_of
from mlporter.bundle.replacing import new_place
from mlporter.stores.opening import bundle_address
from mlporter.verbs.moving.counted_export import counted_export

if TYPE_CHECKING:
    from mlporter.bundle.writer import Mode
    from mlporter.execute.options import ArtifactsMode
    from mlporter.execute.result import Result
    from mlporter.progress import OnProgress
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source

__all__ = ["plan_export"]


def plan_export(
    source: Source,
    place: Address,
    mode: Mode,
    *,
    artifacts: ArtifactsMode,
    include_secrets: bool,
    on_progress: OnProgress,
) -> Result:
    """Count rows and list files; no file is read.

    Args:
        source: What would be exported.
        place: The directory.
        mode: What would be done where it is used.
        artifacts: What would become of files.
        include_secrets: Whether secrets would come.
        on_progress: Told how far it is.

    Raises:
        RefusedError: the directory is used otherwise.
    """
    refuse_used(_written_place(Path(bundle_address(place)), mode), mode)
    return counted_export(
        "export",
        source,
        str(place),
        artifacts=artifacts,
        include_secrets=include_secrets,
        on_progress=on_progress,
    )


def _written_place(path: Path, mode: Mode) -> Path:
    """Where it would be written: beside a finished bundle, where a replacement was interrupted."""
    beside = new_place(Path(os.path.realpath(path)))
    goes_on = mode == "resume" and not beside.is_symlink() and beside.exists()
    return beside if goes_on and state_of(beside) is State.UNFINISHED else path
