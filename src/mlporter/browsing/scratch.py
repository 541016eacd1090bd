"""A registry as a scratch SQLite file that MLflow opens, with an index of its files beside it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from time import monotonic
from typing import TYPE_CHECKING

from mlporter.artifacts.uris.layout import DEFAULT_WORKSPACE
from mlporter.browsing.file_index import write_index
from mlporter.browsing.shared_names import ARTIFACT_ROOT, DATABASE, INDEX
from mlporter.execute.database.rewrite import Rewrite
from mlporter.execute.database.transfer import DatabaseTransfer
from mlporter.execute.database.upgraded import SchemaRows
from mlporter.execute.options import TransferOptions
from mlporter.plan.policy import Policy
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlporter.errors import LeftOut
    from mlporter.execute.result import Result
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["has_workspaces", "make_scratch", "remove_mlflows_own"]

_OPTIONS = TransferOptions(
    artifact_root=ARTIFACT_ROOT,
    artifacts="none",
    uri_map=(),
    workers=4,
    # An older MLflow shows what it can: what it cannot is named, and stays where it is.
    policy=Policy(drop_unknown=True),
    selection=None,
    include_secrets=False,
    strict_artifacts=False,
    dry_run=False,
    retry_time=RETRY_TIME,
)


def has_workspaces(source: Source) -> bool:
    """Whether MLflow has to be told to use workspaces: without that it refuses such a registry."""
    return any(name != DEFAULT_WORKSPACE for (name,) in rows_of(source, "workspaces", ("name",)))


def make_scratch(source: Source, folder: Path, on_progress: OnProgress) -> Result:
    """Import the rows into a new database, as `import` does, and index where the files would lie.

    Rows and files agree, as both places come from the same layout, and nothing in a new database
    is in the way of an id.

    Args:
        source: What is to be looked at.
        folder: Where the two files go.
        on_progress: Called with how far it is.

    Raises:
        MlporterError: as `import_` does.
    """
    rows = SchemaRows(source)
    memory = Memory()
    try:
        target = parse_address(f"sqlite:///{folder.absolute() / DATABASE}")
        work = DatabaseTransfer("browse", rows, target, _OPTIONS, on_progress, memory)
        result = work.run(monotonic())
    finally:
        memory.book.close()
    write_index(folder / INDEX, _placed_files(rows, on_progress))
    return result


def remove_mlflows_own(source: Source, folder: Path) -> None:
    """Take out the experiment that MLflow makes when it starts and finds none with the id 0."""
    if any(number == 0 for (number,) in rows_of(source, "experiments", ("experiment_id",))):
        return
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("DELETE FROM experiments WHERE experiment_id = 0")
        connection.commit()


def _placed_files(source: Source, on_progress: OnProgress) -> Iterator[tuple[str, ArtifactFile]]:
    """Every file with its path below the artifact root; what cannot be found is not shown."""
    root_of = Rewrite(source, ARTIFACT_ROOT).owner_root()
    owner, below = ("", ""), ""
    for count, file in enumerate(source.files(_pass_by), 1):
        if (file.owner_kind, file.owner_id) != owner:
            owner = file.owner_kind, file.owner_id
            below = root_of(*owner).removeprefix(ARTIFACT_ROOT).strip("/")
        yield f"{below}/{file.path}", file
        on_progress("looking for artifacts", count, None, "files")


def _pass_by(_item: LeftOut) -> None:
    """Files that are missing are missing in the UI, too."""
