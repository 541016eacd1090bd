"""How long work tells what it is at: steps, phases, and events made of them."""

from mlporter.progress.events import ProgressEvent, ProgressEvents, log_progress
from mlporter.progress.telling import (
    PHASES,
    OnProgress,
    Phases,
    silent,
    told_to_all,
    without_phases,
)

__all__ = [
    "PHASES",
    "OnProgress",
    "Phases",
    "ProgressEvent",
    "ProgressEvents",
    "log_progress",
    "silent",
    "told_to_all",
    "without_phases",
]
