"""What tells a report of ours from all other files."""

from __future__ import annotations

__all__ = ["GENERATOR"]

GENERATOR = '<meta name="generator" content="mlporter">'
"""What says, near the beginning of a file, that it is a report of ours."""
