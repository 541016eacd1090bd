"""After a version is in the target: proof, receipt, and only then alias and stage."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING

from mlporter.compare.file_sums import sum_readers
from mlporter.errors import LeftOut, MlporterError
from mlporter.promotion.asked import Asked, VersionResult
from mlporter.promotion.checks.facts import read_facts
from mlporter.promotion.checks.load_check import check_load
from mlporter.promotion.checks.proof import prove_files, sums_of, with_target_ids
from mlporter.promotion.checks.signed_versions import sign_version, signature_name
from mlporter.promotion.target.pointers import move_pointers
from mlporter.promotion.target.receipt import Receipt, new_id
from mlporter.promotion.target.receipt_places import store_receipt
from mlporter.promotion.target.target_model import plan_pointers, read_target
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.opening import open_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlporter.progress import OnProgress
    from mlporter.promotion.checks.facts import VersionFacts
    from mlporter.promotion.checks.gates import GateResult
    from mlporter.promotion.promoted_source import Move
    from mlporter.promotion.target.target_model import Pointers, TargetModel
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source

__all__ = ["Finishing", "open_target", "pointers_of", "result_of"]


@dataclass
class Finishing:
    """Proves versions that are in the target, keeps their receipts, and moves alias and stage.

    Attributes:
        sums: SHA-256 of files that were read from the source on the way, by owner kind, owner id
            and path.
        left: What could not be kept in the target: a receipt, a signature.
    """

    place: Address
    asked: Asked
    on_progress: OnProgress
    sums: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    left: list[LeftOut] = field(default_factory=list)

    def run(
        self, source: Source, moves: Sequence[Move], gates: Mapping[str, Sequence[GateResult]]
    ) -> list[VersionResult]:
        """Finish versions that were copied.

        Raises:
            ReadBackError: files are not the source's; alias and stage did not move.
            RefusedError: one does not load, or somebody moved alias or stage meanwhile.
        """
        results, pointers = [], []
        asked = self.asked
        with closing(open_target(self.place, asked)) as target:
            now = read_target(target, moves[0].key[0], asked.name)
            for one in asked.agreed:
                one.check(now)
            revision = target.description.revision  # not always the source's
            for move in moves:
                found = self._one(source, target, now, move, gates[str(move.facts)])
                results.append(found)
                if found.receipt is not None:
                    note = found.receipt.summary(found.stored)
                    pointers.append((replace(found.pointers, note=note), move))
        move_pointers(self.place, revision, pointers, retry_time=asked.retry_time)
        return results

    def _one(
        self,
        source: Source,
        target: Source,
        now: TargetModel,
        move: Move,
        gates: Sequence[GateResult],
    ) -> VersionResult:
        there = read_facts(target, move.key)
        sums = self._proved(source, target, move, there)
        loads = self._loads(source, move)
        signed = None if self.asked.sign is None else sign_version(target, there, self.asked.sign)
        moved = pointers_of(self.asked, now, move)
        receipt = Receipt.of(
            move,
            moved,
            id_=new_id(),
            source=source.description.address,
            target=str(self.place),
            gates=gates,
            sums=sums,
            load_check=loads,
            signature="" if signed is None else signature_name(move),
            plan=self.asked.plan,
        )
        stored = self._store(target, move, there, receipt.file_name, receipt.text())
        if signed is not None:
            self._store(target, move, there, signature_name(move), signed)
        result = result_of(move, moved, gates, "promoted")
        return replace(result, load_check=loads, receipt=receipt, stored=stored)

    def _proved(
        self, source: Source, target: Source, move: Move, theirs: VersionFacts
    ) -> dict[str, str]:
        """The sums of the model's files, the same on both sides."""
        asked = self.asked
        with sum_readers(asked.pool, asked.workers) as readers:
            how = (readers, self.on_progress)
            mine = sums_of(source, move.facts, *how, "hashing the source", self.sums)
            back = sums_of(target, theirs, *how, "reading back", {})
        sent = with_target_ids(source, move.facts, theirs, mine)
        prove_files(sent, back, f"models:/{move.name}/{move.number}")
        return sent

    def _loads(self, source: Source, move: Move) -> str:
        if not self.asked.load_check:
            return ""
        self.on_progress("loading the model", 0, None)
        place = self.place
        uri = f"models:/{move.name}/{move.number}"
        tracking = place.text if place.kind is AddressKind.SERVER else place.sqlalchemy
        own = {name: place.environment.get(name) or "" for name in place.environment.own}
        return check_load(
            source, move.facts, uri=uri, tracking=tracking, environment=own, subject=uri
        )

    def _store(self, target: Source, move: Move, there: VersionFacts, path: str, text: str) -> str:
        """Put a file among the artifacts of the target's run; where that fails, it is left out."""
        try:
            return store_receipt(
                self.place,
                target,
                there,
                path,
                BytesIO(text.encode()),
                uri_map=self.place.map_or(self.asked.uri_map),
                retry_time=self.asked.retry_time,
            )
        except (MlporterError, OSError) as error:
            detail = f"it cannot be kept in the target: {error}"
            self.left.append(LeftOut("artifact", str(move.facts), path, "unreachable", detail))
            return ""


def open_target(place: Address, asked: Asked) -> Source:
    """The target, to be looked at: it has tables."""
    return open_source(
        place,
        uri_map=asked.uri_map,
        workers=asked.workers,
        retry_time=asked.retry_time,
        part=True,
    )


def pointers_of(asked: Asked, there: TargetModel, move: Move) -> Pointers:
    """Where alias and stage of a version move."""
    return plan_pointers(
        there,
        move.key[0],
        move.name,
        move.number,
        aliases=asked.aliases,
        stage=asked.stage,
        archive=asked.archive,
    )


def result_of(
    move: Move, pointers: Pointers, gates: Sequence[GateResult], status: str
) -> VersionResult:
    """What is said of a version."""
    facts = move.facts
    return VersionResult(
        f"models:/{facts}",
        f"models:/{move.name}/{move.number}",
        tuple(gates),
        status,
        pointers,
        len(facts.files),
        facts.size,
    )
