"""The command line, run in this process, and what it printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlporter.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


@dataclass(frozen=True)
class Finished:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What ``--json`` put on stdout."""
        return json.loads(self.out)


def command_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Finished]:
    """Runs a command line as on a pipe, 80 columns wide: ``mlporter("diff", "a", "b")``."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "NO_COLOR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)

    def finished(*argv: object) -> Finished:
        capsys.readouterr()
        code = run([str(argument) for argument in argv])
        return Finished(code, *capsys.readouterr())

    return finished
