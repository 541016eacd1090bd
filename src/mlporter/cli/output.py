"""Where results go: as text for people, or as one JSON object. Commands never print."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

from rich.console import Console
from rich.text import Text

from mlporter.cli.render.difference import render_diff, render_diff_verdict
from mlporter.cli.render.inventory import render_checks, render_inventory
from mlporter.cli.render.layout import print_block
from mlporter.cli.render.manifests import render_manifest_head
from mlporter.cli.render.plan import render_plan, render_refusal
from mlporter.cli.render.plan_file import markdown_plan, render_plan_file
from mlporter.cli.render.promotion import render_promotion
from mlporter.cli.render.snapshots import render_backup, render_forgotten
from mlporter.cli.render.text import visible
from mlporter.cli.render.transfer import render_left_out, render_transfer
from mlporter.cli.render.verification import render_verdict, render_verification
from mlporter.cli.terminal.failures import as_failure
from mlporter.cli.terminal.streams import last_words
from mlporter.redaction import hide_passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import RenderableType

    from mlporter.cli.render.rows import Rows
    from mlporter.cli.terminal.failures import Failure
    from mlporter.compare.report import DiffReport
    from mlporter.execute.plan_files import PlanFile
    from mlporter.execute.result import Result
    from mlporter.verbs.moving.backup import BackupResult
    from mlporter.verbs.moving.forget import ForgetResult
    from mlporter.verbs.moving.promote import PromotionResult
    from mlporter.verbs.moving.run import ManifestResult
    from mlporter.verbs.reading.doctor import DoctorReport
    from mlporter.verbs.reading.inspect import Inventory
    from mlporter.verbs.reading.verify import VerifyResult

__all__ = ["ConsoleOutput", "JsonOutput", "Output", "RowFormat", "error_console", "result_console"]

RowFormat = Literal["table", "csv", "json"]

_NO_END_OF_ROOM = 1 << 12
"""Columns of what is not a terminal: a pipe or a file cuts nothing off."""


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

    def backed_up(self, result: BackupResult) -> None:
        """A backup ended."""

    def forgot(self, result: ForgetResult) -> None:
        """Snapshots were forgotten."""

    def promoted(self, result: PromotionResult) -> None:
        """A promotion ended."""

    def planned(self, plan: PlanFile, how: str) -> None:
        """A plan file, for people: as a ``table``, ``json`` or ``markdown``."""

    def compared(self, report: DiffReport) -> None:
        """Two places were compared."""

    def verified(self, result: VerifyResult) -> None:
        """A bundle was checked."""

    def counted(self, inventory: Inventory) -> None:
        """What a place holds."""

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

    def ran(self, one: ManifestResult, *, several: bool) -> None:
        """A manifest was carried out, maybe one of several."""

    def failed(self, failure: Failure) -> None:
        """The command ended early."""


class ConsoleOutput:
    """Text: products (`diff`, `verify`, `show`, a plan …) on stdout, the rest on stderr.

    Args:
        results: For products.
        messages: For the rest.
        quiet: Say nothing but what went wrong, and verdicts; products that are asked for as such
            (`inspect`, `show`, `doctor`) stay whole.
    """

    def __init__(self, results: Console, messages: Console, *, quiet: bool = False) -> None:
        self._results = results
        self._messages = messages
        self._quiet = quiet

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
            blocks = render_refusal(result) if self._quiet else render_plan(result)
            self._print(self._results, blocks)
            return
        blocks = render_left_out(result) if self._quiet else render_transfer(result)
        if not self._quiet or result.exit_code:
            self._print(self._messages, blocks)

    def backed_up(self, result: BackupResult) -> None:
        """The snapshot; of a dry run the plan, as for any transfer."""
        if result.snapshot is None:
            self.transferred(result.result)
            return
        blocks = render_left_out(result.result) if self._quiet else render_backup(result)
        if not self._quiet or result.exit_code:
            self._print(self._messages, blocks)

    def forgot(self, result: ForgetResult) -> None:
        """Which snapshots stay and which are gone; nothing if quiet and it was done."""
        if self._quiet and not result.dry_run:
            return
        self._print(self._results, render_forgotten(result))

    def planned(self, plan: PlanFile, how: str) -> None:
        """Summaries, and what becomes of each thing."""
        if how == "json":
            _write_bytes([to_json(plan.as_dict())])
        elif how == "markdown":
            _write_bytes([markdown_plan(plan).encode("utf-8", "backslashreplace")])
        else:
            self._print(self._results, render_plan_file(plan))

    def compared(self, report: DiffReport) -> None:
        """Differences, counts and the verdict."""
        blocks = [render_diff_verdict(report)] if self._quiet else render_diff(report)
        self._print(self._results, blocks)

    def verified(self, result: VerifyResult) -> None:
        """Findings and the verdict."""
        blocks = [render_verdict(result)] if self._quiet else render_verification(result)
        self._print(self._results, blocks)

    def counted(self, inventory: Inventory) -> None:
        """Experiments, models, and rows of each table."""
        self._print(self._results, render_inventory(inventory))

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
            width = self._results.width if self._results.width < _NO_END_OF_ROOM else None
            self._print(self._results, render_rows(rows, width))
        else:
            _write_bytes(csv_lines(rows) if how == "csv" else json_array(rows))

    def checked(self, report: DoctorReport) -> None:
        """A line for each check."""
        self._print(self._results, render_checks(report))

    def narrated(self, blocks: Iterable[RenderableType]) -> None:
        """The text, unless quiet."""
        if not self._quiet:
            _print_now(self._results, blocks)

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

    def round_done(self, data: dict[str, Any], line: str) -> None:  # noqa: ARG002 -- as above
        """The line."""
        self._print(self._results, [Text(visible(line))])

    def promoted(self, result: PromotionResult) -> None:
        """Gates, what moved, and the way back."""
        if not self._quiet or result.exit_code or result.dry_run:
            self._print(self._results, render_promotion(result))

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
        self._print(self._messages, _failure_lines(failure))

    def _print(self, console: Console, blocks: Iterable[RenderableType]) -> None:
        with last_words():
            _print_now(console, blocks)


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


class JsonOutput:
    """One JSON object on stdout, errors included."""

    @property
    def stream(self) -> TextIO:
        """Stderr, as stdout is for the object."""
        return sys.stderr

    @property
    def terse(self) -> bool:
        """Programs don't read along."""
        return True

    def transferred(self, result: Result) -> None:
        """`Result.as_dict`."""
        self._object(result.as_dict())

    def backed_up(self, result: BackupResult) -> None:
        """`BackupResult.as_dict`."""
        self._object(result.as_dict())

    def forgot(self, result: ForgetResult) -> None:
        """`ForgetResult.as_dict`."""
        self._object(result.as_dict())

    def promoted(self, result: PromotionResult) -> None:
        """`PromotionResult.as_dict`."""
        self._object(result.as_dict())

    def planned(self, plan: PlanFile, how: str) -> None:  # noqa: ARG002 -- it is JSON
        """`PlanFile.as_dict`."""
        self._object(plan.as_dict())

    def compared(self, report: DiffReport) -> None:
        """`DiffReport.as_dict`."""
        self._object({**report.as_dict(), "exit_code": int(report.exit_code)})

    def verified(self, result: VerifyResult) -> None:
        """`VerifyResult.as_dict`."""
        self._object({**result.as_dict(), "exit_code": int(result.exit_code)})

    def counted(self, inventory: Inventory) -> None:
        """`Inventory.as_dict`."""
        self._object(inventory.as_dict())

    def listed(self, rows: Rows, how: RowFormat) -> None:  # noqa: ARG002
        """An object with the rows as an array; the format asked for beside is moot."""
        from mlporter.cli.render.rows import json_object  # noqa: PLC0415 -- it needs pyarrow

        _write_bytes(json_object(rows))

    def checked(self, report: DoctorReport) -> None:
        """`DoctorReport.as_dict`."""
        self._object({**report.as_dict(), "exit_code": int(report.exit_code)})

    def narrated(self, blocks: Iterable[RenderableType]) -> None:
        """Nothing: programs don't read along."""

    def told(
        self,
        data: dict[str, Any],
        blocks: Iterable[RenderableType],  # noqa: ARG002 -- it is for people
    ) -> None:
        """The object."""
        self._object(data)

    def finished(
        self,
        data: dict[str, Any],
        blocks: Iterable[RenderableType],  # noqa: ARG002 -- it is for people
        when_quiet: Iterable[RenderableType],  # noqa: ARG002
    ) -> None:
        """The object."""
        self._object(data)

    def round_done(self, data: dict[str, Any], line: str) -> None:
        """The object in a line, so that programs can read on while it goes on."""
        _write_bytes([to_json({"round": line, **data}, indent=None)])

    def ran(self, one: ManifestResult, *, several: bool) -> None:
        """Nothing: all of them are in the object at the end."""

    def failed(self, failure: Failure) -> None:
        """`Failure.as_dict`: all that is wrong, under the key ``error``."""
        self._object(failure.as_dict())

    def _object(self, data: dict[str, Any]) -> None:
        _write_bytes([to_json(data)])


