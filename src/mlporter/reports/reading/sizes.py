"""How many files there are and how large they are, by experiment; and where some files are."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.scratch import Scratch
from mlporter.catalogue import BY_NAME
from mlporter.catalogue.tables.own import OWNER_TABLES
from mlporter.reports.limits import LINES
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mlporter.errors import LeftOut
    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["FileKey", "Size", "Sizes", "read_sizes"]

FileKey = tuple[str, str, str]
"""Kind and id of an owner, and a path."""


@dataclass(frozen=True, slots=True)
class Size:
    """So many files of so many bytes."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.files + other.files, self.bytes + other.bytes)


@dataclass(frozen=True)
class Sizes:
    """Sizes of all files.

    Attributes:
        experiments: By experiment: of its runs, logged models and traces.
        others: Of what belongs to no experiment, by kind of owner.
        problems: What could not be listed: the first ones.
        unlisted: How many things could not.
        found: The files that were looked for.
    """

    experiments: Mapping[int, Size] = field(default_factory=dict)
    others: Mapping[str, Size] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    unlisted: int = 0
    found: Mapping[FileKey, ArtifactFile] = field(default_factory=dict)

    @property
    def total(self) -> Size:
        """Of everything."""
        return sum((*self.experiments.values(), *self.others.values()), Size())


def read_sizes(source: Source, wanted: Collection[FileKey] = ()) -> Sizes:
    """List all files; sums are kept on disk while owners are many."""
    problems: list[str] = []
    unlisted = 0
    found: dict[FileKey, ArtifactFile] = {}

    def note(item: LeftOut) -> None:
        nonlocal unlisted
        if not item.expected:
            unlisted += 1
            if len(problems) < LINES:
                problems.append(f"{item.kind} {item.id} {item.path}: {item.detail}")

    def owners() -> Iterator[tuple[str, str, int, int]]:
        for (kind, owner), files in groupby(
            source.files(note), key=lambda file: (file.owner_kind, file.owner_id)
        ):
            count = size = 0
            for file in files:
                count, size = count + 1, size + file.size
                key = (kind, owner, file.path)
                if key in wanted:
                    found[key] = file
            yield kind, owner, count, size

    with closing(Scratch(_OWNERS, _BELONGS)) as scratch:
        scratch.run_many("INSERT INTO owners VALUES (?, ?, ?, ?)", owners())
        scratch.run_many("INSERT OR IGNORE INTO belongs VALUES (?, ?, ?)", _belonging(source))
        experiments = {e: Size(count, size) for e, count, size in scratch.rows(_OF_EXPERIMENTS)}
        others = {kind: Size(count, size) for kind, count, size in scratch.rows(_OF_NONE)}
    return Sizes(experiments, others, tuple(problems), unlisted, found)


_OWNERS = "CREATE TABLE owners (kind, id, files, bytes)"
_BELONGS = "CREATE TABLE belongs (kind, id, experiment, PRIMARY KEY (kind, id)) WITHOUT ROWID"
_SUMS = "sum(files), sum(bytes) FROM owners LEFT JOIN belongs USING (kind, id)"
_OF_EXPERIMENTS = f"SELECT experiment, {_SUMS} WHERE experiment IS NOT NULL GROUP BY experiment"
_OF_NONE = f"SELECT kind, {_SUMS} WHERE experiment IS NULL GROUP BY kind"


def _belonging(source: Source) -> Iterator[tuple[str, str, int]]:
    """Owners that belong to an experiment: kind, id and experiment."""
    for kind, name in OWNER_TABLES.items():
        table = BY_NAME[name]
        if "experiment_id" not in table.by_name or len(table.key) > 1:
            continue
        for owner, experiment in rows_of(source, name, (*table.key, "experiment_id")):
            if experiment is not None:
                yield kind, owner, experiment
