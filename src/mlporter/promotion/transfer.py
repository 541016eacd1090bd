"""One promotion, step by step: look, judge, copy, prove, and only then move alias and stage."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any

from mlporter.catalogue.source_tags import OF_VERSIONS
from mlporter.errors import ConflictError, LeftOut, RefusedError, UnreachableError
from mlporter.execute.into_target import into_target
from mlporter.execute.options import TransferOptions, reads_runs
from mlporter.plan.policy import Policy
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.progress import Phases, without_phases
from mlporter.promotion.checks.facts import read_facts
from mlporter.promotion.checks.gates import closed_gates, judge, refuse_closed
from mlporter.promotion.checks.model_names import find_versions
from mlporter.promotion.checks.signed_versions import check_signature
from mlporter.promotion.finishing import Finishing, open_target, pointers_of, result_of
from mlporter.promotion.planned import note_checks, note_finished, note_moves, take_over
from mlporter.promotion.promoted_source import Move, PromotedSource
from mlporter.promotion.target.same_registry import copy_in_place
from mlporter.promotion.target.target_model import OF, RECEIPT, identity, read_target
from mlporter.selection import Selection, select
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.addresses.same_place import is_same_place
from mlporter.stores.database.preview import NothingThere, has_no_tables
from mlporter.stores.opening import open_source
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from mlporter.execute.result import Result
    from mlporter.plan.three_sides.actions import ActionBook
    from mlporter.progress import OnProgress
    from mlporter.promotion.asked import Asked, VersionResult
    from mlporter.promotion.checks.facts import VersionFacts
    from mlporter.promotion.checks.gates import GateResult
    from mlporter.promotion.target.target_model import TargetModel
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source

__all__ = ["Promotion"]

_LOOKING, _CARRYING = "looking at both sides", "copying the version"
_PROVING = "proving, then moving aliases and stages"
_TRIES = 5
"""How often a number is guessed: a server does not show which were given to deleted versions."""


@dataclass
class Promotion:
    """Versions of one model on their way from one place to another.

    Attributes:
        book: Where every action is noted, for a plan file.
        ahead: In a plan, how many new versions of the model come before these.
    """

    origin: Address
    place: Address
    asked: Asked
    on_progress: OnProgress
    book: ActionBook | None = None
    ahead: int = 0

    @property
    def _phases(self) -> Phases:
        work = () if self.asked.dry_run else (_PROVING,)
        return Phases(self.on_progress, (_LOOKING, _CARRYING, *work))

    def run(self) -> tuple[list[VersionResult], Result | None, list[LeftOut]]:
        """Carry it out, or plan it.

        Returns:
            What became of each version, the transfer's result if there was any, and what was left
            out beside it.

        Raises:
            RefusedError: a gate is closed, or the target cannot take it; alias and stage did not
                move.
        """
        asked = self.asked
        self._phases.begin(_LOOKING)
        with closing(self._open_source()) as source:
            keys = find_versions(source, asked.model, source.description.address)
            facts = [self._facts(source, key) for key in keys]
            there = self._target(keys[0][0])
            self._check_name(facts, there)
            gates = self._judge(facts)
            refuse_closed(closed_gates(gates), str(asked.model))
            if asked.require_signature is not None:
                for one in facts:
                    check_signature(self.origin, source, one, asked.require_signature)
            moves, finished = self._moves(facts, there)
            done = [self._finished(one, number, there, gates) for one, number in finished]
            if self.book is not None:
                note_checks(self.book, {one.key: gates[str(one)] for one in facts})
                note_finished(self.book, [(f.key[0], asked.name, n) for f, n in finished])
            if not moves:
                return done, None, []
            if self.is_same:
                return self._in_place(source, moves, there, gates, done)
            self._phases.begin(_CARRYING)
            chosen = select(source, self._selection(moves))
            result, moves, sums = self._carry(chosen, moves, there)
            self._note_moves(moves, there)
            if asked.dry_run or result.conflicts or result.misfits:
                return [*done, *self._planned(moves, there, gates)], result, []
            self._phases.begin(_PROVING)
            finishing = Finishing(self.place, asked, self.on_progress, sums)
            return [*done, *finishing.run(source, moves, gates)], result, finishing.left

    def closed(self) -> list[str]:
        """The gates that are closed, a line for each. Nothing is copied.

        Raises:
            RefusedError: there is no such version.
        """
        with closing(self._open_source()) as source:
            keys = find_versions(source, self.asked.model, source.description.address)
            facts = [self._facts(source, key) for key in keys]
            self._target(keys[0][0])
            return closed_gates(self._judge(facts))

    def _in_place(
        self,
        source: Source,
        moves: list[Move],
        there: TargetModel,
        gates: dict[str, list[GateResult]],
        done: list[VersionResult],
    ) -> tuple[list[VersionResult], Result | None, list[LeftOut]]:
        """Within one registry: nothing is copied, the version gets another name."""
        if self.asked.dry_run:
            self._note_moves(moves, there)
            return [*done, *self._planned(moves, there, gates)], None, []
        made = []
        for move in moves:
            number = copy_in_place(
                self.place, source.description.revision, move, there, self.asked.retry_time
            )
            made.append(replace(move, number=number))
            there = replace(there, row=there.row or {"last_updated_time": None})
        self._phases.begin(_PROVING)
        finishing = Finishing(self.place, self.asked, self.on_progress)
        return [*done, *finishing.run(source, made, gates)], None, finishing.left

    def _note_moves(self, moves: list[Move], there: TargetModel) -> None:
        """Note the versions that come, and what moves to them."""
        if self.book is not None:
            pointers = [(move, pointers_of(self.asked, there, move)) for move in moves]
            note_moves(self.book, pointers, self._holders)

    @cached_property
    def is_same(self) -> bool:
        """Whether both sides are one registry."""
        return is_same_place(self.origin, self.place)

    # --- Before anything is written ---------------------------------------------------------------

    def _open_source(self) -> Source:
        asked = self.asked
        return open_source(
            self.origin,
            uri_map=asked.uri_map,
            allow_root=asked.allow_root,
            workers=asked.workers,
            pool=asked.pool,
            retry_time=asked.retry_time,
            part=True,
            dedupe=True,
            on_progress=self.on_progress,
        )

    def _facts(self, source: Source, key: tuple[str, str, int]) -> VersionFacts:
        self.on_progress(f"looking at {key[1]}/{key[2]}", 0, None)
        facts = read_facts(source, key)
        if facts.problems:
            raise RefusedError(
                "files of the model cannot be read",
                subject=f"models:/{facts}",
                reasons=facts.problems[:20],
            )
        return facts

    def _read_target(self) -> Source | NothingThere:
        if self.place.kind is not AddressKind.SERVER and has_no_tables(self.place):
            return NothingThere()
        return open_target(self.place, self.asked)

    def _target(self, workspace: str) -> TargetModel:
        with closing(self._read_target()) as target:
            model = read_target(target, workspace, self.asked.name)
            aliases = {better.alias for better in self.asked.gates.better}
            aliases |= {*self.asked.aliases} if self.book is not None else set()
            self._holders = {
                alias: self._holder(target, workspace, model, alias) for alias in sorted(aliases)
            }
        return model

    def _holder(
        self, target: Source | NothingThere, workspace: str, model: TargetModel, alias: str
    ) -> VersionFacts | None:
        """The version that an alias names in the target."""
        number = model.aliases.get(alias)
        if number is None or isinstance(target, NothingThere):
            return None
        return read_facts(target, (workspace, self.asked.name, number))

    def _judge(self, facts: list[VersionFacts]) -> dict[str, list[GateResult]]:
        """What the gates say of each version."""
        holders = {
            alias: None if holder is None else holder.metrics
            for alias, holder in self._holders.items()
        }
        return {str(one): judge(self.asked.gates, one, holders) for one in facts}

    def _check_name(self, facts: list[VersionFacts], there: TargetModel) -> None:
        """Refuse a name under which the target has copies of another model."""
        others = {one.of.rpartition("/")[0] for one in there.promoted()} - {facts[0].key[1]}
        if others:
            raise ConflictError(
                f"its versions were promoted from another model: {', '.join(sorted(others))}",
                subject=f"models:/{self.asked.name}",
                hint="--as gives the copy another name",
            )

    def _moves(
        self, facts: list[VersionFacts], there: TargetModel
    ) -> tuple[list[Move], list[tuple[VersionFacts, int]]]:
        """What is to be copied, and what was promoted before: versions and their numbers."""
        asked, known = self.asked, {one.of: one for one in there.promoted()}
        moves: list[Move] = []
        finished: list[tuple[VersionFacts, int]] = []
        following = there.next_number + self.ahead
        for one in facts:
            before = known.get(identity(one))
            if before is not None and before.is_finished and self._is_done(before.noted):
                finished.append((one, before.number))
                continue
            if before is not None:
                number = before.number
            elif asked.keep_version:
                number = self._kept(one, there)
            else:
                number, following = following, following + 1
            tags = {**dict(asked.tags), OF: identity(one)}
            stage = "None"
            if before is not None:
                tags |= {k: v for k, v in there.version_tags[number].items() if k == RECEIPT}
                stage = there.stage(number)
            moves.append(Move(one, asked.name, number, tags, asked.description, stage))
        return moves, finished

    def _is_done(self, noted: Any) -> bool:  # noqa: ANN401 -- plain values of a tag
        """Whether an earlier promotion did all that is asked for."""
        asked = self.asked
        return set(asked.aliases) <= set(noted.get("aliases", ())) and (
            asked.stage is None or asked.stage == noted.get("stage")
        )

    def _kept(self, facts: VersionFacts, there: TargetModel) -> int:
        number = facts.key[2]
        if number in there.versions:
            raise ConflictError(
                "already has a different version of that number",
                subject=f"models:/{self.asked.name}/{number}",
                hint="without --keep-version it gets the next free number",
            )
        return number

    def _selection(self, moves: list[Move]) -> Selection:
        numbers = tuple(str(move.facts.key[2]) for move in moves)
        return Selection(
            models=(self.asked.model.model,), versions=numbers, parents=self.asked.with_parents
        )

    # --- Writing ----------------------------------------------------------------------------------

    @cached_property
    def _options(self) -> TransferOptions:
        asked = self.asked
        return TransferOptions(
            asked.artifact_root,
            "reference" if asked.reference else "copy",
            asked.uri_map,
            asked.workers,
            Policy(),
            None,
            include_secrets=False,
            strict_artifacts=True,
            dry_run=asked.dry_run,
            retry_time=asked.retry_time,
            allow_root=asked.allow_root,
            processes=asked.processes,
            dask=asked.dask,
            has_runs=reads_runs(self.origin),
            pool=asked.pool,
        )

    def _carry(
        self, chosen: Source, moves: list[Move], there: TargetModel
    ) -> tuple[Result, list[Move], dict[tuple[str, str, str], str]]:
        """The version and what it depends on; with the numbers that the target gave, and sums."""
        sums: dict[tuple[str, str, str], str] = {}
        for _ in range(_TRIES):
            promoted = PromotedSource(
                chosen,
                tuple(moves),
                there.row,
                listed=self._listed(chosen),
                model_only=self.asked.model_only,
            )
            memory = Memory(subject=str(self.place), lists=self.book is not None)
            try:
                result = into_target(
                    "promote",
                    promoted,
                    self.place,
                    self._options,
                    memory,
                    on_progress=without_phases(self.on_progress),
                    started=monotonic(),
                )
                if self.book is not None:
                    take_over(self.book, memory.book, moves)
            finally:
                memory.book.close()
            sums |= promoted.sums
            taken = [item for item in result.left_out.first if item.reason == "another-number"]
            if not taken or self.asked.keep_version:
                break
            after = max(int(item.path) for item in taken) + 1
            moves = [replace(move, number=after + at) for at, move in enumerate(moves)]
        if result.left_out.unexpected and not self.asked.dry_run:
            self._refuse_partial(result, moves)
        return result, moves, sums

    def _listed(self, chosen: Source) -> dict[str, str]:
        """What the target lists as versions of logged models that come, where it has them."""
        if self.place.kind is AddressKind.SERVER:
            return {}  # which writes the list itself, and compares it with nobody's
        models = tuple(
            sorted(model for (model,) in rows_of(chosen, "logged_models", ("model_id",)))
        )
        with closing(self._read_target()) as target:
            tags = target.read("logged_model_tags", None, Among("model_id", models))
            rows = [row for batch in tags for row in batch.to_pylist()] if models else []
        return {r["model_id"]: r["tag_value"] or "" for r in rows if r["tag_key"] == OF_VERSIONS}

    def _refuse_partial(self, result: Result, moves: list[Move]) -> None:
        reasons = [
            f"{item.kind} {item.id} {item.path}: {item.detail}"
            for item in result.left_out.first
            if not item.expected
        ]
        raise UnreachableError(
            "not all of it came over; alias and stage did not move",
            subject=f"models:/{moves[0].name}",
            hint="fix it, and run the same command again to continue",
            reasons=tuple(reasons[:20]),
        )

    # --- What is said of it -----------------------------------------------------------------------

    def _planned(
        self, moves: list[Move], there: TargetModel, gates: dict[str, list[GateResult]]
    ) -> list[VersionResult]:
        return [
            result_of(move, pointers_of(self.asked, there, move), gates[str(move.facts)], "planned")
            for move in moves
        ]

    def _finished(
        self,
        facts: VersionFacts,
        number: int,
        there: TargetModel,
        gates: dict[str, list[GateResult]],
    ) -> VersionResult:
        move = Move(facts, self.asked.name, number)
        nothing = pointers_of(replace(self.asked, aliases=(), stage=None), there, move)
        return result_of(move, nothing, gates[str(facts)], "already promoted")
