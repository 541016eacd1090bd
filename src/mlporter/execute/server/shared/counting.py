"""What comes of an import into a server: rows counted by table, and what is left out by name."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from mlporter.errors import LeftOut
from mlporter.execute.findings.left_out import LeftOutCollector
from mlporter.execute.result import TableResult
from mlporter.stores.rest.answers import REFUSED, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NAMED", "Counting", "Tally"]

NAMED = 3
"""Of what is written to a table, so much is remembered by name."""


@dataclass
class Tally:
    """Rows of a table: written, of these changed, there already, left out, not taken."""

    written: int = 0
    changed: int = 0
    there: int = 0
    skipped: int = 0
    failed: int = 0

    @property
    def left(self) -> int:
        """Rows that are not copied, whyever."""
        return self.skipped + self.failed

    def of(self, table: str) -> TableResult:
        """As a result says it of a table."""
        changed = min(self.changed, self.written)
        new = self.written - changed
        return TableResult(table, new, self.there, self.skipped, self.failed, changed)


@dataclass(kw_only=True)
class Counting:
    """Counts, from however many threads.

    Attributes:
        left_out: What is not copied, and why.
        refused: What the server did not take, by table and id: nothing below it is tried.
        tallies: Counts by table.
        named: Some of what is written, by table.
    """

    left_out: LeftOutCollector = field(default_factory=LeftOutCollector)
    refused: set[tuple[str, str]] = field(default_factory=set)
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    named: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    lock: Lock = field(default_factory=Lock)

    def wrote(self, table: str, rows: int = 1, changed: int = 0) -> None:
        """Count rows that were written, and how many of them were there, and were other ones."""
        with self.lock:
            self.tallies[table].written += rows
            self.tallies[table].changed += changed

    def tell_there(self, table: str) -> None:
        """Count a row that is there, but for what no server can be told."""
        with self.lock:
            self.tallies[table].there += 1

    def note(self, table: str, what: str) -> None:
        """Remember some of what is written to a table, by name."""
        with self.lock:
            named = self.named[table]
            if len(named) < NAMED:
                named.append(what)

    def skip(self, table: str, rows: int = 1) -> None:
        """Count rows that are skipped, as what they hold is never copied or the caller said so."""
        with self.lock:
            self.tallies[table].skipped += rows

    def fail(self, table: str, rows: int = 1) -> None:
        """Count rows that the server did not take."""
        with self.lock:
            self.tallies[table].failed += rows

    def attempt(self, table: str, id_: str, work: Callable[[], object]) -> bool:
        """Do something; where the server refuses it, note that and go on."""
        try:
            work()
        except REFUSED as error:
            self.leave(table, id_, "", reason_of(error), error.message)
            self.fail(table)
            self.refused.add((table, id_))
            return False
        return True

    def leave(
        self,
        kind: str,
        id_: str,
        what: str,
        reason: str,
        detail: str,
        *,
        expected: bool = False,
    ) -> None:
        """Note something that is not copied, and say why."""
        with self.lock:
            self.left_out.add(LeftOut(kind, id_, what, reason, detail, expected))