def to_json(data: dict[str, Any], indent: int | None = 2) -> bytes:
    """A JSON object for people and programs: indented, UTF-8, passwords in URLs hidden."""
    text = json.dumps(_without_passwords(data), ensure_ascii=False, allow_nan=False, indent=indent)
    # File names that are not UTF-8 reach us as lone surrogates; JSON has an escape for these.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _without_passwords(value: Any) -> Any:  # noqa: ANN401 -- any JSON value
    if isinstance(value, str):
        return hide_passwords(value)
    if isinstance(value, dict):
        return {key: _without_passwords(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_passwords(item) for item in value]
    return value


def _failure_lines(failure: Failure) -> Iterator[RenderableType]:
    subject = f"{visible(failure.subject)}: " if failure.subject else ""
    message = "\n".join(visible(line) for line in failure.message.split("\n"))
    yield Text.assemble("mlporter: ", ("error: ", "bold red"), subject, message)
    for reason in failure.reasons:
        yield Text(f"  - {visible(reason)}")
    if failure.hint:
        yield Text.assemble(("hint: ", "bold"), visible(failure.hint))


def _print_now(console: Console, blocks: Iterable[RenderableType]) -> None:
    for block in blocks:
        print_block(console, block)
    console.file.flush()


def _write_bytes(chunks: Iterable[bytes]) -> None:
    with last_words():
        sys.stdout.flush()
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def result_console() -> Console:
    """A console on stdout, as wide as its terminal."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _NO_END_OF_ROOM
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def error_console() -> Console:
    """A console on stderr, as wide as its terminal."""
    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
