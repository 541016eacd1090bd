"""Runs: their description, parameters, tags, metrics, inputs and outputs, many runs at a time."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from mlporter.catalogue import BY_NAME
from mlporter.stopping import check
from mlporter.stores.addresses.file_store_folders import META
from mlporter.stores.filestore.notes import Notes, Spot
from mlporter.stores.filestore.runs.metrics import MetricTexts
from mlporter.stores.filestore.tree import valid_name
from mlporter.stores.filestore.values import Meta, read_meta, texts_below
from mlporter.stores.views.dedupe import repeats_previous_key

if TYPE_CHECKING:
    from mlporter.errors import LeftOut
    from mlporter.stores.filestore.tree import Tree

__all__ = ["RUN_TABLES", "RunBatch", "RunFolder", "SomeRuns", "read_runs"]

RUN_TABLES = ("runs", "params", "tags", "metrics")
"""Tables whose rows come from run folders, each sorted by run."""

_STATUSES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_SOURCE_TYPES = {1: "NOTEBOOK", 2: "JOB", 3: "PROJECT", 4: "LOCAL", 1000: "UNKNOWN"}
_NAMESPACE = uuid.UUID("6f1c7a0e-3d6b-5d0e-9a57-5b1f0c1d2e3f")
"""Ids that a file store does not have are made from what they are of: always the same."""
_METRIC_BYTES = 16 << 20
"""Bytes of metric files that are parsed together."""

Datasets = Mapping[str, str]
"""Ids of an experiment's datasets, by the folder that each is described in."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder that holds a run.

    Attributes:
        path: Where it is.
        experiment: The id that its experiment is copied under.
        trashed: Whether that is in the trash.
        id: The run's id, where it is not to be the one that its description gives.
    """

    path: str
    experiment: int
    trashed: bool
    id: str | None = None

    @property
    def name(self) -> str:
        """What the folder is called."""
        return self.path.rpartition("/")[2]


@dataclass
class RunBatch:
    """What was read of some runs, in the order of their folders.

    Attributes:
        runs: Ids of the runs.
        batches: By table its rows, sorted by run as given, then by key.
        lengths: By table, the rows of each run.
        rows: Rows of other tables.
        elsewhere: Runs whose folder is not called like them and their experiment, and the folder.
        renamed: Folders whose runs have another id than the folder's name: they were not read.
        repeats: Metric points that are exactly like another.
        left_out: What was not copied.
    """

    runs: list[str] = field(default_factory=list)
    batches: dict[str, list[pa.RecordBatch]] = field(default_factory=dict)
    lengths: dict[str, list[int]] = field(default_factory=dict)
    rows: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    elsewhere: list[tuple[str, str]] = field(default_factory=list)
    renamed: list[tuple[RunFolder, str]] = field(default_factory=list)
    repeats: int = 0
    left_out: tuple[LeftOut, ...] = ()

    @property
    def has_losses(self) -> bool:
        """Whether anything could not be read: another process may not be allowed to."""
        return any(not item.expected for item in self.left_out)

    def __getstate__(self) -> dict[str, Any]:
        """Rows go to another process as Arrow's IPC format has them."""
        packed = {name: _packed(some) for name, some in self.batches.items() if some}
        return {**self.__dict__, "batches": packed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.batches = {name: _unpacked(data) for name, data in state["batches"].items()}


def _packed(batches: list[pa.RecordBatch]) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return cast("bytes", buffer.getvalue().to_pybytes())


def _unpacked(data: bytes) -> list[pa.RecordBatch]:
    with pa.ipc.open_stream(data) as reader:
        return list(reader)


def made_id(*of: str) -> str:
    """An id for something that has none, of 36 characters."""
    return str(uuid.uuid5(_NAMESPACE, "\0".join(of)))


@dataclass(frozen=True, slots=True)
class SomeRuns:
    """Folders of runs to be read, by whichever process; and the datasets of their experiments."""

    tree: Tree
    folders: tuple[RunFolder, ...]
    datasets: Mapping[int, Datasets]


def read_runs(some: SomeRuns) -> RunBatch:
    """Read the runs in some folders."""
    work = _Reading(some.tree, some.datasets)
    for folder in some.folders:
        check()
        work.run(folder)
    return work.finish()


class _Reading:
    """Rows of some runs, as they are found."""

    def __init__(self, tree: Tree, datasets: Mapping[int, Datasets]) -> None:
        self._tree = tree
        self._datasets = datasets
        self._notes = Notes()
        self._batch = RunBatch()
        self._runs: list[dict[str, object]] = []
        self._texts: dict[str, tuple[list[str], list[str], list[str]]] = {
            "params": ([], [], []),
            "tags": ([], [], []),
        }
        self._metrics = MetricTexts()
        self._metric_rows: list[int] = []
        self._metric_batches: list[pa.RecordBatch] = []

    def run(self, folder: RunFolder) -> None:
        """Read one run."""
        place = self._tree.relative(folder.path)
        name = place.rpartition("/")[2]
        spot = Spot(self._notes, "runs", folder.id or name, place)
        entries = {entry.name: entry for entry in self._tree.entries(folder.path, spot)}
        if META not in entries:
            spot.lost(f"has no {META}: a run of which nothing is known", "missing")
            return
        meta = read_meta(self._tree, entries[META].path, spot.at(META))
        if meta is None:
            return
        run = meta.first_text("run_uuid", "run_id")
        if folder.id is None and run and run != name:
            self._batch.renamed.append((folder, run))
            return
        run = folder.id or name
        self._batch.runs.append(run)
        if place != f"{folder.experiment}/{run}":
            self._batch.elsewhere.append((run, folder.path))
        self._runs.append(run_row(meta, run, folder))
        self._batch.lengths.setdefault("runs", []).append(1)
        folders = {name: entry.path for name, entry in entries.items() if entry.is_dir}
        spot = spot.of("runs", run)
        for table in ("params", "tags"):
            self._read_texts(table, run, folders.get(table), spot.at(table, table))
        self._read_metrics(run, folders.get("metrics"), spot.at("metrics", "metrics"))
        if "inputs" in folders:
            self._inputs(run, folder, folders["inputs"], spot.at("inputs", "inputs"))
        if "outputs" in folders:
            self._outputs(run, folders["outputs"], spot.at("outputs", "inputs"))

    def _read_texts(self, table: str, run: str, path: str | None, spot: Spot) -> None:
        pairs = texts_below(self._tree, path, spot) if path else []
        runs, keys, values = self._texts[table]
        for key, value in pairs:
            runs.append(run)
            keys.append(key)
            values.append(value)
        self._batch.lengths.setdefault(table, []).append(len(pairs))

    def _read_metrics(self, run: str, path: str | None, spot: Spot) -> None:
        if path:
            for name, file in self._tree.files_below(path, spot):
                here = spot.at(name)
                data = self._tree.read(file, here)
                if data is not None:
                    self._metrics.add(run, name, data, here)
        if self._metrics.size >= _METRIC_BYTES:
            self._flush_metrics()

    def _flush_metrics(self) -> None:
        batch = self._metrics.batch()
        if batch.num_rows:
            self._metric_batches.append(batch)
            self._batch.repeats += int(repeats_previous_key(batch, BY_NAME["metrics"].key).sum())
        self._metrics = MetricTexts()

    def _inputs(self, run: str, folder: RunFolder, path: str, spot: Spot) -> None:
        """Datasets and logged models that a run read."""
        for entry in self._tree.folders(path, spot):
            here = spot.at(f"{entry.name}/{META}")
            meta = read_meta(self._tree, f"{entry.path}/{META}", here)
            if meta is None:
                continue
            source, kind = meta.text("source_id", "") or "", meta.text("source_type", "DATASET")
            uuid_ = made_id("input", run, entry.name)
            row: dict[str, object] = {"input_uuid": uuid_, "step": 0}
            if kind == "DATASET":
                dataset = self._datasets.get(folder.experiment, {}).get(source)
                if dataset is None:
                    here.lost(f"its dataset {source} is not there", "missing")
                    continue
                row |= _edge("DATASET", dataset, "RUN", run)
            elif kind == "MODEL":
                row |= _edge("RUN_INPUT", run, "MODEL_INPUT", source)
            else:
                here.lost(f"source_type {kind!r} is not known")
                continue
            self._add("inputs", row)
            tags = meta.mapping("tags")
            for name in tags.fields:
                value = tags.text(name) or ""
                self._add("input_tags", {"input_uuid": uuid_, "name": name, "value": value})

    def _outputs(self, run: str, path: str, spot: Spot) -> None:
        """Logged models that a run made; a folder is called like the model."""
        for entry in self._tree.folders(path, spot):
            here = spot.at(f"{entry.name}/{META}")
            meta = read_meta(self._tree, f"{entry.path}/{META}", here)
            if meta is not None:
                model = valid_name(entry.name, here)
                row = _edge("RUN_OUTPUT", run, "MODEL_OUTPUT", model)
                made = made_id("output", run, model)
                self._add("inputs", {**row, "input_uuid": made, "step": meta.number("step", 0)})

    def _add(self, table: str, row: dict[str, object]) -> None:
        self._batch.rows.setdefault(table, []).append(row)

    def finish(self) -> RunBatch:
        """Everything that was read."""
        self._flush_metrics()
        batch = self._batch
        batch.batches["runs"] = [pa.RecordBatch.from_pylist(self._runs, BY_NAME["runs"].schema)]
        for table, columns in self._texts.items():
            arrays = [pa.array(column, pa.string()) for column in columns]
            batch.batches[table] = [
                pa.RecordBatch.from_arrays(arrays, schema=BY_NAME[table].schema)
            ]
        batch.batches["metrics"] = self._metric_batches
        batch.lengths["metrics"] = _lengths(self._metric_batches, batch.runs)
        batch.left_out = self._notes.entries()
        return batch


def _lengths(batches: list[pa.RecordBatch], runs: list[str]) -> list[int]:
    """The rows of each run."""
    counts: dict[str, int] = {}
    for batch in batches:
        for found in batch.column("run_uuid").value_counts().to_pylist():
            counts[found["values"]] = counts.get(found["values"], 0) + found["counts"]
    return [counts.get(run, 0) for run in runs]


def _edge(source: str, source_id: str, destination: str, destination_id: str) -> dict[str, object]:
    return {
        "source_type": source,
        "source_id": source_id,
        "destination_type": destination,
        "destination_id": destination_id,
    }


def run_row(meta: Meta, run: str, folder: RunFolder) -> dict[str, object]:
    """A run's row, from the description of any MLflow."""
    stage = meta.text("lifecycle_stage", "active")
    return {
        "run_uuid": run,
        "name": meta.first_text("run_name", "name"),
        "source_type": _source_type(meta),
        "source_name": meta.text("source_name", ""),
        "entry_point_name": meta.text("entry_point_name", ""),
        "user_id": meta.text("user_id"),
        "status": _status(meta),
        "start_time": meta.number("start_time"),
        "end_time": meta.number("end_time"),
        "deleted_time": meta.number("deleted_time"),
        "source_version": meta.text("source_version", ""),
        "lifecycle_stage": "deleted" if folder.trashed else stage,
        "artifact_uri": meta.text("artifact_uri"),
        "experiment_id": folder.experiment,
    }


def _status(meta: Meta) -> str | None:
    """A number since MLflow 0.9; what is not there was running."""
    value = meta.fields.get("status", 1)
    if isinstance(value, int) and value in _STATUSES:
        return _STATUSES[value]
    if isinstance(value, str) and value in _STATUSES.values():
        return value
    meta.spot.lost(f"status {str(value)[:80]!r} is not known; copied as RUNNING")
    return "RUNNING"


def _source_type(meta: Meta) -> str | None:
    """A number, or a text in some that other tools wrote."""
    value = meta.fields.get("source_type", 4)
    if isinstance(value, int):
        return _SOURCE_TYPES.get(value, "UNKNOWN")
    return value if isinstance(value, str) else "LOCAL"
