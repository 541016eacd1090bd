"""Prints what the benchmarks measured as one table, at the end."""

from __future__ import annotations

from rich.console import Console

from tests.bench import ratios


def pytest_terminal_summary() -> None:
    """After the last test."""
    if ratios.MEASURED:
        print()
        Console(width=120).print(ratios.table())
