"""An import into a server, from the plan to the summary."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from mlporter.catalogue.rest_limits import UNSETTABLE
from mlporter.errors import ConflictError, RefusedError
from mlporter.execute.left_out import left_out_of
from mlporter.execute.plan_files import check_expected
from mlporter.execute.result import ActionsResult, FilesResult, Result
from mlporter.execute.server.files import Files
from mlporter.execute.server.genai.evaluation import (
    write_datasets,
    write_issues,
    write_reviews,
    write_scorers,
)
from mlporter.execute.server.genai.gateway import write_gateway, write_gateway_rules
from mlporter.execute.server.genai.traces import restore_assessments, write_traces
from mlporter.execute.server.planning.changes import Changes
from mlporter.execute.server.planning.left_out_tables import note_left_out_tables
from mlporter.execute.server.planning.matching import Matching
from mlporter.execute.server.planning.rehearsal import Rehearsal
from mlporter.execute.server.registry.mcp import write_mcp
from mlporter.execute.server.registry.registered_models import Registry
from mlporter.execute.server.registry.skills import write_skills
from mlporter.execute.server.registry.webhooks import write_webhooks
from mlporter.execute.server.removing import remove_rows, remove_units
from mlporter.execute.server.shared.context import ServerContext
from mlporter.execute.server.snapshot import recall_names
from mlporter.execute.server.tracking.creating import (
    make_experiments,
    make_logged_models,
    make_runs,
)
from mlporter.execute.server.tracking.finishing import delete_last, end_runs
from mlporter.execute.server.tracking.inputs_outputs import write_edges, write_model_metrics
from mlporter.execute.server.tracking.logged_models import finish_logged_models, write_logged_models
from mlporter.execute.server.tracking.receipts import write_receipts
from mlporter.execute.server.tracking.run_contents import write_contents, write_experiment_tags
from mlporter.execute.server.tracking.unchanged_runs import find_unchanged_runs, remember_looks
from mlporter.execute.server.unknown_fields import SentFields
from mlporter.plan.misfits import MAX_REASONS
from mlporter.plan.policy import how_to_settle
from mlporter.plan.three_sides.actions import ActionBook
from mlporter.plan.three_sides.memory import Memory
from mlporter.progress import silent
from mlporter.stores.rows.version_locations import rows_of
from mlporter.stores.server.source import ServerSource
from mlporter.stores.server.target_places import ServerPlaces
from mlporter.stores.server.writing.writer import Writer

if TYPE_CHECKING:
    from mlporter.execute.options import Expected
    from mlporter.execute.result import TableResult
    from mlporter.plan.policy import Conflict, Policy
    from mlporter.plan.three_sides.row import RowPlan
    from mlporter.progress import OnProgress
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source
    from mlporter.stores.server.capabilities import Capabilities

__all__ = ["ServerTransfer"]

_DEFAULT = "default"


@dataclass
class ServerTransfer:
    """One import or copy into a server.

    Attributes:
        source: What is carried.
        place: The server.
        copies: Whether files are copied.
        dry: Plan only: the same steps, but nothing is sent.
        can: What the server can do, where that is known already.
    """

    source: Source
    place: Address
    policy: Policy
    workers: int
    retry_time: float
    uri_map: tuple[str, ...]
    on_progress: OnProgress
    copies: bool
    dry: bool
    memory: Memory = field(default_factory=Memory)
    expected: Expected | None = None
    can: Capabilities | None = None
    started: float = field(default_factory=monotonic)

    def run(self) -> None:
        """Plan, write, and read back."""
        self._carry()
        # Now, as what of a server cannot be read is known when it was asked for.
        for item in left_out_of(self.source):
            self.context.left_out.add(item)

    def _carry(self) -> None:
        context, matching = self.context, self.matching
        note_left_out_tables(context)
        self._check_workspaces()
        recall_names(self.memory)
        matching.run()
        find_unchanged_runs(context, self.memory.base)
        registry = Registry(context, matching)
        registry.plan()
        self.changes.run()
        matching.conflicts += self.changes.conflicts
        matching.conflicts += self._plan_files(registry)
        if self.matching.conflicts:
            if self.dry:
                return
            self._refuse()
        check_expected(self.expected, self.memory.book)
        self._write(registry)

        if self.dry:
            self._fields(context).plan()
            return
        if self._has_written():
            self._prove()
        else:
            self._fields(context).run()
            self._remember(context, self.changes.plan)

    def _plan_files(self, registry: Registry) -> list[Conflict]:
        """Plan what becomes of files that both sides have; what is in conflict."""
        if not self.copies:
            return []
        registry.find_own_files()
        self.on_progress("comparing artifacts", 0, None)
        return self.files.plan(self.changes.plan.touched)

    def _has_written(self) -> bool:
        tallies = self.context.tallies.values()
        return any(tally.written for tally in tallies) or bool(self.files.result.stored_files)

    def _prove(self) -> None:
        """Read the server again, and plan once more: whatever would be written is not as sent."""
        self.on_progress("reading back", 0, None)
        memory = replace(self.memory, book=ActionBook())
        again = replace(self, dry=True, on_progress=silent, can=self.server.can, memory=memory)
        try:
            again.context.refused.update(self.context.refused)
            again.context.remote, again.context.unread = self.context.remote, self.context.unread
            again.rehearse()
            for table, tally in again.context.tallies.items():
                refused = self.context.tallies[table].left - tally.left
                self._tell(table, tally.written - refused, again.context)
            refused = self.files.refused
            self._tell("artifacts", again.files.result.stored_files - refused, again.context)
            self._fields(again.context).run()
            self._remember(again.context, again.changes.plan)
        finally:
            memory.book.close()
            again.close()

    def _remember(self, read: ServerContext, differing: RowPlan) -> None:
        """Remember what the server has now, as it was read last."""
        write_receipts(self.context, read)
        remember_looks(self.context, read, self.memory.base)
        if self.copies:
            self.files.remember()
        self.changes.remember(differing)

    def rehearse(self) -> None:
        """Plan, without a look at conflicts."""
        self._check_workspaces()
        self.matching.run()
        registry = Registry(self.context, self.matching)
        registry.plan()
        self.changes.run()
        self._plan_files(registry)
        self._write(registry)

    def _tell(self, table: str, rows: int, again: ServerContext) -> None:
        if rows > 0:
            named = "; ".join(again.named[table])
            detail = f"{rows} read back otherwise than they were sent, or not at all: {named}"
            self.context.leave("table", table, "", "not-as-sent", detail)

    def _write(self, registry: Registry) -> None:
        context = self.context
        make_experiments(context, self.matching)
        context.find_workspaces()
        write_gateway(context)
        make_runs(context)
        make_logged_models(context)
        context.find_workspaces()
        write_contents(context)
        write_edges(context)
        write_logged_models(context)
        write_model_metrics(context)
        self._send_files(("logged_model", "run"))
        end_runs(context)
        write_issues(context)
        write_traces(context)
        self._send_files(("trace", "trace_archive"))
        registry.write()
        self._send_files(("model_version",))
        if self.copies:
            self.files.send_orphans()
        finish_logged_models(context)
        write_datasets(context)
        write_scorers(context)
        write_gateway_rules(context)
        write_mcp(context)
        write_skills(context, self.files, copies=self.copies)
        write_reviews(context)
        write_experiment_tags(context, self.matching)
        deleted = delete_last(context, self.matching)
        if not self.dry:
            restore_assessments(context, deleted)
        write_webhooks(context)
        self.matching.rename()
        remove_rows(context, self.changes.plan)
        if self.changes.vanished is not None:
            remove_units(context, self.changes.vanished.doomed)

    def _send_files(self, kinds: tuple[str, ...]) -> None:
        if self.copies:
            self.files.send(kinds)

    def _refuse(self) -> None:
        conflicts = self.matching.conflicts
        count = "1 thing is" if len(conflicts) == 1 else f"{len(conflicts)} things are"
        raise ConflictError(
            f"{count} in conflict with what is there",
            subject=str(self.place),
            hint=how_to_settle(self.policy.on_conflict),
            reasons=tuple(str(conflict) for conflict in conflicts[:MAX_REASONS]),
        )

    # --- Workspaces -------------------------------------------------------------------------------

    def _check_workspaces(self) -> None:
        """Make the workspaces that are needed, where the server has any.

        Raises:
            RefusedError: it has none, and some are needed.
        """
        context, there = self.context, self.server.can.workspaces
        used = {name or _DEFAULT for name in _workspaces(self.source)}
        to = self.policy.to_workspace
        if to is not None:
            context.ids.workspaces.update({name: to for name in used if name != to})
            context.back.workspaces.update(zip([to], used - {to}, strict=False))
            used = {to}
        if there:
            texts = dict(rows_of(self.source, "workspaces", ("name", "description")))
            for name in sorted(used - set(there)):
                self.writer_of(_DEFAULT).create_workspace(name, texts.get(name))
        elif used - {_DEFAULT}:
            raise RefusedError(
                f"has no workspaces, and these are needed: {', '.join(sorted(used))}",
                subject=str(self.place),
                hint="start it with --enable-workspaces, or bring one with --workspace NAME "
                "--to-workspace default",
            )

    # --- What it works with -----------------------------------------------------------------------

    @cached_property
    def server(self) -> ServerSource:
        """The server as it was."""
        return self._opened(self.can)

    def _opened(self, can: Capabilities | None) -> ServerSource:
        return ServerSource(
            self.place,
            uri_map=self.uri_map,
            workers=self.workers,
            retry_time=self.retry_time,
            can=can,
        )

    def _fields(self, seen: ServerContext) -> SentFields:
        return SentFields(self.context, seen, lambda: self._opened(self.server.can))

    @cached_property
    def context(self) -> ServerContext:
        """What the steps share."""
        return ServerContext(
            self.source,
            self.server,
            self.writer_of,
            self.policy,
            self.workers,
            _in_turn(self.on_progress),
            rehearsed=self.dry,
        )

    @cached_property
    def matching(self) -> Matching:
        """What is there already."""
        return Matching(self.context, memory=self.memory)

    @cached_property
    def changes(self) -> Changes:
        """What becomes of copies that are there."""
        return Changes(self.context, self.matching, self.memory)

    @cached_property
    def files(self) -> Files:
        """Files on their way."""
        return Files(self.context, self.places_of, self.memory, dry=self.dry)

    def writer_of(self, workspace: str) -> Writer:
        """What writes into a workspace."""
        if workspace not in self._writers:
            client = self.server.client_in(workspace)
            self._writers[workspace] = Rehearsal(client) if self.dry else Writer(client)
        return self._writers[workspace]

    @cached_property
    def _writers(self) -> dict[str, Writer]:
        return {}

    def places_of(self, workspace: str) -> ServerPlaces:
        """Where the files of a workspace go."""
        if workspace not in self._places:
            self._places[workspace] = ServerPlaces(self.server.client_in(workspace), self.uri_map)
        return self._places[workspace]

    @cached_property
    def _places(self) -> dict[str, ServerPlaces]:
        return {}

    def close(self) -> None:
        """Close all connections."""
        if "along" in self.context.__dict__:
            self.context.along.close()
        if "server" in self.__dict__:
            self.server.close()

    # --- What came of it --------------------------------------------------------------------------

    def result(self, verb: str, artifacts: str) -> Result:
        """The summary.

        Args:
            verb: ``import`` or ``copy``.
            artifacts: How files were to be treated.
        """
        return Result(
            verb=verb,
            source=self.source.description.address,
            target=str(self.place),
            tables=self.tables(),
            files=self.files_result(artifacts),
            left_out=self.context.left_out.summary(),
            notes=(*self.source.notes, *self.notes(), *self.memory.notes),
            seconds=monotonic() - self.started,
            dry_run=self.dry,
            fresh=not self.context.back.experiments,
            on_conflict=self.policy.on_conflict,
            renamed=tuple(self.matching.renamed),
            conflicts=tuple(self.matching.conflicts),
            actions=ActionsResult.of(self.memory.book),
        )

    def tables(self) -> tuple[TableResult, ...]:
        """Rows by table."""
        found = self.context.tallies
        return tuple(found[t.name].of(t.name) for t in self.source.tables if t.name in found)

    def notes(self) -> tuple[str, ...]:
        """What people should know of servers as targets."""
        told = ", ".join(
            f"{table}.{column}"
            for table, columns in UNSETTABLE.items()
            if self.context.tallies[table].written
            for column in sorted(columns)
        )
        found = []
        if told:
            found.append(
                f"A server gives runs and logged models ids of its own, and fills in: {told}."
            )
        if self.context.is_databricks and self.context.tallies["runs"].written:
            found.append(
                "Databricks names whoever makes a run as its user: you, and not who ran it."
            )
        return tuple(found)

    def files_result(self, mode: str) -> FilesResult:
        """Files."""
        return self.files.result if self.copies else FilesResult(mode)


def _in_turn(on_progress: OnProgress) -> OnProgress:
    """Steps tell how far they are from several threads: one at a time."""
    lock = Lock()

    def tell(step: str, done: int, total: int | None, unit: str = "rows") -> None:
        with lock:
            on_progress(step, done, total, unit)

    return tell


def _workspaces(source: Source) -> set[str]:
    found = {name for (name,) in rows_of(source, "experiments", ("workspace",))}
    return found | {name for (name,) in rows_of(source, "registered_models", ("workspace",))}
