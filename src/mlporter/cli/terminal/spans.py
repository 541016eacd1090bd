"""OpenTelemetry spans of a command, its phases and steps, where its variables ask for them.

The provider is this command's own: a global one would make MLflow record traces of its own calls.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import contextmanager
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

    from mlporter.progress import ProgressEvent

__all__ = ["CommandSpans", "spans_of"]

_log = logging.getLogger(__name__)

_ASKED_BY = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_GROUP = "opentelemetry_traces_exporter"
_PATIENCE = 5.0
"""Seconds to send the last spans; whoever interrupts waits for less."""
_IN_A_HURRY = 0.3
_SHORT = 0.05
"""Seconds below which a step that counted nothing is no span: there is one for each table."""
_INTERRUPTED = 128
_BILLION = 10**9


class CommandSpans:
    """The span of a command, and below it those of its phases and their steps."""

    def __init__(self, tracer: Tracer, verb: str, command: str) -> None:
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 -- optional
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        self._inside = set_span_in_context
        self._tracer = tracer
        # CI systems and other tools say by this variable what the command is a part of.
        caller = {"traceparent": os.environ.get("TRACEPARENT", "")}
        self._root = tracer.start_span(
            f"mlporter {verb}",
            context=TraceContextTextMapPropagator().extract(caller),
            attributes={"mlporter.verb": verb, "mlporter.command": command},
        )
        self._phase: Span | None = None
        self.exit_code: int | None = None

    def __call__(self, event: ProgressEvent) -> None:
        """What `ProgressEvents` hands on."""
        if event.event == "phase":
            self._end_phase()
            self._phase = self._tracer.start_span(
                event.phase,
                context=self._inside(self._root),
                attributes={
                    "mlporter.phase": event.phase_number,
                    "mlporter.phases": event.phases,
                },
            )
        elif event.event == "done" and (event.done or event.seconds >= _SHORT):
            self._step(event)

    def _step(self, event: ProgressEvent) -> None:
        now = time.time_ns()
        span = self._tracer.start_span(
            event.step or event.phase,
            context=self._inside(self._phase or self._root),
            start_time=now - int(event.seconds * _BILLION),
            attributes={"mlporter.done": event.done, "mlporter.unit": event.unit},
        )
        if event.total is not None:
            span.set_attribute("mlporter.total", event.total)
        span.end(now)

    def failed(self, kind: str, message: str) -> None:
        """Note what went wrong; the message has no passwords in it."""
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 -- optional

        self._root.set_status(Status(StatusCode.ERROR, message))
        self._root.set_attribute("error.type", kind)

    def end(self) -> None:
        """End what is open."""
        self._end_phase()
        if self.exit_code is not None:
            self._root.set_attribute("mlporter.exit_code", self.exit_code)
        self._root.end()

    def _end_phase(self) -> None:
        if self._phase is not None:
            self._phase.end()
            self._phase = None


@contextmanager
def spans_of(verb: str, command: str) -> Iterator[CommandSpans | None]:
    """Record a command, and send it when it ends; None where nobody asked, or nothing can.

    Args:
        verb: The command's name.
        command: All of it, without passwords.
    """
    exporter = _exporter() if _is_asked() else None
    if exporter is None:
        yield None
        return
    provider = _provider(exporter)
    spans = CommandSpans(provider.get_tracer("mlporter", version("mlporter")), verb, command)
    try:
        yield spans
    finally:
        spans.end()
        was_stopped = (spans.exit_code or 0) >= _INTERRUPTED
        _send(provider, _IN_A_HURRY if was_stopped else _PATIENCE)


def _is_asked() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return any(map(os.environ.get, _ASKED_BY)) and _exporter_name() != "none"


def _exporter_name() -> str:
    name = os.environ.get("OTEL_TRACES_EXPORTER", "").partition(",")[0].strip() or "otlp"
    if name != "otlp":
        return name
    protocol = next(filter(None, map(os.environ.get, _PROTOCOLS)), "http/protobuf")
    return "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"


def _exporter() -> SpanExporter | None:
    """The exporter that the variables name, as far as its package is installed."""
    name = _exporter_name()
    try:
        found = next(iter(entry_points(group=_GROUP, name=name)), None)
        exporter: SpanExporter | None = None if found is None else found.load()()
    except ImportError:
        exporter = None
    if exporter is None:
        _log.info("no spans: no OpenTelemetry exporter %r is installed (mlporter[otel])", name)
    return exporter


def _provider(exporter: SpanExporter) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 -- optional
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    named = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or "mlporter"}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _send(provider: TracerProvider, patience: float) -> None:
    """Send what is not sent yet; a collector that does not answer holds nobody up for long."""
    sending = threading.Thread(target=provider.shutdown, name="mlporter-spans", daemon=True)
    sending.start()
    sending.join(patience)
