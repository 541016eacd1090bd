"""A whole file store, read once: many folders at a time, into tables that can be asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.catalogue.tables.system import DEFAULT_WORKSPACE
from mlporter.closing import closed_on_error
from mlporter.stores.addresses.file_store_folders import META, RESERVED, TRASH, is_file_store
from mlporter.stores.database.history.shape import OLDEST_RELEASE, revision_for
from mlporter.stores.database.scratch_registry import ScratchRegistry
from mlporter.stores.filestore.experiments import Experiment, find_experiments, settle
from mlporter.stores.filestore.notes import Notes, Spot
from mlporter.stores.filestore.registry import read_registry
from mlporter.stores.filestore.runs.datasets import read_datasets
from mlporter.stores.filestore.runs.logged_models import read_logged_model
from mlporter.stores.filestore.runs.run_folders import (
    RUN_TABLES,
    RunBatch,
    RunFolder,
    SomeRuns,
    read_runs,
)
from mlporter.stores.filestore.runs.run_tables import RunTable
from mlporter.stores.filestore.trace_files import read_trace
from mlporter.stores.filestore.tree import Tree
from mlporter.stores.filestore.values import texts_below
from mlporter.workers.in_order import answers_in_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.progress import OnProgress
    from mlporter.workers.task_pool import TaskPool

__all__ = ["Reading", "Rows"]

_RUNS_AT_ONCE = 32


class Reading:
    """Reads a store when it is made.

    Attributes:
        scratch: All tables but those of `run_tables`.
        run_tables: Tables by name.
        notes: What was not copied, and what was reported.
        repeats: Metric points that are exactly like another.
        places: The folders of its experiments, below the root.
        folders: By kind and id of runs, models and traces the folders of their files, where these
            are not called as the ids are, or lie in the trash.
        revision: Whose tables and columns the rows have: MLflow has no newer file stores.
    """

    def __init__(self, root: str, subject: str, pool: TaskPool, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self.notes = Notes()
        self.repeats = 0
        self.places: tuple[str, ...] = ()
        self.folders: dict[tuple[str, str], Path] = {}
        self.revision = revision_for(OLDEST_RELEASE)
        self.scratch = ScratchRegistry(subject, self.revision)
        self.runs: list[str] = []
        folder = self.scratch.folder
        self.run_tables = {name: RunTable(name, self.runs, folder) for name in RUN_TABLES}
        self._tree = Tree(os.path.realpath(root))
        self._rows = Rows(self.scratch)
        self._datasets: dict[int, dict[str, str]] = {}
        self._pool = pool
        with closed_on_error(self):
            pool.check_sees(self._tree.root)
            self._read()

    def close(self) -> None:
        """Forget everything."""
        for table in self.run_tables.values():
            table.close()
        self.scratch.close()

    def _read(self) -> None:
        self._rows.add("workspaces", DEFAULT_WORKSPACE)
        experiments = settle(find_experiments(self._tree, self.notes), self.notes)
        self.places = tuple(one.place for one in experiments)
        folders: list[RunFolder] = []
        for experiment in experiments:
            folders += self._experiment(experiment)
        self._read_runs(folders)
        read_registry(self._tree, self.notes, self._rows)
        self._rows.flush()
        order = sorted(range(len(self.runs)), key=lambda place: self.runs[place].encode())
        for table in self.run_tables.values():
            table.finish(order)

    # --- Experiments --------------------------------------------------------------------------

    def _experiment(self, one: Experiment) -> list[RunFolder]:
        """Read everything of an experiment but its runs, whose folders are returned."""
        self._rows.add("experiments", one.row())
        spot = Spot(self.notes, "experiments", str(one.number), one.place)
        runs = []
        for entry in self._tree.folders(one.path, spot):
            if entry.name == "tags":
                self._tags(one, entry.path, spot.at("tags", "experiment_tags"))
            elif entry.name == "datasets":
                here = spot.at("datasets", "datasets")
                ids, rows = read_datasets(self._tree, entry.path, one.number, here)
                self._datasets[one.number] = ids
                for row in rows:
                    self._rows.add("datasets", row)
            elif entry.name == "models":
                self._models(one, entry.path, spot.at("models", "logged_models"))
            elif entry.name == "traces":
                self._traces(one, entry.path, spot.at("traces", "trace_info"))
            elif entry.name not in RESERVED and self._is_run(entry.path, spot.at(entry.name)):
                runs.append(RunFolder(entry.path, one.number, one.trashed))
        return runs

    def _is_run(self, path: str, spot: Spot) -> bool:
        """Whether a folder is to be read as a run; what it is instead is reported."""
        entries = {entry.name for entry in self._tree.entries(path, spot)}
        if META in entries or entries & _OF_RUNS or _is_id(path.rpartition("/")[2]):
            return True
        kind, reason = "is not a run: it has no description", "foreign"
        if TRASH in entries or is_file_store(path):
            kind, reason = "is a file store of its own: name it as the address", "nested"
        spot.told(kind, reason)
        return False

    def _tags(self, one: Experiment, path: str, spot: Spot) -> None:
        for key, value in texts_below(self._tree, path, spot):
            row = {"experiment_id": one.number, "key": key, "value": value}
            self._rows.add("experiment_tags", row)

    def _models(self, one: Experiment, path: str, spot: Spot) -> None:
        for entry in self._tree.folders(path, spot):
            here = spot.at(entry.name).of("logged_models", entry.name)
            model = read_logged_model(self._tree, entry.path, one, here, self._rows)
            self._note_folder("logged_model", model, entry.path, one)

    def _traces(self, one: Experiment, path: str, spot: Spot) -> None:
        for entry in self._tree.folders(path, spot):
            here = spot.at(entry.name).of("trace_info", entry.name)
            trace = read_trace(self._tree, entry.path, one.number, here, self._rows)
            self._note_folder("trace", trace, entry.path, one)

    def _note_folder(self, kind: str, id_: str | None, path: str, one: Experiment) -> None:
        if id_ is not None and (one.place != str(one.number) or not path.endswith(f"/{id_}")):
            self.folders[kind, id_] = Path(path, "artifacts")

    # --- Runs ---------------------------------------------------------------------------------

    def _read_runs(self, folders: list[RunFolder]) -> None:
        """Read runs in the order of their ids, which are the names of their folders."""
        folders.sort(key=lambda folder: os.fsencode(folder.name))
        taken: set[str] = set()
        renamed: list[tuple[RunFolder, str]] = []
        chunks = map(self._some, self._chunks(folders, taken, renamed))
        for batch in answers_in_order(
            self._pool, read_runs, chunks, failed=lambda batch: batch.has_losses
        ):
            self._take(batch)
            renamed += batch.renamed
            read = len(self.runs) + len(renamed)
            self._on_progress("reading run folders", read, len(folders), "runs")
        for folder, run in renamed:
            id_ = run
            if id_ in taken:
                id_ = sha256(self._tree.relative(folder.path).encode()).hexdigest()[:32]
                spot = Spot(self.notes, "runs", run, self._tree.relative(folder.path))
                spot.told(f"another run has the id {run}: copied as {id_}", "renamed")
            taken.add(id_)
            named = RunFolder(folder.path, folder.experiment, folder.trashed, id_)
            self._take(read_runs(self._some([named])))

    def _some(self, folders: list[RunFolder]) -> SomeRuns:
        """Folders of runs, to be read by whichever process."""
        numbers = {folder.experiment for folder in folders} & self._datasets.keys()
        datasets = {number: self._datasets[number] for number in numbers}
        return SomeRuns(self._tree, tuple(folders), datasets)

    def _chunks(
        self,
        folders: list[RunFolder],
        taken: set[str],
        renamed: list[tuple[RunFolder, str]],
    ) -> Iterator[list[RunFolder]]:
        """Some folders at a time; those whose name another has are for later."""
        chunk: list[RunFolder] = []
        for folder in folders:
            name = folder.name
            if name in taken:
                renamed.append((folder, name))
                continue
            taken.add(name)
            chunk.append(folder)
            if len(chunk) >= _RUNS_AT_ONCE:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _take(self, batch: RunBatch) -> None:
        self.runs.extend(batch.runs)
        self.folders |= {("run", run): Path(path, "artifacts") for run, path in batch.elsewhere}
        for name, table in self.run_tables.items():
            table.append(batch.batches.get(name, []), batch.lengths.get(name, []))
        for name, rows in batch.rows.items():
            for row in rows:
                self._rows.add(name, row)
        self.repeats += batch.repeats
        self.notes.extend(batch.left_out)


_OF_RUNS = frozenset({"metrics", "params", "artifacts", "tags"})


def _is_id(name: str) -> bool:
    return len(name) == 32 and all(c in "0123456789abcdef" for c in name)  # noqa: PLR2004


_AT_ONCE = 5_000
_BYTES_AT_ONCE = 16 << 20


@dataclass
class Rows:
    """Collects rows by table, and appends them to the scratch registry when there are many."""

    scratch: ScratchRegistry
    _rows: dict[str, list[Mapping[str, object]]] = field(default_factory=dict)
    _claimed: set[tuple[str, ...]] = field(default_factory=set)
    _count: int = 0
    _bytes: int = 0

    def add(self, table: str, row: Mapping[str, object]) -> None:
        """One more row."""
        self._rows.setdefault(table, []).append(row)
        self._count += 1
        self._bytes += sum(len(value) for value in row.values() if isinstance(value, str))
        if self._count >= _AT_ONCE or self._bytes >= _BYTES_AT_ONCE:
            self.flush()

    def claim(self, table: str, id_: str, spot: Spot) -> bool:
        """Whether this is the first of its id; it is reported if not."""
        key = (table, id_)
        if key in self._claimed:
            spot.of(table, id_).lost(f"there is another {id_}, which is copied", "duplicate")
            return False
        self._claimed.add(key)
        return True

    def flush(self) -> None:
        """Append what is at hand."""
        for table, rows in self._rows.items():
            self.scratch.append_rows(table, rows)
        self._rows.clear()
        self._count = self._bytes = 0
