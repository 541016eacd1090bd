"""What work tells of itself, as events with phases, times and rates; and that every verb does."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

import mlporter
from mlporter.progress import (
    PHASES,
    Phases,
    ProgressEvent,
    ProgressEvents,
    log_progress,
    told_to_all,
    without_phases,
)
from tests.support.mlflow_session import sqlite_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.command_line import Finished
    from tests.support.plain_registry import PlainRegistry
    from tests.support.target_server import TargetServer


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> list[ProgressEvent]:
    return []


@pytest.fixture
def events(said: list[ProgressEvent], clock: Clock) -> ProgressEvents:
    return ProgressEvents(said.append, every=0.5, clock=clock)


def test_an_event_knows_phase_rate_and_time_left(
    events: ProgressEvents, said: list[ProgressEvent], clock: Clock
) -> None:
    phases = Phases(events, ("planning", "writing"))
    phases.begin("planning")
    clock.now += 3
    phases.begin("writing")
    events("writing metrics", 0, 1000)
    clock.now += 10
    events("writing metrics", 250, 1000)
    last = said[-1]
    assert (last.phase, last.phase_number, last.phases) == ("writing", 2, 2)
    assert (last.seconds, last.per_second, last.seconds_left) == (10, 25, 30)
    assert [one.seconds for one in said if one.event == "phase"] == [0, 3]
    assert last.as_dict()["seconds_left"] == 30


def test_a_step_is_told_of_now_and_then_and_always_at_its_end(
    events: ProgressEvents, said: list[ProgressEvent], clock: Clock
) -> None:
    for done in range(1, 11):
        clock.now += 0.125
        events("reading", done, 10)
    assert [(one.event, one.done) for one in said] == [
        ("step", 1),
        ("step", 5),
        ("step", 9),
        ("done", 10),
    ]


def test_what_comes_whole_took_since_something_was_last_heard(
    events: ProgressEvents, said: list[ProgressEvent], clock: Clock
) -> None:
    clock.now += 2
    events("reading runs", 24, 24)
    events("reading nothing", 0, 0)
    assert [(one.event, one.step, one.seconds) for one in said] == [("done", "reading runs", 2)]


def test_a_step_ends_with_the_next_if_it_counts_nothing_and_with_its_phase_in_any_case(
    events: ProgressEvents, said: list[ProgressEvent]
) -> None:
    events("looking", 0, None)
    events("copying", 5, None, "bytes")
    events("looking again", 0, None)
    events("checking", 2, 2, PHASES)
    ends = [(one.step, one.done) for one in said if one.event == "done"]
    assert ends == [("looking", 0), ("copying", 5), ("looking again", 0)]
    events("reading", 1, 2)
    events.close()
    assert (said[-1].event, said[-1].step) == ("done", "reading")


def test_silence_is_broken(events: ProgressEvents, said: list[ProgressEvent], clock: Clock) -> None:
    clock.now += 1
    events.wait(1.5)
    assert said == []
    clock.now += 1
    events.wait(1.5)
    assert (said[-1].event, said[-1].seconds) == ("waiting", 2)
    events("reading", 1, 2)
    clock.now += 2
    events.wait(1.5)
    assert (said[-1].event, said[-1].step, said[-1].done) == ("waiting", "reading", 1)


def test_a_part_of_a_phase_has_none_of_its_own() -> None:
    heard: list[Any] = []
    both = told_to_all(lambda *it: heard.append(it), lambda *it: heard.append(it))
    inner = without_phases(both)
    inner("planning", 1, 2, PHASES)
    inner("reading", 1, 2, "rows")
    assert heard == [("reading", 1, 2, "rows")] * 2


def test_steps_are_logged_with_counts_and_seconds(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mlporter")
    events = ProgressEvents(log_progress, clock=clock)
    events("writing", 1, 2, PHASES)
    events("looking", 0, None)
    clock.now += 2
    events("writing runs", 0, 2400)
    clock.now += 1.5
    events("writing runs", 2400, 2400)
    assert caplog.messages == [
        "phase 1 of 2: writing",
        "looking: 2.00 s",
        "writing runs: 2,400 rows in 1.50 s",
    ]


def heard_of(work: Callable[..., object]) -> tuple[list[str], list[ProgressEvent]]:
    """The phases that a verb tells of, numbered as they come, and all events."""
    said: list[ProgressEvent] = []
    events = ProgressEvents(said.append, every=0)
    work(on_progress=events)
    events.close()
    phases = [one for one in said if one.event == "phase"]
    numbers = [one.phase_number for one in phases]
    assert numbers == sorted(set(numbers))
    assert len({one.phases for one in phases}) == 1
    assert numbers[0] == 1
    assert numbers[-1] == phases[-1].phases
    return [one.phase for one in phases], said


def test_every_verb_tells_its_phases(plain_sqlite: PlainRegistry, tmp_path: Path) -> None:
    source, bundle = plain_sqlite.tracking_uri, tmp_path / "bundle"
    target, files = sqlite_url(tmp_path / "new.db"), tmp_path / "files"
    phases, said = heard_of(lambda **how: mlporter.export(source, bundle, **how))
    assert phases == ["opening both sides", "reading tables", "copying files", "finishing"]
    assert any(one.step == "reading runs" and one.event == "done" for one in said)
    phases, said = heard_of(
        lambda **how: mlporter.import_(bundle, target, artifact_root=files, **how)
    )
    assert phases == [
        "opening both sides",
        "planning",
        "writing",
        "reading back",
        "copying files",
        "finishing",
    ]
    # The bundle says how many bytes there are.
    (copied,) = [one for one in said if (one.event, one.step) == ("done", "copying artifacts")]
    assert copied.done == copied.total == sum(p.stat().st_size for p in files_in(files))
    phases, said = heard_of(lambda **how: mlporter.diff(bundle, target, **how))
    assert phases == ["opening both sides", "comparing rows", "comparing files"]
    phases, _ = heard_of(
        lambda **how: mlporter.import_(bundle, target, artifact_root=files, dry_run=True, **how)
    )
    assert phases == ["opening both sides", "planning", "listing files"]
    phases, _ = heard_of(lambda **how: mlporter.verify(bundle, against=target, **how))
    assert phases == ["checking", "comparing"]
    phases, _ = heard_of(lambda **how: mlporter.backup(source, tmp_path / "backups", **how))
    assert phases == ["opening both sides", "reading tables", "copying files", "finishing"]
    model = f"models:/{plain_sqlite.model_name}/3"
    prod = sqlite_url(tmp_path / "prod.db")
    receipt = tmp_path / "receipt.yaml"
    phases, _ = heard_of(
        lambda **how: mlporter.promote(
            model, source, prod, artifact_root=files, receipt=receipt, **how
        )
    )
    assert len(phases) == 3


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_into_a_server_too(plain_sqlite: PlainRegistry, server: TargetServer) -> None:
    phases, _ = heard_of(
        lambda **how: mlporter.copy(plain_sqlite.tracking_uri, server.address, **how)
    )
    assert phases == ["opening both sides", "planning", "writing", "reading back"]


def test_other_programs_read_a_line_for_each_event(
    cli: Callable[..., Finished], plain_sqlite: PlainRegistry, tmp_path: Path
) -> None:
    done = cli(
        "export", plain_sqlite.tracking_uri, tmp_path / "b", "-q", "--json", "--progress", "json"
    )
    assert done.json["verb"] == "export"
    lines = [json.loads(line) for line in done.err.splitlines()]
    fields = set(ProgressEvent.__dataclass_fields__)
    assert {frozenset(line) for line in lines} == {frozenset(fields)}
    assert [one["phase"] for one in lines if one["event"] == "phase"][-1] == "finishing"
    runs = [one for one in lines if one["step"] == "reading runs" and one["event"] == "done"]
    assert runs[0]["done"] == runs[0]["total"] > 0


@pytest.mark.parametrize("option", [("--progress", "none"), ("--no-progress",), ()])
def test_others_read_nothing(
    cli: Callable[..., Finished], rich_bundle: Path, option: tuple[str, ...]
) -> None:
    assert cli("verify", rich_bundle, "--quick", *option, "-q").err == ""
