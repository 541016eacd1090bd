"""Experiments, runs and the rest: which are asked for, before what they depend on."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlporter.bundle.tables.rows import python_rows
from mlporter.selection.models import Models
from mlporter.selection.not_found import Missing, is_named, nearest
from mlporter.selection.row_keys import joined
from mlporter.selection.rows.runs import find_runs, in_time_window, runs_like
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from mlporter.selection.criteria import Selection
    from mlporter.selection.dependencies import Reach
    from mlporter.selection.links import Shape
    from mlporter.selection.row_keys import Key
    from mlporter.stores.protocols import Source

__all__ = ["Roots"]

_TABLES_OF_KIND = {
    "runs": ("runs",),
    "logged-models": ("logged_models",),
    "traces": ("trace_info",),
    "models": ("registered_models", "model_versions"),
    "prompts": ("registered_models", "model_versions"),
    "evaluation-datasets": ("evaluation_datasets",),
    "webhooks": ("webhooks",),
    "gateway": ("secrets", "model_definitions", "endpoints", "budget_policies", "guardrails"),
    "mcp-servers": ("mcp_servers",),
    "skills": ("skills",),
}
_MODEL_TABLES = {"registered_models", "model_versions"}
_SOURCE_RUN = "mlflow.sourceRun"
_DELETED = "deleted"
_DEFAULT = "default"

_TIMES = {
    "runs": "start_time",
    "logged_models": "creation_timestamp_ms",
    "trace_info": "timestamp_ms",
}


class Roots:
    """Chooses what is asked for, and collects what of it is not there."""

    def __init__(self, source: Source, shape: Shape, criteria: Selection, reach: Reach) -> None:
        self._source = source
        self._shape = shape
        self._criteria = criteria
        self._reach = reach
        self.missing = Missing()
        self.notes: list[str] = []

    def choose(self) -> None:
        """Choose everything that is asked for; what is missing is in `missing`."""
        self._check_workspaces()
        models = Models(self._source, self._shape, self._criteria, self._reach)
        if not self._criteria.names:
            self._everything_left(models)
            return
        if self._criteria.models:
            models.named(self.missing, self.notes)
        if self._criteria.narrows:
            self._some_runs()
        elif self._criteria.experiments:
            self._whole_experiments()
        if not (any(self._reach.chosen.values()) or self.missing.lines):
            self.missing.say(f"anything of the kinds {', '.join(self._criteria.only)}")

    @property
    def scope(self) -> Collection[int] | None:
        """Experiments outside of which only what is named by id can be chosen; None is anywhere."""
        if self._criteria.experiments:
            return self._chosen_experiments
        if self._criteria.narrows and not self._criteria.runs:
            return self._experiments if self._is_restricted else None
        if self._criteria.names:
            return ()
        return self._experiments if self._is_restricted else None

    # --- What there is ----------------------------------------------------------------------------

    @cached_property
    def _is_restricted(self) -> bool:
        """Whether not all experiments come into question."""
        return bool(self._criteria.workspaces or self._criteria.exclude_deleted)

    @cached_property
    def _experiments(self) -> dict[int, str]:
        """Names of the experiments that come into question, by id."""
        columns = ("experiment_id", "name", "workspace", "lifecycle_stage")
        return {
            id_: name
            for id_, name, workspace, stage in rows_of(self._source, "experiments", columns)
            if self._is_in_workspace(workspace) and self._is_kept(stage)
        }

    @cached_property
    def _chosen_experiments(self) -> dict[int, str]:
        """Those of them that are named; all of them, if none is."""
        if not self._criteria.experiments:
            return self._experiments
        return {
            id_: name
            for id_, name in self._experiments.items()
            if any(self._is_meant(id_, name, pattern) for pattern in self._criteria.experiments)
        }

    def _is_meant(self, id_: int, name: str, pattern: str) -> bool:
        """Whether an experiment is asked for: by its name, or by its id where no name is that."""
        if pattern.isdecimal() and pattern not in self._experiments.values():
            return int(pattern) == id_
        return is_named(name, pattern)

    def _is_in_workspace(self, workspace: str | None) -> bool:
        return not self._criteria.workspaces or (workspace or _DEFAULT) in self._criteria.workspaces

    def _is_kept(self, stage: str | None) -> bool:
        return not self._criteria.exclude_deleted or stage != _DELETED

    def _wants(self, table: str) -> bool:
        """Whether rows of a table may be asked for, as `only` says."""
        if not self._criteria.only:
            return True
        tables = {name for kind in self._criteria.only for name in _TABLES_OF_KIND.get(kind, ())}
        if "experiments" in self._criteria.only:
            tables |= {"experiments", *self._shape.content("experiments")}
        return table in tables

    def _check_workspaces(self) -> None:
        if not self._criteria.workspaces:
            return
        there = {name for (name,) in rows_of(self._source, "workspaces", ("name",))} | {_DEFAULT}
        for table in ("experiments", "registered_models"):
            there |= {name for (name,) in rows_of(self._source, table, ("workspace",)) if name}
        for name in self._criteria.workspaces:
            if name not in there:
                self.missing.say(f"workspace {name!r}", nearest(name, there), there=there)

    # --- Everything that is left ------------------------------------------------------------------

    def _everything_left(self, models: Models) -> None:
        models.every()
        content = set(self._shape.content("experiments"))
        for table in self._shape.entities:
            if table in _MODEL_TABLES or not self._wants(table):
                continue
            if table == "experiments" and self._is_restricted:
                self._reach.add(table, self._experiments)
            elif table in content:
                self._content(table, self._experiments if self._is_restricted else None)
            else:
                self._others(table)

    def _content(self, table: str, experiments: dict[int, str] | None) -> None:
        """Choose what lies in some experiments, or in any; of one kind."""
        drops = self._criteria.exclude_deleted and "lifecycle_stage" in self._columns(table)
        if experiments is None and not drops:
            self._reach.add_everything(table)
            return
        for ids in self._ids(table, experiments, ("lifecycle_stage",) if drops else ()):
            self._reach.add(table, ids)

    def _ids(
        self, table: str, experiments: dict[int, str] | None, further: tuple[str, ...]
    ) -> Iterator[set[Key]]:
        (identity,) = self._shape.identity(table)
        columns = (identity, "experiment_id", *further)
        for batch in self._source.read(table, columns, self._in(experiments)):
            rows = python_rows(batch)
            yield {
                id_
                for id_, experiment, *rest in rows
                if (experiments is None or experiment in experiments)
                and self._is_kept(rest[0] if rest else None)
            }

    def _in(self, experiments: dict[int, str] | None) -> Among | None:
        """Ask for the content of a few experiments; of many, all is read and looked at."""
        few = experiments is not None and 2 * len(experiments) <= self._source.count("experiments")
        return Among("experiment_id", tuple(sorted(experiments or ()))) if few else None

    def _others(self, table: str) -> None:
        """Choose what lies in no experiment and is no model."""
        columns = self._columns(table)
        if table == "workspaces":
            if self._criteria.workspaces:
                self._reach.add(table, self._criteria.workspaces)
            elif not self._criteria.only:
                self._reach.add_everything(table)
            return
        drops = self._criteria.exclude_deleted and "deleted_timestamp" in columns
        if not drops and not self._criteria.workspaces:
            self._reach.add_everything(table)
            return
        if self._criteria.workspaces and "workspace" not in columns:
            return  # nobody can tell whose it is
        self._keys_of(table, lambda row: self._is_in_workspace(row.get("workspace"))
                      and not (drops and row["deleted_timestamp"] is not None))  # fmt: skip

    def _keys_of(self, table: str, fits: Callable[[dict[str, Any]], bool]) -> None:
        identity = self._shape.identity(table)
        known = ("workspace", "deleted_timestamp")
        further = tuple(n for n in known if n in self._columns(table) and n not in identity)
        for batch in self._source.read(table, (*identity, *further)):
            rows = batch.to_pylist()
            self._reach.add(table, {joined(r[c] for c in identity) for r in rows if fits(r)})

    def _columns(self, table: str) -> set[str]:
        return set(self._shape.tables[table].by_name)

    # --- By name ----------------------------------------------------------------------------------

    def _named_experiments(self) -> None:
        """Choose experiments, without what is in them; say which are not there."""
        for pattern in self._criteria.experiments:
            chosen = self._chosen_experiments.items()
            if not any(self._is_meant(id_, name, pattern) for id_, name in chosen):
                names = set(self._experiments.values())
                self.missing.say(f"experiment {pattern!r}", nearest(pattern, names), there=names)
        if self._criteria.experiments and self._wants("experiments"):
            self._reach.add("experiments", self._chosen_experiments)

    def _whole_experiments(self) -> None:
        self._named_experiments()
        for table in self._shape.content("experiments"):
            if self._wants(table):
                self._content(table, self._chosen_experiments)

    # --- Some runs --------------------------------------------------------------------------------

    def _some_runs(self) -> None:
        self._named_experiments()
        runs, absent = find_runs(self._source, self._criteria, self._in_question)
        self._say_runs(absent)
        if self._wants("runs"):
            self._reach.add("runs", runs)
        found = bool(runs)
        if self._wants("logged_models") and "logged_models" in self._shape.tables:
            self._reach.add("logged_models", self._made_by(runs))
        if self._wants("trace_info") and "trace_request_metadata" in self._shape.tables:
            self._reach.add("trace_info", self._traced_in(runs))
        if self._criteria.is_window and not self._criteria.runs and not self._criteria.filter:
            for table in ("logged_models", "trace_info"):
                if table in self._shape.tables and self._wants(table):
                    ids = self._in_window(table)
                    found = found or bool(ids)
                    self._reach.add(table, ids)
        if not found and not absent:
            self._say_no_run()

    def _say_no_run(self) -> None:
        how = "the filter" if self._criteria.filter else "the time window"
        if self._criteria.filter and self._criteria.is_window:
            how = "both the filter and the time window"
        if self._reach.chosen["registered_models"]:
            self.notes.append(f"No run matches {how}.")
        else:
            self.missing.say(f"a run that matches {how}")

    @property
    def _in_question(self) -> dict[int, str] | None:
        """The experiments whose runs come into question; None is any."""
        is_any = not (self._is_restricted or self._criteria.experiments)
        return None if is_any else self._chosen_experiments

    def _say_runs(self, absent: set[str]) -> None:
        near = runs_like(self._source, absent)
        for run in sorted(absent):
            if run in near.get(run, ()):
                self.missing.say(f"run {run!r} among what else is asked for")
            else:
                self.missing.say(f"run {run!r}", near.get(run, ()))

    def _made_by(self, runs: set[str]) -> set[str]:
        """Logged models that some runs made."""
        columns = ("model_id", "source_run_id", "lifecycle_stage")
        models = rows_of(self._source, "logged_models", columns)
        return {id_ for id_, run, stage in models if run in runs and self._is_kept(stage)}

    def _traced_in(self, runs: set[str]) -> set[str]:
        """Traces of what some runs did."""
        columns = ("request_id", "value")
        among = Among("key", (_SOURCE_RUN,))
        found: set[str] = set()
        for batch in self._source.read("trace_request_metadata", columns, among):
            pairs = python_rows(batch)
            found.update(trace for trace, run in pairs if run in runs)
        return found

    def _in_window(self, table: str) -> set[str]:
        (identity,) = self._shape.identity(table)
        columns = (identity, "experiment_id", _TIMES[table], "lifecycle_stage")
        return {
            id_
            for id_, experiment, time, stage in rows_of(self._source, table, columns)
            if experiment in self._chosen_experiments
            and in_time_window(self._criteria, time)
            and self._is_kept(stage)
        }
