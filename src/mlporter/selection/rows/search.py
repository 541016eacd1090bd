"""The runs that a filter finds, in any source: as MLflow's own search finds them in a database.

Text is compared by case, except with ``ILIKE``, and NULL is like nothing. ``%`` and ``_`` have no
escape. Engines differ where MLflow leaves it to them: in what ``ILIKE`` takes for the same letter
beyond ASCII (here: whatever has the same lower case), and in backslashes (here: a letter).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlporter.bundle.tables.rows import python_rows
from mlporter.compare.rows.latest_metrics import last_of_each_group
from mlporter.stores.protocols import Among

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

    from mlporter.stores.protocols import Source
    from mlporter.stores.rows.run_filter import Clause

__all__ = ["latest_points", "predicate", "runs_with"]

_LATEST = "latest_metrics"
_METRIC = ("run_uuid", "key", "value", "timestamp", "step", "is_nan")
_CONTEXT = "mlflow.data.context"

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
    "IN": lambda one, other: one in other,
    "NOT IN": lambda one, other: one not in other,
}


def predicate(clause: Clause) -> Callable[[object], bool]:
    """Whether a value satisfies a clause; NULL never does."""
    if clause.comparator in {"LIKE", "ILIKE"}:
        found = _pattern(str(clause.value), any_case=clause.comparator == "ILIKE")
        return lambda value: value is not None and found(str(value))
    compare = _COMPARISONS[clause.comparator]
    return lambda value: value is not None and compare(value, clause.value)


def _pattern(like: str, *, any_case: bool) -> Callable[[str], bool]:
    spelled = like.lower() if any_case else like
    parts = {"%": ".*", "_": "."}
    found = re.compile("".join(parts.get(c, re.escape(c)) for c in spelled), re.DOTALL)
    return lambda text: found.fullmatch(text.lower() if any_case else text) is not None


def runs_with(source: Source, clause: Clause) -> tuple[set[str], bool]:
    """The ids of runs that a clause on anything but `runs` finds, and whether it is all others."""
    if clause.comparator in {"IS NULL", "IS NOT NULL"}:
        having = _runs_having(source, clause.table, clause.key)
        return having, clause.comparator == "IS NULL"
    finders = {"metrics": _with_metric, "datasets": _with_dataset}
    return finders.get(clause.table, _with_text)(source, clause), False


def _runs_having(source: Source, table: str, key: str) -> set[str]:
    batches = source.read(table, ("run_uuid",), Among("key", (key,)))
    return {run for batch in batches for run in batch.column(0).to_pylist()}


def _with_text(source: Source, clause: Clause) -> set[str]:
    """Of parameters and tags."""
    batches = source.read(clause.table, ("run_uuid", "value"), Among("key", (clause.key,)))
    return _found(_pairs(batches), predicate(clause))


def _found(pairs: Iterable[tuple[str, Any]], fits: Callable[[object], bool]) -> set[str]:
    return {run for run, value in pairs if fits(value)}


def _with_metric(source: Source, clause: Clause) -> set[str]:
    """Not a number is unequal to everything; it is stored as 0."""
    fits = predicate(clause)
    found = set()
    for batch in latest_points(source, Among("key", (clause.key,))):
        for row in batch.select(["run_uuid", "value", "is_nan"]).to_pylist():
            if clause.comparator == "!=" if row["is_nan"] else fits(row["value"]):
                found.add(row["run_uuid"])
    return found


def latest_points(source: Source, among: Among | None) -> Iterator[pa.RecordBatch]:
    """The last point of each metric in each run: as the database says, or told from all points."""
    if any(table.name == _LATEST for table in source.tables) and source.count(_LATEST):
        yield from source.read(_LATEST, _METRIC, among)
        return
    pending: pa.RecordBatch | None = None
    for batch in source.read("metrics", _METRIC, among):
        latest, pending = last_of_each_group(pending, batch)
        yield latest
    if pending is not None:
        yield pending


def _with_dataset(source: Source, clause: Clause) -> set[str]:
    """Of the datasets that are a run's inputs any one, whose context is a tag of the input."""
    names = {table.name for table in source.tables}
    if not {"datasets", "inputs", "input_tags"} <= names:
        return set()
    fits = predicate(clause)
    column = "dataset_uuid" if clause.key == "context" else clause.key
    every = _pairs(source.read("datasets", ("dataset_uuid", column)))
    datasets = {uuid for uuid, value in every if clause.key == "context" or fits(value)}
    inputs: set[str] | None = None
    if clause.key == "context":
        tags = source.read("input_tags", ("input_uuid", "value"), Among("name", (_CONTEXT,)))
        inputs = _found(_pairs(tags), fits)
    found = set()
    for batch in source.read("inputs", ("destination_id", "source_id", "input_uuid")):
        for run, dataset, uuid in _pairs((batch,)):
            if dataset in datasets and (inputs is None or uuid in inputs):
                found.add(run)
    return found


def _pairs(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        yield from python_rows(batch)
