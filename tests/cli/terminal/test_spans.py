"""OpenTelemetry spans of a command, as an exporter gets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlporter.cli.terminal import spans

sdk = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")

BUNDLE = Path(__file__).parents[3] / "samples" / "bundle-format-1"


@pytest.fixture
def exporter(monkeypatch):
    """What a collector gets; none is asked for yet."""
    for name in ("OTEL_SDK_DISABLED", *spans._ASKED_BY):
        monkeypatch.delenv(name, raising=False)
    kept = sdk.InMemorySpanExporter()
    monkeypatch.setattr(spans, "_exporter", lambda: kept)
    return kept


def test_a_command_its_phases_and_its_steps_are_spans(exporter, cli, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert cli("verify", BUNDLE, "--against", BUNDLE).code == 0
    *inner, root = exporter.get_finished_spans()
    assert root.name == "mlporter verify"
    assert root.attributes["mlporter.exit_code"] == 0
    assert root.parent.span_id == 0xB7AD6B7169203331
    assert root.resource.attributes["service.name"] == "mlporter"
    phases = [span for span in inner if "mlporter.phase" in span.attributes]
    steps = [span for span in inner if "mlporter.done" in span.attributes]
    assert len(phases) > 1
    assert {phase.parent.span_id for phase in phases} == {root.context.span_id}
    places = {span.context.span_id for span in (*phases, root)}
    assert {step.parent.span_id for step in steps} <= places
    assert max(step.attributes["mlporter.done"] for step in steps) > 10
    assert all(root.start_time <= span.start_time <= span.end_time for span in phases)


def test_a_failure_is_an_error_without_its_password(exporter, cli, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    assert cli("inspect", "sqlite:///none.db?password=s3cret-word").code == 6
    *_, root = exporter.get_finished_spans()
    assert (root.status.is_ok, root.attributes["mlporter.exit_code"]) == (False, 6)
    assert root.attributes["error.type"] == "UnreachableError"
    assert "s3cret-word" not in root.to_json()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_nothing_is_recorded_unless_it_is_asked_for(exporter, cli, monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cli("inspect", BUNDLE).code == 0
    assert exporter.get_finished_spans() == ()


def test_an_exporter_that_is_not_installed_is_none(cli, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "no_such_thing")
    done = cli("inspect", BUNDLE)
    assert (done.code, done.err) == (0, "")
    assert "no_such_thing" in cli("inspect", BUNDLE, "-v").err


def test_a_collector_that_hangs_holds_nobody_up(monkeypatch):
    class Hangs:
        def shutdown(self):
            spans.threading.Event().wait(60)

    monkeypatch.setattr(spans, "_PATIENCE", 0.05)
    spans._send(Hangs(), spans._PATIENCE)
