"""Where results go: as text for people (`json_output` is for programs). Commands never print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

from rich.text import Text

from mlporter.cli.json_output import to_json
from mlporter.cli.render.backups.snapshots import render_backup, render_forgotten, render_lacking
from mlporter.cli.render.backups.verification import render_verdict, render_verification
from mlporter.cli.render.details import render_experiment, render_run
from mlporter.cli.render.difference import render_diff, render_diff_verdict
from mlporter.cli.render.inventory import render_checks, render_inventory
from mlporter.cli.render.layout import BRIEF, View, wrapped
from mlporter.cli.render.left_out import render_left_out
from mlporter.cli.render.promotion import render_history, render_promotion
from mlporter.cli.render.text import visible
from mlporter.cli.render.transfers.manifests import render_manifest_head
from mlporter.cli.render.transfers.plan import render_plan, render_refusal
from mlporter.cli.render.transfers.plan_file import markdown_plan, render_plan_file
from mlporter.cli.render.transfers.transfer import render_transfer
from mlporter.cli.terminal.consoles import WIDEST, print_now, room_for_rows
from mlporter.cli.terminal.failures import as_failure
from mlporter.cli.terminal.streams import last_words, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import Console, RenderableType

    from mlporter.cli.render.rows import Rows
    from mlporter.cli.terminal.failures import Failure
    from mlporter.compare.report import DiffReport
    from mlporter.execute.plan_files import PlanFile
    from mlporter.execute.result import Result
    from mlporter.verbs.backups.backup import BackupResult
    from mlporter.verbs.backups.forget import ForgetResult
    from mlporter.verbs.promoting.history import History
    from mlporter.verbs.promoting.promotion_result import PromotionResult
    from mlporter.verbs.reading.doctor import DoctorReport
    from mlporter.verbs.reading.inspect import Inventory
    from mlporter.verbs.reading.inspect_one import ExperimentDetails, RunDetails
    from mlporter.verbs.reading.verify import VerifyResult
    from mlporter.verbs.run import ManifestResult

__all__ = ["ConsoleOutput", "Output", "RowFormat"]

RowFormat = Literal["table", "csv", "json"]


class Output(Protocol):
    """Takes what a command has to say."""

    @property
    def stream(self) -> TextIO:
        """Where the output of commands goes that this command runs."""

    @property
    def terse(self) -> bool:
        """Whether such commands should keep quiet."""

    def transferred(self, result: Result) -> None:
        """An export, import, copy or unpack ended."""

    def promoted(self, result: PromotionResult) -> None:
        """A promotion ended."""

    def planned(self, plan: PlanFile, how: str) -> None:
        """A plan file, for people: as a ``table``, ``json`` or ``markdown``."""

    def backed_up(self, result: BackupResult) -> None:
        """A backup ended."""

    def forgot(self, result: ForgetResult) -> None:
        """Snapshots were forgotten."""

    def compared(self, report: DiffReport) -> None:
        """Two places were compared."""

    def verified(self, result: VerifyResult) -> None:
        """A bundle was checked."""

    def counted(self, inventory: Inventory) -> None:
        """What a place holds."""

    def experiment(self, found: ExperimentDetails) -> None:
        """What an experiment holds."""

    def one_run(self, found: RunDetails) -> None:
        """What a run holds."""

    def listed(self, rows: Rows, how: RowFormat) -> None:
        """Rows of a table."""

    def checked(self, report: DoctorReport) -> None:
        """What `doctor` found."""

    def narrated(self, blocks: Iterable[RenderableType]) -> None:
        """What a command that runs others is at: for people, on stdout."""

    def told(self, data: dict[str, Any], blocks: Iterable[RenderableType]) -> None:
        """How a command that runs others ended: the object for programs, the text for people."""

    def finished(
        self,
        data: dict[str, Any],
        blocks: Iterable[RenderableType],
        when_quiet: Iterable[RenderableType],
    ) -> None:
        """How a command ended: the object for programs, the text for people, or what -q leaves."""

    def round_done(self, data: dict[str, Any], line: str) -> None:
        """How a round of `--watch` ended: a line, for programs and for people."""

    def promotions(self, found: History) -> None:
        """The promotions of a model."""

    def ran(self, one: ManifestResult, *, several: bool) -> None:
        """A manifest was carried out, maybe one of several."""

    def failed(self, failure: Failure) -> None:
        """The command ended early."""


class ConsoleOutput:
    """Text: products (`diff`, `verify`, `show`, a plan …) on stdout, the rest on stderr.

    Args:
        results: For products.
        messages: For the rest.
        quiet: Say nothing but what went wrong; products that are asked for as such (`inspect`,
            `show`, `history`) stay whole.
        view: How much people want to see.
    """

    def __init__(
        self, results: Console, messages: Console, *, quiet: bool = False, view: View = BRIEF
    ) -> None:
        self._results = results
        self._messages = messages
        self._quiet = quiet
        self._view = view

    @property
    def stream(self) -> TextIO:
        """Stdout, so that a story stays in order."""
        return sys.stdout

    @property
    def terse(self) -> bool:
        """As this command is."""
        return self._quiet

    def transferred(self, result: Result) -> None:
        """The final table; of a dry run the plan, which is what was asked for."""
        if result.dry_run:
            how = render_refusal if self._quiet else render_plan
            blocks = how(result, self._view)
            self._print(self._results, blocks)
            return
        how = render_left_out if self._quiet else render_transfer
        blocks = how(result, self._view)
        if not self._quiet or result.exit_code:
            self._print(self._messages, blocks)

    def planned(self, plan: PlanFile, how: str) -> None:
        """Summaries, and what becomes of each thing."""
        if how == "json":
            write_bytes([to_json(plan.as_dict())])
        elif how == "markdown":
            write_bytes([markdown_plan(plan).encode("utf-8", "backslashreplace")])
        else:
            self._print(self._results, render_plan_file(plan))

    def backed_up(self, result: BackupResult) -> None:
        """The snapshot; of a dry run the plan, as for any transfer."""
        if result.snapshot is None:
            self.transferred(result.result)
            return
        blocks = render_lacking(result) if self._quiet else render_backup(result)
        if not self._quiet or result.exit_code:
            self._print(self._messages, blocks)

    def forgot(self, result: ForgetResult) -> None:
        """Which snapshots stay and which are gone; nothing if quiet and it was done."""
        if self._quiet and not result.dry_run:
            return
        self._print(self._results, render_forgotten(result))

    def compared(self, report: DiffReport) -> None:
        """Differences, counts and the verdict."""
        if self._quiet and report.identical:
            return
        is_terse = self._quiet
        blocks = [render_diff_verdict(report)] if is_terse else render_diff(report, self._view)
        self._print(self._results, blocks)

    def verified(self, result: VerifyResult) -> None:
        """Findings and the verdict."""
        if self._quiet and not result.exit_code:
            return
        is_terse = self._quiet
        blocks = [render_verdict(result)] if is_terse else render_verification(result, self._view)
        self._print(self._results, blocks)

    def counted(self, inventory: Inventory) -> None:
        """Experiments, models, and rows of each table."""
        self._print(self._results, render_inventory(inventory, self._view))

    def experiment(self, found: ExperimentDetails) -> None:
        """What it is, its tags and runs."""
        self._print(self._results, render_experiment(found, self._view))

    def one_run(self, found: RunDetails) -> None:
        """Parameters, metrics, tags, files."""
        self._print(self._results, render_run(found, self._view))

    def listed(self, rows: Rows, how: RowFormat) -> None:
        """Rows, as a table, CSV, or a JSON array."""
        # Imported here because it needs pyarrow, and no other output does.
        from mlporter.cli.render.rows import (  # noqa: PLC0415
            csv_lines,
            json_array,
            render_rows,
        )

        if rows.note and not self._quiet:
            self._print(self._messages, [Text(f"note: {rows.note}")])
        if how == "table":
            room = room_for_rows(self._results)
            self._print(self._results, render_rows(rows, room, self._view), widest=None)
        else:
            write_bytes(csv_lines(rows) if how == "csv" else json_array(rows))

    def checked(self, report: DoctorReport) -> None:
        """A line for each check; if quiet, for those that failed."""
        self._print(self._results, render_checks(report, failed=self._quiet))

    def narrated(self, blocks: Iterable[RenderableType]) -> None:
        """The text, unless quiet."""
        if not self._quiet:
            print_now(self._results, blocks)

    def told(
        self,
        data: dict[str, Any],  # noqa: ARG002 -- it is for programs
        blocks: Iterable[RenderableType],
    ) -> None:
        """The text."""
        self._print(self._results, blocks)

    def finished(
        self,
        data: dict[str, Any],  # noqa: ARG002 -- it is for programs
        blocks: Iterable[RenderableType],
        when_quiet: Iterable[RenderableType],
    ) -> None:
        """The text."""
        self._print(self._messages, when_quiet if self._quiet else blocks)

    def round_done(self, data: dict[str, Any], line: str) -> None:
        """The line; if quiet, that of a round in which something went wrong."""
        if self._quiet and not data.get("exit_code"):
            return
        self._print(self._results, [Text(visible(line))])

    def promoted(self, result: PromotionResult) -> None:
        """Gates, what moved, and the way back; nothing if quiet and all went well."""
        if self._quiet and not result.exit_code and not result.dry_run:
            return
        self._print(self._results, render_promotion(result, self._view))

    def promotions(self, found: History) -> None:
        """A block for each."""
        self._print(self._results, render_history(found, self._view))

    def ran(self, one: ManifestResult, *, several: bool) -> None:
        """As its verb would say it, below the name of the manifest."""
        if several:
            self.narrated(render_manifest_head(one))
        if one.error is not None:
            self.failed(as_failure(one.error))
        elif one.result is not None:
            _SAYS[one.kind](self, one.result)

    def failed(self, failure: Failure) -> None:
        """What is wrong with what, why, and what to do next."""
        lines: Iterable[RenderableType] = _failure_lines(failure, self._view)
        if self._messages.is_terminal or self._view.width:
            lines = (
                wrapped(line, hang=4 if line.plain.startswith("  -") else 6)
                for line in _failure_lines(failure, self._view)
            )
        self._print(self._messages, lines)

    def _print(
        self, console: Console, blocks: Iterable[RenderableType], widest: int | None = WIDEST
    ) -> None:
        with last_words():
            print_now(console, blocks, self._view.width or widest)


_SAYS: dict[str, Callable[[ConsoleOutput, Any], None]] = {
    "export": ConsoleOutput.transferred,
    "import": ConsoleOutput.transferred,
    "copy": ConsoleOutput.transferred,
    "sync": ConsoleOutput.transferred,
    "promote": ConsoleOutput.promoted,
    "diff": ConsoleOutput.compared,
    "verify": ConsoleOutput.verified,
    "backup": ConsoleOutput.backed_up,
    "forget": ConsoleOutput.forgot,
}
"""How the result of each kind of manifest is said."""


_REASONS = 8
"""How many of the reasons of a failure are shown."""


def _failure_lines(failure: Failure, view: View) -> Iterator[Text]:
    subject = f"{visible(failure.subject)}: " if failure.subject else ""
    message = "\n".join(visible(line) for line in failure.message.split("\n"))
    yield Text.assemble("mlporter: ", ("error: ", "bold red"), subject, message)
    reasons = failure.reasons[: view.named(_REASONS)]
    for reason in reasons:
        yield Text(f"  - {visible(reason)}")
    if len(failure.reasons) > len(reasons):
        yield Text(f"  …and {len(failure.reasons) - len(reasons):,} more (-v)")
    if failure.hint:
        yield Text.assemble(("hint: ", "bold"), visible(failure.hint))
