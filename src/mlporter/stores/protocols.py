"""What a place must offer to be read from and written to; and a source around another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

from mlporter.artifacts.listing import ArtifactFile, Report
from mlporter.stores.rows.version_locations import known_roots

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from mlporter.artifacts.places import WholeObject
    from mlporter.artifacts.uris.ownership import Root
    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut

__all__ = [
    "USERS_NOT_SEEN",
    "Among",
    "ArtifactFile",
    "CountsPoints",
    "Description",
    "Keep",
    "Openable",
    "OpensElsewhere",
    "RemoteSource",
    "Report",
    "SharesRoots",
    "Source",
    "TellsOutside",
    "TellsState",
    "Wrapped",
    "elsewhere",
    "only_orphans",
    "points_by_run",
    "remote_source",
]

USERS_NOT_SEEN = (
    "Users and permissions were not read: a server does not show them. To copy them, name their "
    "database with --auth."
)
"""What is said of a server's users."""

Keep = Callable[[str, str], bool]
"""Whether the files of an owner (kind, id) are wanted."""


def only_orphans(kind: str, _owner: str) -> bool:
    """A `Keep` of files that no row points to; a source that knows it looks at nothing else."""
    return kind == "orphan"


@dataclass(frozen=True)
class Among:
    """Only rows in which `column` is one of `values` (sorted; text by its UTF-8 bytes)."""

    column: str
    values: tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True)
class Description:
    """What a place is, for manifests and people.

    ``address`` is redacted; ``kind`` is "sqlite", "postgresql", "mysql", "filestore" or "bundle";
    ``revision`` the schema revision of the tables as they are read;
    ``stored_revision`` that of the database itself, where it is an older one;
    ``consistency`` "snapshot" or "live";
    ``artifacts`` "copy" where the place holds files of its own, else "reference" or "none";
    ``bundle_id`` of a bundle;
    ``selection`` what was asked for, where it is only a part of a registry, as plain values;
    ``registry`` the address of its registered models, where these are somewhere else;
    ``as_found`` a sentence on what was taken as it was found, of a schema that is not known;
    ``unsure`` where nobody can say of tables that are not known whether they are MLflow's;
    ``over_rest`` where the rows came over MLflow's REST API, which does not show everything;
    ``files`` and ``file_bytes`` how many files and bytes there are, where that is known at once.
    """

    address: str
    kind: str
    revision: str
    consistency: str
    artifacts: str = "copy"
    bundle_id: str | None = None
    selection: Mapping[str, object] | None = None
    stored_revision: str | None = None
    over_rest: bool = False
    registry: str | None = None
    as_found: str | None = None
    unsure: bool = False
    files: int | None = None
    file_bytes: int | None = None

    @property
    def has_no_users(self) -> bool:
        """Whether this kind of place has, or shows, no users and permissions."""
        return self.over_rest or self.kind in {"server", "filestore"}


class Source(Protocol):
    """A registry that can be read. Reading never changes it."""

    @property
    def description(self) -> Description:
        """What and where it is."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables as they are here, parents before children.

        The catalogue's come first (with the columns that exist here), then unknown ones. Derived,
        transient and secret tables are named too; the own tables `artifacts` and `left_out` not.
        """

    def count(self, table: str) -> int:
        """Rows of a table."""

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table, sorted by its key (text by its UTF-8 bytes); all, or those in `among`.

        Batches are of bounded size; their schema is `Table.schema`, or those columns of it in the
        order given. The column of `among` need not be one of them.
        """

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every artifact file, sorted by owner kind, owner id and path, each by its UTF-8 bytes.

        Whatever cannot be found or listed goes to `report`, and the rest goes on. Owners that
        `keep` does not want are neither looked at nor reported.
        """

    def open_file(self, file: ArtifactFile) -> AbstractContextManager[BinaryIO]:
        """The bytes of a file. Safe to call from several threads.

        Raises:
            OSError: it cannot be read (the caller reports it and goes on).
        """

    def losses(self) -> Iterator[LeftOut]:
        """What is stored here and `read` cannot give, however it is asked, or not as it is stored.

        Those ``expected`` lose nothing, such as another name for one of two things with the same.
        """

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for people of how it was read, as far as it was: complete at the end."""

    def close(self) -> None:
        """End the snapshot and free what is held."""


class Openable(Protocol):
    """Plain data that says where the bytes of a file are, so that any process can read them."""

    def open(self) -> AbstractContextManager[BinaryIO]:
        """The bytes.

        Raises:
            OSError: they cannot be read.
        """

    @property
    def folder(self) -> str:
        """The folder of this machine that it lies in; "" where it is on none."""

    @property
    def whole(self) -> WholeObject | None:
        """The object that it is, which a store might copy itself; None where it is none."""


@runtime_checkable
class OpensElsewhere(Protocol):
    """A source whose files other processes can read themselves."""

    def elsewhere(self, file: ArtifactFile) -> Openable | None:
        """Where the bytes of a file are; None if only this process can read them."""


def elsewhere(source: object, file: ArtifactFile) -> Openable | None:
    """Where other processes find the bytes of a file; None if only this one can read them."""
    return source.elsewhere(file) if isinstance(source, OpensElsewhere) else None


@runtime_checkable
class HearsSums(Protocol):
    """A source that wants to know of files that another process read."""

    def read_elsewhere(self, file: ArtifactFile, sha256: str) -> None:
        """Hear of a file that was read to its end, and its SHA-256 (hex)."""


def read_elsewhere(source: object, file: ArtifactFile, sha256: str) -> None:
    """Tell a source of a file that another process read, if it wants to know."""
    if isinstance(source, HearsSums):
        source.read_elsewhere(file, sha256)


@runtime_checkable
class SharesRoots(Protocol):
    """A source of registered models whose files may lie where another place keeps them."""

    def share_roots(self, tracking: Source) -> None:
        """Read files also below the artifact roots that `tracking` records."""


@runtime_checkable
class TellsOutside(Protocol):
    """A source that knows which of its files nobody reads, without looking at the others."""

    def outside(self) -> Iterator[LeftOut]:
        """Owners whose place is nobody's artifact root."""


