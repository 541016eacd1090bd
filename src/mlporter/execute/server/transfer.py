"""An import into a server, from the plan to the summary."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from mlporter.errors import ConflictError
from mlporter.execute.findings.left_out import left_out_of
from mlporter.execute.phases import PLANNING, READING_BACK, WRITING, into_server
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
from mlporter.execute.server.planning.workspaces import make_workspaces
from mlporter.execute.server.registry.mcp import write_mcp
from mlporter.execute.server.registry.registered_models import Registry
from mlporter.execute.server.registry.skills import write_skills
from mlporter.execute.server.registry.webhooks import write_webhooks
from mlporter.execute.server.removing import remove_rows, remove_units
from mlporter.execute.server.shared.context import ServerContext
from mlporter.execute.server.shared.outcome import notes_of, tables_of
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
from mlporter.plan.policy import how_to_settle, said_of_conflicts
from mlporter.plan.three_sides.actions import ActionBook
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.progress import silent
from mlporter.stores.server.source import ServerSource
from mlporter.stores.server.target_places import ServerPlaces
from mlporter.stores.server.writing.writer import Writer

if TYPE_CHECKING:
    from mlporter.execute.options import Expected
    from mlporter.execute.result import TableResult
    from mlporter.execute.server.planning.same_answers import SameAnswers
    from mlporter.plan.policy import Conflict, Policy
    from mlporter.progress import OnProgress
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source
    from mlporter.stores.rest.answer_log import AnswerLog
    from mlporter.stores.server.capabilities import Capabilities

__all__ = ["ServerTransfer"]


@dataclass
class ServerTransfer:
    """One import or copy into a server.

    Attributes:
        source: What is copied.
        place: The server.
        copies: Whether files are copied.
        dry: Plan only: the same steps, but nothing is sent.
        can: What the server can do, where that is known already.
        answers: What both servers answered, as far as that was looked at, and where it goes.
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
    answers: SameAnswers | None = None
    started: float = field(default_factory=monotonic)
    _again: ServerTransfer | None = field(default=None, init=False)
    _last: ServerTransfer | None = field(default=None, init=False)

    def run(self) -> None:
        """Plan, write, and read back."""
        self._carry()
        # Now, as what of a server cannot be read is known when it was asked for.
        for item in left_out_of(self.source):
            self.context.left_out.add(item)

    def _carry(self) -> None:
        phases = into_server(self.on_progress, dry=self.dry)
        phases.begin(PLANNING)
        context, matching = self.context, self.matching
        note_left_out_tables(context)
        make_workspaces(self.context, self.place, self.server.can.workspaces)
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
        if not self.dry:
            phases.begin(WRITING)
        self._write(registry)

        if self.dry:
            self._fields(context).plan()
            return
        phases.begin(READING_BACK)
        if self._has_written():
            self._prove()
        else:
            self._fields(context).run()
            self._remember(self)

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
        again = replace(
            self, dry=True, on_progress=silent, can=self.server.can, memory=memory, answers=None
        )
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
            self._remember(again)
        finally:
            self._again = again

    def _remember(self, last: ServerTransfer) -> None:
        """Remember what the server has now, as it was read last.

        Args:
            last: What read and compared it: this one, if nothing was written.
        """
        write_receipts(self.context, last.context)
        is_all_known = remember_looks(self.context, last.context, self.memory.base)
        if self.copies:
            self.files.remember()
        if self.answers is not None:
            self.answers.forget()
        self.changes.remember(last.changes.plan)
        if is_all_known and (not self.copies or self.files.are_settled):
            self._last = last

    def remember_answers(self, result: Result) -> None:
        """Remember what both sides answered, where nothing was left to do at the end.

        Args:
            result: What came of it.
        """
        last = self._last
        if last is None or self.answers is None or not last.server.client.answers.is_steady:
            return
        ended = replace(
            result,
            tables=last.tables(),
            files=FilesResult(result.files.mode),
            notes=(*self.source.notes, *notes_of(last.context), *self.memory.notes),
            fresh=not last.context.back.experiments,
        )
        digests = self.server.at_opening | last.server.client.answers.digests
        self.answers.remember(ended, last.memory.book, digests)

    def rehearse(self) -> None:
        """Plan, without a look at conflicts."""
        make_workspaces(self.context, self.place, self.server.can.workspaces)
        self.matching.run()
        registry = Registry(self.context, self.matching)
        registry.plan()
        self.changes.run()
        self._plan_files(registry)
        self._write(registry)

    def _tell(self, table: str, rows: int, again: ServerContext) -> None:
        if rows > 0:
            named = "; ".join(again.named[table])
            detail = f"{rows} read back differently from what was sent, or not at all: {named}"
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
        raise ConflictError(
            said_of_conflicts(conflicts),
            subject=str(self.place),
            hint=how_to_settle(self.policy.on_conflict),
            reasons=tuple(str(conflict) for conflict in conflicts[:MAX_REASONS]),
        )

    # --- What it works with -----------------------------------------------------------------------

    @cached_property
    def server(self) -> ServerSource:
        """The server as it was."""
        return self._opened(self.can, None if self.answers is None else self.answers.answers)

    def _opened(self, can: Capabilities | None, answers: AnswerLog | None = None) -> ServerSource:
        return ServerSource(
            self.place,
            uri_map=self.uri_map,
            workers=self.workers,
            retry_time=self.retry_time,
            can=can,
            answers=answers,
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
        if self._again is not None:
            self._again.memory.book.close()
            self._again.close()
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
            notes=(*self.source.notes, *notes_of(self.context), *self.memory.notes),
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
        return tables_of(self.source, self.context)

    def files_result(self, mode: str) -> FilesResult:
        """Files."""
        return self.files.result if self.copies else FilesResult(mode)


def _in_turn(on_progress: OnProgress) -> OnProgress:
    """Steps say how far they are from several threads: one at a time."""
    lock = Lock()

    def tell(step: str, done: int, total: int | None, unit: str = "rows") -> None:
        with lock:
            on_progress(step, done, total, unit)

    return tell
