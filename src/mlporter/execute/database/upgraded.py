"""A registry of an older schema as MLflow itself upgrades it, for a target that is newer.

What MLflow fills in when it upgrades nobody else knows. So the rows go into a database of their own
schema that is made for this, and that MLflow then upgrades; from there they are read. Files are
read where they are, and so are users, who go by names, and other programs' tables.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING

from mlporter.catalogue import described
from mlporter.catalogue.tables.own import LEFT_OUT
from mlporter.catalogue.types import Kind
from mlporter.execute.database.transfer import DatabaseTransfer
from mlporter.execute.findings.left_out import left_out_of
from mlporter.execute.options import WORKERS, TransferOptions
from mlporter.plan.policy import Policy
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.stores.addresses.address import Address, parse_address
from mlporter.stores.database.history.shape import is_old
from mlporter.stores.database.preview import revision_there
from mlporter.stores.database.schema.scripts import installed_scripts
from mlporter.stores.database.schema.standing import Standing, standing_of
from mlporter.stores.database.source import DatabaseSource
from mlporter.stores.protocols import Wrapped
from mlporter.stores.rest.retrying import RETRY_TIME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import (
        Among,
        ArtifactFile,
        Description,
        Keep,
        Report,
        Source,
    )

__all__ = ["SchemaRows", "as_new_as", "in_todays_shape"]


@contextmanager
def as_new_as(
    place: Address, source: Source, options: TransferOptions, on_progress: OnProgress
) -> Iterator[Source]:
    """A source as it is, or upgraded by the installed MLflow if the target is of its schema.

    Args:
        place: The target.
        source: What goes there.
        options: What the caller asked for.
        on_progress: Called with how far it is.
    """
    scripts, mine = installed_scripts(), source.description.revision
    can_upgrade = mine in scripts.revisions and mine != scripts.head
    there = revision_there(place) if can_upgrade else None
    is_newer = there is not None and standing_of(there, mine, scripts) is Standing.NEWER
    if there is None or not is_newer or there != scripts.head:
        yield source  # or it is refused, when the target is opened
        return
    note = (
        f"The target is newer: MLflow upgraded a copy of the source's rows from "
        f"{described(mine)} to {described(there)}, and that was copied."
    )
    with _upgraded(source, options.workers, on_progress, note) as rows:
        yield rows


@contextmanager
def in_todays_shape(source: Source, on_progress: OnProgress) -> Iterator[Source]:
    """A source as it is; or, where it is read as it is and old, in a shape that all readers know.

    That is one of the revision that the installed, old MLflow makes, or a bundle of such a one.
    """
    if not is_old(source.description.revision):
        yield source
        return
    with _upgraded(source, WORKERS, on_progress) as rows:
        yield rows


@contextmanager
def _upgraded(
    source: Source, workers: int, on_progress: OnProgress, note: str = ""
) -> Iterator[Source]:
    """The rows in a file that the installed MLflow makes, fills and upgrades as far as it can."""
    with TemporaryDirectory(prefix="mlporter-") as folder:
        scratch = parse_address(f"sqlite:///{Path(folder).absolute()}/upgraded.db")
        plain = TransferOptions(
            artifact_root=None,
            artifacts="reference",
            uri_map=(),
            workers=workers,
            policy=Policy(),
            selection=None,
            include_secrets=True,
            strict_artifacts=False,
            dry_run=False,
            retry_time=RETRY_TIME,
        )
        work = DatabaseTransfer("copy", SchemaRows(source), scratch, plain, on_progress, Memory())
        done = work.run(monotonic())
        upgraded = DatabaseSource(scratch, upgraded=True)
        try:
            yield _Upgraded(source, upgraded, done.left_out.first, note)
        finally:
            upgraded.close()


_ASIDE = frozenset({Kind.USERS, Kind.UNKNOWN})
"""Tables that no schema of a registry has."""


class SchemaRows(Wrapped):
    """A source without what is no part of MLflow's schema."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its other tables."""
        return tuple(table for table in self.inner.tables if table.kind not in _ASIDE)

    def losses(self) -> Iterator[LeftOut]:
        """Nothing: what there is to say is said of the source itself."""
        return iter(())


class _Upgraded(Wrapped):
    """A source whose tables are read from an upgraded copy of them."""

    def __init__(
        self, inner: Source, rows: DatabaseSource, lost: tuple[LeftOut, ...], note: str
    ) -> None:
        super().__init__(inner)
        self._note = (note,) if note else ()
        self._rows = rows
        self._lost = tuple(item for item in lost if not item.expected)
        self._aside = tuple(t for t in inner.tables if t.kind in _ASIDE)
        self._named = frozenset(table.name for table in self._aside)

    @property
    def description(self) -> Description:
        """What and where the source is, at the revision that it was upgraded to."""
        old = self.inner.description
        new = self._rows.description
        return replace(
            old,
            revision=new.revision,
            stored_revision=old.stored_revision or old.revision,
            as_found=new.as_found,
        )

    @property
    def tables(self) -> tuple[Table, ...]:
        """The upgraded tables, and those that are none of a registry."""
        return (*self._rows.tables, *self._aside)

    def count(self, table: str) -> int:
        """Rows of a table."""
        return (self.inner if table in self._named else self._rows).count(table)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        if table == LEFT_OUT.name:
            return iter(())  # `losses` says it
        return (self.inner if table in self._named else self._rows).read(table, columns, among)

    def points_by_run(self) -> Iterator[pa.RecordBatch]:
        """How many metric points each run has that has any."""
        return self._rows.points_by_run()

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """The source's files."""
        return self.inner.files(report, keep)

    def open_file(self, file: ArtifactFile) -> AbstractContextManager[BinaryIO]:
        """The bytes of one."""
        return self.inner.open_file(file)

    def losses(self) -> Iterator[LeftOut]:
        """What the source does not give, and what its copy could not hold."""
        yield from left_out_of(self.inner)
        yield from self._lost

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of how it was read."""
        return (*self.inner.notes, *self._note)