@runtime_checkable
class TellsState(Protocol):
    """A source that can tell that nothing in its tables has changed, without reading them."""

    @property
    def state(self) -> str | None:
        """A text that is another one after every change of a row.

        None where nobody can say, or where something that was read did not fit, so that what is
        to be said of it is only known to who reads it again.
        """


@runtime_checkable
class CountsPoints(Protocol):
    """A reader that knows how many metric points runs have without reading them."""

    def points_by_run(self) -> Iterator[pa.RecordBatch]:
        """How many metric points each run has that has any: rows of `point_counts.POINTS`."""


def points_by_run(reader: object) -> Iterator[pa.RecordBatch] | None:
    """How many metric points each run has, if a reader or what it reads from can tell."""
    while reader is not None:
        if isinstance(reader, CountsPoints):
            return reader.points_by_run()
        reader = getattr(reader, "inner", None)
    return None


class Wrapped:
    """Another source, as it is. Those that change something inherit the rest from here."""

    def __init__(self, inner: Source) -> None:
        self.inner = inner

    @property
    def description(self) -> Description:
        """What and where it is."""
        return self.inner.description

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables."""
        return self.inner.tables

    def count(self, table: str) -> int:
        """Rows of a table."""
        return self.inner.count(table)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        return self.inner.read(table, columns, among)

    def share_roots(self, tracking: Source) -> None:
        """Read files also where another place keeps them, if it can."""
        if isinstance(self.inner, SharesRoots):
            self.inner.share_roots(tracking)

    def outside(self) -> Iterator[LeftOut]:
        """Owners whose place is nobody's artifact root, if it can tell."""
        if isinstance(self.inner, TellsOutside):
            yield from self.inner.outside()

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every artifact file, or those of the owners that `keep` wants."""
        return self.inner.files(report, keep)

    def open_file(self, file: ArtifactFile) -> AbstractContextManager[BinaryIO]:
        """The bytes of an artifact file."""
        return self.inner.open_file(file)

    def elsewhere(self, file: ArtifactFile) -> Openable | None:
        """Where other processes find them; for those to override that change what is read."""
        return elsewhere(self.inner, file)

    def read_elsewhere(self, file: ArtifactFile, sha256: str) -> None:
        """Hear of a file that another process read."""
        read_elsewhere(self.inner, file, sha256)

    def losses(self) -> Iterator[LeftOut]:
        """What its tables hold and cannot be read."""
        return self.inner.losses()

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of how it was read."""
        return self.inner.notes

    @property
    def known_roots(self) -> tuple[Root, ...]:
        """Roots that it knows of others."""
        return known_roots(self.inner)

    def close(self) -> None:
        """End the snapshot."""
        self.inner.close()


@runtime_checkable
class RemoteSource(Protocol):
    """A source that fetches what it is asked for and cannot show everything: a tracking server."""

    def narrow(self, experiments: Iterable[int]) -> None:
        """Leave what is outside of some experiments where it is, but for what is named by id."""

    def leave_histories(self, runs: Iterable[str]) -> frozenset[str]:
        """Leave the points of some runs where they are, unless they were read; which are left."""

    def take_up_histories(self, runs: Iterable[str]) -> None:
        """Read the points of some runs after all."""

    @property
    def incomplete_histories(self) -> frozenset[str]:
        """Runs some of whose points could not be read."""

    def says(self) -> Iterator[tuple[str, str]]:
        """What it is and can do, for people: names and values."""


def remote_source(source: object) -> RemoteSource | None:
    """The remote source that is inside of others, or None."""
    inner = source
    while not isinstance(inner, RemoteSource):
        inner = getattr(inner, "inner", None)
        if inner is None:
            return None
    return inner
