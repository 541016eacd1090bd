"""Where results go for programs: one JSON object on stdout, errors included."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

from mlporter.cli.terminal.streams import write_bytes
from mlporter.redaction import hide_passwords

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

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

__all__ = ["JSON_VERSION", "JsonOutput", "to_json"]

JSON_VERSION = 1
"""The first key of every object: raised where a key goes or means another thing, not for new ones.

docs/json-schema.json says what each object holds.
"""


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

    def planned(self, plan: PlanFile, how: str) -> None:  # noqa: ARG002 -- it is JSON
        """`PlanFile.as_dict`."""
        self._object(plan.as_dict())

    def backed_up(self, result: BackupResult) -> None:
        """`BackupResult.as_dict`."""
        self._object(result.as_dict())

    def forgot(self, result: ForgetResult) -> None:
        """`ForgetResult.as_dict`."""
        self._object(result.as_dict())

    def compared(self, report: DiffReport) -> None:
        """`DiffReport.as_dict`."""
        self._object({**report.as_dict(), "exit_code": int(report.exit_code)})

    def verified(self, result: VerifyResult) -> None:
        """`VerifyResult.as_dict`."""
        self._object({**result.as_dict(), "exit_code": int(result.exit_code)})

    def counted(self, inventory: Inventory) -> None:
        """`Inventory.as_dict`."""
        self._object(inventory.as_dict())

    def experiment(self, found: ExperimentDetails) -> None:
        """`ExperimentDetails.as_dict`."""
        self._object(found.as_dict())

    def one_run(self, found: RunDetails) -> None:
        """`RunDetails.as_dict`."""
        self._object(found.as_dict())

    def listed(self, rows: Rows, how: str) -> None:  # noqa: ARG002
        """An object with the rows as an array; the format asked for beside is moot."""
        from mlporter.cli.render.rows import json_object  # noqa: PLC0415 -- it needs pyarrow

        write_bytes(json_object(rows, JSON_VERSION))

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
        write_bytes([to_json({"round": line, **data}, indent=None)])

    def promoted(self, result: PromotionResult) -> None:
        """`PromotionResult.as_dict`."""
        self._object(result.as_dict())

    def promotions(self, found: History) -> None:
        """`History.as_dict`."""
        self._object(found.as_dict())

    def ran(self, one: ManifestResult, *, several: bool) -> None:
        """Nothing: all of them are in the object at the end."""

    def failed(self, failure: Failure) -> None:
        """`Failure.as_dict`: all that is wrong, under the key ``error``."""
        self._object(failure.as_dict())

    def _object(self, data: dict[str, Any]) -> None:
        write_bytes([to_json(data)])


def to_json(data: dict[str, Any], indent: int | None = 2) -> bytes:
    """A JSON object for people and programs: indented, UTF-8, passwords in URLs hidden."""
    said = {"json_version": JSON_VERSION, **_without_passwords(data)}
    text = json.dumps(said, ensure_ascii=False, allow_nan=False, indent=indent)
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
