"""What a promotion did, for people and for ``--json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlporter.errors import ExitCode
from mlporter.notebooks import Shown
from mlporter.promotion.target.target_model import former

if TYPE_CHECKING:
    from mlporter.errors import LeftOut
    from mlporter.execute.result import Result
    from mlporter.promotion.asked import VersionResult

__all__ = ["PromotionResult"]


@dataclass(frozen=True)
class PromotionResult(Shown):
    """What a promotion did, for people and for ``--json``.

    Attributes:
        source: Where it read, redacted.
        target: Where it wrote, redacted.
        versions: What became of each version.
        transfers: What was copied, by table: one for each model.
        receipts: The receipts' files on this machine.
        left_out: What was not done beside the promotion itself: a receipt that could not be kept.
        dry_run: Whether this is a plan.
        undone: Whether this is a way back.
        next_command: Of a plan in a file, what carries it out.
    """

    source: str
    target: str
    versions: tuple[VersionResult, ...]
    transfers: tuple[Result, ...] = ()
    receipts: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    dry_run: bool = False
    undone: bool = False
    next_command: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """4 if it would be refused; 3 where something was left out; or 0."""
        for transfer in self.transfers:
            if transfer.exit_code is not ExitCode.OK:
                return transfer.exit_code
        return ExitCode.INCOMPLETE if self.left_out else ExitCode.OK

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "verb": "promote",
            "source": self.source,
            "target": self.target,
            "dry_run": self.dry_run,
            "undone": self.undone,
            "versions": [_as_dict(one) for one in self.versions],
            "transfers": [transfer.as_dict() for transfer in self.transfers],
            "receipts": list(self.receipts),
            "left_out": [
                {"kind": one.kind, "id": one.id, "path": one.path, "detail": one.detail}
                for one in self.left_out
            ],
            "next_command": self.next_command,
            "exit_code": int(self.exit_code),
        }


def _as_dict(one: VersionResult) -> dict[str, Any]:
    moved = former(one.pointers)
    return {
        "source": one.source,
        "target": one.target,
        "status": one.status,
        "files": one.files,
        "bytes": one.bytes,
        "gates": [gate.as_dict() for gate in one.gates],
        "load_check": one.load_check,
        "aliases": moved["aliases"],
        "stages": moved["stages"],
        "receipt": None if one.receipt is None else dict(one.receipt.data),
        "stored": one.stored,
    }
