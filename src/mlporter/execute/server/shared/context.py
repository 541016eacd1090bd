"""What all steps of an import into a server share: both sides, the map of ids, and the tallies."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.artifacts.uris import layout
from mlporter.catalogue import source_tags
from mlporter.compare.rows.missing_rows import MissingRows
from mlporter.compare.rows.shape import blank_places, pair_up
from mlporter.execute.server.shared.counting import NAMED, Counting
from mlporter.execute.server.shared.fields_along import FieldsAlong
from mlporter.execute.server.shared.parts import Within
from mlporter.plan.capabilities import DATABRICKS, SERVER
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.ids.mapped_rows import MappedReader, map_batch
from mlporter.plan.matching.natural_keys import tagged
from mlporter.plan.units import Choice, Chosen
from mlporter.stores.protocols import Among
from mlporter.stores.rest.answers import REFUSED, reason_of
from mlporter.stores.rows.version_locations import rows_of
from mlporter.stores.server.table_families import ANYWHERE
from mlporter.stores.views.rest_view import rest_batch
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.catalogue.types import Table
    from mlporter.compare.rows.missing_rows import Missing
    from mlporter.compare.rows.shape import Normalise, Pair
    from mlporter.execute.server.tracking.unchanged_runs import Proof
    from mlporter.plan.capabilities import Capabilities
    from mlporter.plan.policy import Policy
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import RemoteSource, Source
    from mlporter.stores.server.source import ServerSource
    from mlporter.stores.server.writing.writer import Writer

__all__ = ["ServerContext", "TargetExperiment"]


@dataclass(frozen=True)
class TargetExperiment:
    """An experiment on the server: its workspace, and where its files go."""

    workspace: str
    location: str


@dataclass
class ServerContext(Counting):
    """An import into a server.

    Attributes:
        source: What is copied, as it is.
        server: What the server had at the start; fetched as it is asked for.
        writer_of: What writes into a workspace.
        policy: What to do about conflicts.
        workers: Requests at a time.
        rehearsed: Whether nothing is really written.
        ids: The server's ids by the source's, of all that is there or was made so far.
        back: The source's ids by the server's, of what was there at the start.
        target_experiments: Experiments on the server that are written into, by the server's ids.
        fresh: Runs and logged models (the source's ids) that this import makes.
        deleted_models: Logged models (the source's ids) whose copies were deleted, as they are
            themselves.
        lost_traces: Traces that could not be copied.
        with_receipt: Runs (the source's ids) all of whose points are known to be on the server.
        lacking: Runs (the source's ids) some of whose points were not on the server.
        remote: The server that the source is, or comes from, if any.
        looks: How the source's runs look, of those that are not at work any more.
        unread: Runs (the source's ids) that look as they did on both sides: their points are not
            read, and this is what is remembered of them.
        proofs: What is known of the points of runs (the source's ids) when all is done.
        sent_tags: Tags (the source's ids of runs, and keys) that went with the request that made
            the run.
        restored_runs: Deleted runs (the source's ids) that were restored to log to them.
        matched_models: Registered models (the server's workspaces and names) that the source's go
            into, or would.
        version_roots: Where files go that a model version has of its own, by owner id.
        model_roots: Where Databricks has the files of logged models, by its ids.
        workspaces: Of runs and logged models (the source's ids); empty where there is only one.
    """

    source: Source
    server: ServerSource
    writer_of: Callable[[str], Writer]
    policy: Policy
    workers: int
    on_progress: OnProgress
    rehearsed: bool = False
    ids: IdMap = field(default_factory=IdMap)
    back: IdMap = field(default_factory=IdMap)
    target_experiments: dict[int, TargetExperiment] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    deleted_models: set[str] = field(default_factory=set)
    lost_traces: set[str] = field(default_factory=set)
    with_receipt: frozenset[str] = frozenset()
    lacking: set[str] = field(default_factory=set)
    remote: RemoteSource | None = None
    looks: dict[str, int] = field(default_factory=dict)
    unread: dict[str, Proof] = field(default_factory=dict)
    proofs: dict[str, Proof] = field(default_factory=dict)
    sent_tags: set[tuple[str, str]] = field(default_factory=set)
    restored_runs: set[str] = field(default_factory=set)
    workspaces: dict[str, str] = field(default_factory=dict)
    matched_models: frozenset[tuple[str, str]] = frozenset()
    version_roots: dict[str, str] = field(default_factory=dict)
    model_roots: dict[str, str] = field(default_factory=dict)
    waking: Lock = field(default_factory=Lock)

    @cached_property
    def along(self) -> FieldsAlong:
        """Fields of a newer MLflow, which go along with what is made."""
        return FieldsAlong(self.source, self.server)

    @cached_property
    def is_databricks(self) -> bool:
        """Whether the server is Databricks, whose rules are stricter."""
        return self.server.client_in("default").databricks

    @property
    def can(self) -> Capabilities:
        """What it can do with what it has."""
        return DATABRICKS if self.is_databricks else SERVER

    # --- Rows -------------------------------------------------------------------------------------

    @cached_property
    def tables(self) -> dict[str, Table]:
        """The source's tables by name."""
        return {table.name: table for table in self.source.tables}

    def has(self, table: str) -> bool:
        """Whether there is anything of a table to copy; what there is not, no server is asked."""
        return table in self.tables and bool(self.source.count(table))

    @cached_property
    def there(self) -> MappedReader:
        """What the server had of ours at the start, in the source's terms."""
        units = {
            entity: Chosen(frozenset(self.back.of(entity))) for entity in ("runs", "logged_models")
        }
        within = Within(self.server, self._matched, self.matched_models)
        return MappedReader(within, self.back, Choice(units))

    @cached_property
    def all_copies(self) -> MappedReader:
        """All copies on the server, of whatever the source had once, in the source's terms."""
        numbers = {
            int(copy): int(number)
            for copy, number in tagged(
                self.server, "experiment_tags", "experiment_id", source_tags.EXPERIMENT
            )
            if number.isdigit()
        }
        ids = {
            "runs": dict(tagged(self.server, "tags", "run_uuid", source_tags.RUN)),
            "logged_models": dict(
                tagged(self.server, "logged_model_tags", "model_id", source_tags.LOGGED_MODEL)
            ),
        }
        back = self._back_of_all(numbers, ids)
        units = {kind: Chosen(frozenset(found)) for kind, found in ids.items()}
        units["experiments"] = Chosen(frozenset(numbers))
        return MappedReader(self.server, back, Choice(units))

    def _back_of_all(self, numbers: dict[int, int], ids: dict[str, dict[str, str]]) -> IdMap:
        return IdMap(
            workspaces=self.back.workspaces,
            experiments=numbers,
            models=self.back.models,
            ids={**self.back.ids, **ids},
        )

    @property
    def everything(self) -> MappedReader:
        """All that the server has; what is a copy has the id of the original."""
        return MappedReader(self.server, self.all_copies.ids)

    @property
    def _matched(self) -> frozenset[int]:
        return frozenset(self.back.experiments)

    def pair(self, name: str, leave: frozenset[str] = frozenset()) -> Pair | None:
        """What is compared of a table, or None where one side does not have it."""
        mine = self.tables.get(name)
        return None if mine is None else self.pair_of(mine, leave)

    def pair_of(self, mine: Table, leave: frozenset[str] = frozenset()) -> Pair | None:
        """The same of a table of any source."""
        name = mine.name
        theirs = next((table for table in self.server.tables if table.name == name), None)
        if theirs is None:
            return None
        leave |= self.can.of(name).unsettable | {c.name for c in mine.columns if c.secret}
        leave |= {place.column for place in mine.places if place.where is None}
        return pair_up(mine, theirs, leave)

    def normalisers(self, name: str) -> list[Normalise]:
        """What is done to the rows of both sides before they are compared."""
        return self.normalisers_of(self.tables[name])

    @staticmethod
    def normalisers_of(table: Table) -> list[Normalise]:
        """The same of a table of any source."""
        blanked = [place for place in table.places if place.where is not None]
        return [_as_rest_shows, *([blank_places(blanked)] if blanked else [])]

    def missing(
        self, name: str, *, leave: frozenset[str] = frozenset(), count: bool = True
    ) -> Iterator[Missing]:
        """Rows of the source that the server did not have, or had otherwise; counts the others.

        Rows of whatever is not copied are among them: a step passes over what has no new id.

        Args:
            name: The table.
            leave: Columns that are not compared.
            count: Count those that are there.
        """
        pair = self.pair(name, leave)
        if pair is None or pair.right is None or not self.has(name):
            return
        mine, total, done = self.tables[name], self.source.count(name), 0
        asked = bool(self._matched) or name in ANYWHERE
        right = self.there.read(name, tuple(pair.right.schema.names)) if asked else iter(())
        left = self._not_known(name, self.source.read(name, tuple(mine.schema.names)))
        rows = MissingRows(pair, left, right, self.normalisers(name))
        for found in rows:
            if self.rehearsed:
                for row in found.rows.slice(0, NAMED).select(list(mine.order)).to_pylist():
                    self.note(name, ", ".join(str(value) for value in row.values()))
            if count and found.changed:
                self.tallies[name].changed += found.rows.num_rows
            yield found
            done += found.rows.num_rows
            self.on_progress(f"writing {name}", done + rows.same, total)
        self.tallies[name].there += rows.same if count else 0

    def _not_known(self, name: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Rows without the points that are known to be on the server, which are counted."""
        if name != "metrics" or not self.with_receipt:
            yield from batches
            return
        known_runs = pa.array(sorted(self.with_receipt), pa.string())
        for batch in batches:
            known = pc.is_in(batch.column("run_uuid"), value_set=known_runs)
            rest = batch.filter(pc.invert(known))
            self.tallies[name].there += batch.num_rows - rest.num_rows
            yield rest

    def mapped(self, name: str, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows of the source as the server is to have them."""
        return map_batch(self.tables[name], batch, self.ids)

    def mapped_row(self, name: str, row: dict[str, Any]) -> dict[str, Any]:
        """The same of one row."""
        batch = pa.RecordBatch.from_pylist([row], schema=self.tables[name].schema)
        found: dict[str, Any] = self.mapped(name, batch).to_pylist()[0]
        return found

    def root_of(self, kind: str, id_: str) -> str:
        """Where the server has the files of a run or logged model of the source."""
        table, column = ("runs", "run_uuid") if kind == "run" else ("logged_models", "model_id")
        for batch in self.source.read(table, ("experiment_id",), Among(column, (id_,))):
            for experiment in batch.column(0).to_pylist():
                return self.root_in(experiment, kind, self.ids.of(table)[id_])
        raise KeyError(id_)

    def root_in(self, experiment: int, kind: str, copy: str) -> str:
        """Where the files of an owner lie that is in an experiment of the source."""
        return self.root_at(self.target_experiments[self.ids.experiments[experiment]], kind, copy)

    def root_at(self, home: TargetExperiment, kind: str, copy: str) -> str:
        """Where the files of an owner lie that is in an experiment on the server."""
        if self.is_databricks and kind == "logged_model":  # a layout of its own, which it tells
            if copy not in self.model_roots:
                writer = self.writer_of(home.workspace)
                self.model_roots[copy] = writer.logged_model_location(copy)
            return self.model_roots[copy]
        return layout.owner_root(home.location, kind, copy)

    def carried(self, batch: pa.RecordBatch, column: str, entity: str) -> pa.RecordBatch:
        """Only rows whose `column` holds something that is on the server by now."""
        known = self.ids.of(entity)
        keys = batch.column(batch.schema.get_field_index(column))
        keep = [key in known for key in keys.to_pylist()]
        return batch if all(keep) else batch.filter(pa.array(keep, pa.bool_()))

    # --- Where ------------------------------------------------------------------------------------

    def find_workspaces(self) -> None:
        """Note which workspace each run and logged model is in, if there are several."""
        if len({home.workspace for home in self.target_experiments.values()}) <= 1:
            return
        for table, column in (("runs", "run_uuid"), ("logged_models", "model_id")):
            for id_, experiment in rows_of(self.source, table, (column, "experiment_id")):
                home = self.target_experiments.get(self.ids.experiments.get(experiment, -1))
                if home is not None:
                    self.workspaces[id_] = home.workspace

    def writer_in(self, experiment: int) -> tuple[Writer, int]:
        """What writes into an experiment of the source, and its id on the server."""
        number = self.ids.experiments[experiment]
        return self.writer_of(self.target_experiments[number].workspace), number

    def writer_of_run(self, run: str) -> tuple[Writer, str]:
        """What writes to a run of the source, and its id on the server."""
        return self.writer_of(self._workspace(run)), self.ids.of("runs")[run]

    def writer_of_model(self, model: str) -> tuple[Writer, str]:
        """What writes to a logged model of the source, and its id on the server."""
        return self.writer_of(self._workspace(model)), self.ids.of("logged_models")[model]

    def _workspace(self, id_: str) -> str:
        if id_ in self.workspaces:
            return self.workspaces[id_]
        return next(iter(self.target_experiments.values())).workspace

    # --- What is deleted there --------------------------------------------------------------------

    @cached_property
    def asleep(self) -> set[str]:
        """Runs (the source's ids) whose copies were deleted at the start: nothing can be logged."""
        if not self.back.of("runs"):
            return set()
        columns = ("run_uuid", "lifecycle_stage")
        return {run for run, stage in rows_of(self.there, "runs", columns) if stage == "deleted"}

    def wake(self, run: str) -> None:
        """Restore a run that something is to be logged to; it is deleted again at the end."""
        with self.waking:
            if run not in self.asleep or run in self.restored_runs:
                return
            self.restored_runs.add(run)
            writer, copy = self.writer_of_run(run)
            try:
                writer.restore_run(copy)
            except REFUSED as error:
                self.leave("run", run, "", reason_of(error), error.message)

    def is_offered(self, family: str, table: str) -> bool:
        """Whether the server can hold something; if it can't, rows of `table` are noted."""
        rows = self.source.count(table) if self.has(table) else 0
        if not rows or self.server.can.may(family):
            return bool(rows)
        version = self.server.can.version
        detail = f"{plural(rows, 'row')}: the server's MLflow ({version}) has no {family}"
        self.leave("table", table, "", "unsupported", detail)
        self.skip(table, rows)
        return False


def _as_rest_shows(table: Table, batch: pa.RecordBatch) -> pa.RecordBatch:
    """What looks the same over REST is the same."""
    return rest_batch(table.name, batch)
