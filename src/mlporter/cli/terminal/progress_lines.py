"""Progress for other programs: a JSON object in a line for each event, never silent for long."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from mlporter.progress import ProgressEvents
from mlporter.redaction import redact

if TYPE_CHECKING:
    from typing import IO

    from mlporter.progress import ProgressEvent

__all__ = ["ProgressLines"]

_LOOKS = 0.5
_SILENCE = 1.5
"""A line comes at least every two seconds: seconds of silence, and how often they are looked at."""


class ProgressLines:
    """Writes a line for each event; an `OnProgress`."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._events = ProgressEvents(self._write)
        self._ended = threading.Event()
        self._clock = threading.Thread(target=self._look, name="progress", daemon=True)
        self._clock.start()

    def __call__(self, step: str, done: int, total: int | None, unit: str = "rows") -> None:
        """Say how far a step is (see `mlporter.progress.OnProgress`)."""
        self._events(step, done, total, unit)

    def _look(self) -> None:
        while not self._ended.wait(_LOOKS):
            self._events.wait(_SILENCE)

    def _write(self, event: ProgressEvent) -> None:
        said = event.as_dict() | {"step": redact(event.step)}
        self._stream.write(json.dumps(said) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """End what is under way; nothing is written any more."""
        self._ended.set()
        self._clock.join()
        self._events.close()
