"""samples/airflow: its tasks back up, check and forget, in this order."""

from __future__ import annotations

import os
import runpy
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import mlporter

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.support.plain_registry import PlainRegistry

ROOT = Path(__file__).parents[2]
FILE = ROOT / "samples" / "airflow" / "mlporter_backup.py"


class Task:
    """Stands in for a task of Airflow's: a command, and what comes after it."""

    order: list[Task]

    def __init__(self, command: str, options: dict[str, Any]) -> None:
        self.command, self.options = command, options

    def __rshift__(self, after: Task) -> Task:
        Task.order.append(after)
        return after


class Tasks:
    """``airflow.sdk.task``, as far as the sample uses it."""

    @staticmethod
    def bash(**options: Any) -> Callable[[Callable[[], str]], Callable[[], Task]]:
        def decorate(function: Callable[[], str]) -> Callable[[], Task]:
            def made() -> Task:
                one = Task(function(), options)
                Task.order = Task.order or [one]
                return one

            return made

        return decorate


def loaded(home: str, monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """The tasks of the sample, in their order, with Airflow's names in one module."""
    settings: dict[str, Any] = {}

    def dag(**options: Any) -> Callable[[Callable[[], None]], Callable[[], None]]:
        settings.update(options)
        return lambda function: function

    monkeypatch.setitem(sys.modules, "airflow", ModuleType("airflow"))
    for name in ("airflow.sdk", "airflow.decorators"):
        module = ModuleType(name) if name == home else None
        if module:
            module.dag, module.task = dag, Tasks  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    Task.order = []
    runpy.run_path(str(FILE))
    assert (settings["catchup"], settings["max_active_runs"]) == (False, 1)
    return Task.order


def test_its_commands_make_a_backup_and_keep_it(
    plain_sqlite: PlainRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cli: Callable[..., Any],
) -> None:
    tasks = loaded("airflow.sdk", monkeypatch)
    values = {
        "{{ var.value.mlflow_tracking_uri }}": plain_sqlite.tracking_uri,
        "{{ var.value.mlporter_backups }}": str(tmp_path / "backups"),
    }
    for one in tasks:
        assert one.options["append_env"]
        for name, value in one.options["env"].items():
            monkeypatch.setenv(name, values[value])
        command = one.command.replace("/opt/mlporter/manifests", str(ROOT / "manifests"))
        program, *words = shlex.split(os.path.expandvars(command))
        assert program == "/opt/mlporter/bin/mlporter"
        assert cli(*words).code == 0
    assert [one.command.split()[1] for one in tasks] == ["run", "verify", "run"]
    assert mlporter.diff(plain_sqlite.tracking_uri, f"{tmp_path}/backups/@nightly").identical


def test_it_is_the_same_in_airflow_2(monkeypatch: pytest.MonkeyPatch) -> None:
    three, two = (
        [one.command for one in loaded(home, monkeypatch)]
        for home in ("airflow.sdk", "airflow.decorators")
    )
    assert two == three
