"""How much of a registry a report shows, so that it opens fast whatever the registry's size."""

from __future__ import annotations

__all__ = [
    "CHARTED_RUNS",
    "CHARTS",
    "CURVES",
    "DIFFERENCES",
    "EXPERIMENTS",
    "FILES",
    "LINES",
    "METRICS",
    "MODELS",
    "POINTS",
    "RUNS",
    "SIGNATURES",
    "TAGS",
    "TEXT",
    "VERSIONS",
]

EXPERIMENTS = 200
RUNS = 200
MODELS = 200
VERSIONS = 50
"""Of a model: its newest."""
SIGNATURES = 50
"""Models whose file MLmodel is read."""
TAGS = 30
"""Of one thing."""
METRICS = 6
"""Last values that are shown of a run."""
CHARTS = 24
CHARTED_RUNS = 36
"""Runs whose histories are read for charts."""
CURVES = 6
"""In one chart."""
POINTS = 200
"""Of one curve, as it is drawn."""
DIFFERENCES = 1000
FILES = 100
LINES = 200
TEXT = 400
"""Characters of a value; a longer one is cut in the middle."""
