"""The receipt of a promotion: who, when, from where, what, under which gates, and what moved."""

from __future__ import annotations

import getpass
import hashlib
import platform
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from mlporter.bundle.documents.plain_yaml import emit
from mlporter.bundle.documents.safe_yaml import load_yaml
from mlporter.errors import BundleDamagedError, RefusedError, UsageError
from mlporter.execute.named_files import NamedKind
from mlporter.promotion.target.target_model import Pointers, former

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlporter.promotion.checks.gates import GateResult
    from mlporter.promotion.promoted_source import Move

__all__ = ["FORMAT", "RECEIPT_FILE", "Receipt", "digest_of", "new_id", "now_text"]

FORMAT = "mlporter-receipt"
RECEIPT_FILE = NamedKind("receipt", f"format: {FORMAT}".encode(), "--receipt")
"""Receipts as files of this machine."""
_VERSION = 1


def new_id() -> str:
    """An id for a promotion."""
    return uuid.uuid4().hex


def now_text() -> str:
    """Now, in UTC, as ISO 8601."""
    moment = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (KeyError, OSError):  # a container may know its user by number only
        return f"unknown@{platform.node()}"


@dataclass(frozen=True)
class Receipt:
    """What is said of a promotion, as plain values; see docs/promotion.md for the fields."""

    data: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(  # noqa: PLR0913 -- all that is said
        cls,
        move: Move,
        pointers: Pointers,
        *,
        id_: str,
        source: str,
        target: str,
        gates: Sequence[GateResult],
        sums: Mapping[str, str],
        load_check: str,
        signature: str,
        plan: str = "",
    ) -> Receipt:
        """The receipt of a version that is in the target, and proved."""
        facts = move.facts
        return cls(
            {
                "format": FORMAT,
                "format_version": _VERSION,
                "id": id_,
                "promoted_at": now_text(),
                "promoted_by": _who(),
                "mlporter_version": version("mlporter"),
                "source": {
                    "address": source,
                    "workspace": facts.key[0],
                    "model": facts.key[1],
                    "version": facts.key[2],
                    "run_id": facts.run_id,
                    "model_id": facts.model_id,
                },
                "target": {
                    "address": target,
                    "workspace": pointers.workspace,
                    "model": move.name,
                    "version": move.number,
                },
                "files": {
                    "count": len(facts.files),
                    "bytes": facts.size,
                    "digest": digest_of(sums),
                    "sha256": dict(sorted(sums.items())),
                },
                "gates": [gate.as_dict() for gate in gates],
                "load_check": load_check,
                "signature": signature,
                **({"plan": plan} if plan else {}),
                "moved": former(pointers),
            }
        )

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.data["id"])

    @property
    def file_name(self) -> str:
        """What it is called among the artifacts of a run."""
        target = self.data["target"]
        return f"promotions/{target['model']}-{target['version']}-{self.id[:8]}.yaml"

    def text(self) -> str:
        """As YAML."""
        return "".join(emit(self.data))

    def summary(self, stored: str) -> dict[str, Any]:
        """What the version's tag says of it.

        Args:
            stored: The URI of the receipt among the target's artifacts; "" where it is nowhere.
        """
        data = self.data
        moved = data["moved"]
        return {
            "id": self.id,
            "at": data["promoted_at"],
            "by": data["promoted_by"],
            "from": data["source"]["address"],
            "version": f"{data['source']['model']}/{data['source']['version']}",
            "digest": data["files"]["digest"],
            "gates": f"{sum(gate['passed'] for gate in data['gates'])}/{len(data['gates'])}",
            "aliases": [one["alias"] for one in moved["aliases"]],
            "stage": next((one["to"] for one in moved["stages"]
                           if one["version"] == data["target"]["version"]), None),
            "receipt": stored,
        }  # fmt: skip

    def pointers(self) -> Pointers:
        """What moved."""
        data = self.data
        target, moved = data["target"], data["moved"]
        return Pointers(
            str(target["workspace"]),
            str(target["model"]),
            int(target["version"]),
            {one["alias"]: (one["from"], one["to"]) for one in moved["aliases"]},
            {one["version"]: (one["from"], one["to"]) for one in moved["stages"]},
            times={one["version"]: one["last_updated_time"] for one in moved["times"]},
        )

    @classmethod
    def parse(cls, data: bytes, name: str) -> Receipt:
        """The receipt that a file holds.

        Args:
            data: The file's bytes.
            name: The file, for errors.

        Raises:
            UsageError: it is not a receipt, or a damaged one.
            RefusedError: of a version that this release does not read.
        """
        try:
            found = load_yaml(data, name)
        except BundleDamagedError as error:
            raise UsageError(f"is not a receipt: {error.message}", subject=name) from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise UsageError(
                "is not a receipt", subject=name, hint="`mlporter promote` writes one each time"
            )
        if found.get("format_version") != _VERSION:
            raise RefusedError(
                f"is a receipt of format version {found.get('format_version')}",
                subject=name,
                hint="a newer mlporter reads it",
            )
        receipt = cls(found)
        try:
            receipt.pointers()
            receipt.summary("")
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"is a receipt that lacks {error}", subject=name) from None
        return receipt


def digest_of(sums: Mapping[str, str]) -> str:
    """One SHA-256 of all files of a model: of what `sha256sum` prints of them, sorted by path."""
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
