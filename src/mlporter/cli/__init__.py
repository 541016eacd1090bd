"""The command line: one verb per file, each a thin skin over the public function of that name."""

from __future__ import annotations

from mlporter.cli.app import main

__all__ = ["main"]
