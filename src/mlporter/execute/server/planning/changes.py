"""What becomes of copies that a server has and that are not as the source is now."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from mlporter.catalogue import BY_NAME, source_tags
from mlporter.errors import LeftOut
from mlporter.execute.server.shared.parts import Matched
from mlporter.execute.server.snapshot import recall_snapshot
from mlporter.plan.deleted_rows import tombstones
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.ids.mapped_rows import MappedReader
from mlporter.plan.merge.changes import changed_later
from mlporter.plan.policy import Conflict
from mlporter.plan.side_reader import Nothing, experiments_of, models_of, unit_keys
from mlporter.plan.three_sides.actions import Action, ActionKind
from mlporter.plan.three_sides.as_decided import as_decided
from mlporter.plan.three_sides.keys import key_text
from mlporter.plan.three_sides.row import Sides, is_of_a_registry
from mlporter.plan.three_sides.rows import NOT_TAKEN, RowPlanner
from mlporter.plan.three_sides.sent.base import refused_name, remember, remember_refused
from mlporter.plan.three_sides.sent.digests import digested
from mlporter.plan.three_sides.vanished import Vanished, check_how_many
from mlporter.plan.units import Choice, Chosen
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.compare.report import Difference
    from mlporter.execute.server.planning.matching import Matching
    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.plan.three_sides.row import RowPlan
    from mlporter.plan.three_sides.rows import Found
    from mlporter.plan.three_sides.sent.memory import Memory
    from mlporter.stores.protocols import Source

__all__ = ["Changes"]

_UNITS = ("experiments", "runs", "logged_models", "trace_info", "registered_models",
          "model_versions")  # fmt: skip
"""What a plan for a server says, one by one."""


@dataclass
class Changes:
    """Plans what becomes of copies, and remembers what was sent.

    Attributes:
        context: What the steps of a transfer share.
        matching: What is there already.
        memory: What was last sent, and where actions go.
        conflicts: What nobody but people can decide.
        vanished: What the source has no more.
    """

    context: ServerContext
    matching: Matching
    memory: Memory
    conflicts: list[Conflict] = field(default_factory=list)
    vanished: Vanished | None = None

    def __post_init__(self) -> None:
        """The wish is the policy's."""
        context = self.context
        self.source = context.source
        self._later = changed_later(context.source, context.there, IdMap())
        self.planner = RowPlanner(
            self.memory.base,
            context.policy.wish,
            self.memory.book,
            can=context.can,
            facts=self,
            undeletes=context.policy.undelete,
        )

    @property
    def _tables(self) -> tuple[str, ...]:
        return self.context.can.told_to_change or ()

    @property
    def plan(self) -> RowPlan:
        """What was decided."""
        return self.planner.plan

    def run(self) -> None:
        """Decide about everything, and let the transfer see the source as it was decided."""
        context = self.context
        recall_snapshot(self.context, self.memory)
        gone = self._purged()
        for table in self._tables:
            sides = self._sides(table) if self._is_asked(table) else None
            if sides is not None:
                self.planner.take(sides, partial(self._sift, table, gone))
        for kind in _UNITS:
            kept = self.plan.kept.get(kind, {})
            absent = [key for key, row in kept.items() if row is None]
            gone[kind] |= {key_text(key) for key in absent}
        self._keep_stages()
        self._list_new(gone)
        self._settle_conflicts()
        self._find_vanished()
        context.source = as_decided(context.source, self._kept(), gone, self._silent())
        context.__dict__.pop("tables", None)

    def _keep_stages(self) -> None:
        """Let experiments whose stage stays not be deleted or restored."""
        matches = self.matching.matches
        for key, row in self.plan.kept.get("experiments", {}).items():
            if row and "lifecycle_stage" in row:
                match = matches[key[0]]
                source = replace(match.source, stage=row["lifecycle_stage"])
                matches[key[0]] = replace(match, source=source)

    def _kept(self) -> dict[str, dict[tuple[object, ...], dict[str, object] | None]]:
        """Values that stay, of rows that the target has, and of parts that it lacks."""
        return {
            table: {k: row for k, row in rows.items() if row is not None or table not in _UNITS}
            for table, rows in self.plan.kept.items()
            if table != "latest_metrics"
        }

    def _silent(self) -> frozenset[tuple[str, str]]:
        """Runs and metrics whose points stay as the target has them."""
        kept = self.plan.kept.get("latest_metrics", {})
        return frozenset((str(run), str(metric)) for run, metric in kept)

    # --- What is compared -------------------------------------------------------------------------

    def _is_asked(self, table: str) -> bool:
        """Whether there may be copies of a table's rows: without experiments, only of models."""
        is_of_models = table.startswith(("registered_model", "model_version"))
        return self._has_had(table) and (is_of_models or bool(self.context.back.experiments))

    def _has_had(self, table: str) -> bool:
        """Whether there is anything of a table, or was when it was last sent."""
        return self.context.has(table) or next(self.memory.base.names(table), None) is not None

    def _sides(self, name: str) -> Sides | None:
        """A table on both sides; of runs and logged models only those that both have."""
        context = self.context
        pair = context.pair(name, context.can.of(name).matched)
        if pair is None or pair.left is None or pair.right is None or not pair.table.key:
            return None
        normalisers = context.normalisers(name)
        mine = MappedReader(self._matched_source, IdMap(), self._both)
        return Sides(pair, mine, context.there, (normalisers, normalisers))

    @property
    def _both(self) -> Choice:
        ids = self.context.ids
        return Choice({kind: Chosen(frozenset(ids.of(kind))) for kind in ("runs", "logged_models")})

    @cached_property
    def _models(self) -> frozenset[tuple[str, str]]:
        """Registered models of the source that go into one of the server, or are made."""
        mapped = {self._target_model(key): key for key in models_of(self.source)}
        return frozenset(mapped[key] for key in self.context.matched_models if key in mapped)

    @cached_property
    def _matched_source(self) -> Source:
        return Matched(
            self.source, frozenset(self.matching.matches), self._models, self._dead_versions
        )

    @cached_property
    def _dead_versions(self) -> frozenset[str]:
        """Versions that the source has deleted."""
        return tombstones(self.source)

    @cached_property
    def _dead_models(self) -> frozenset[str]:
        """Logged models that the source has deleted: a server shows none of them."""
        if not self.context.has("logged_models"):
            return frozenset()
        rows = rows_of(self.source, "logged_models", ("model_id", "lifecycle_stage"))
        return frozenset(model for model, stage in rows if stage == "deleted")

    def _sift(self, table: str, gone: dict[str, set[str]], found: Found) -> Found:
        """Differences that are any: of things that are matched, and of what people made."""
        back = self.context.back
        numbers = set(back.experiments.values())
        models = self._models
        servers_own = self.context.can.left_tags
        column = source_tags.TAG_TABLES.get(table)

        def is_matched(key: Mapping[str, Any]) -> bool:
            if table.startswith("logged_model"):
                return key["model_id"] not in self._dead_models
            if table in {"experiments", "experiment_tags"}:
                return key["experiment_id"] in numbers
            if table.startswith(("registered_model", "model_version")):
                model = (str(key.get("workspace") or "default"), str(key["name"]))
                version = "\x1f".join((*model, str(key.get("version", ""))))
                return model in models and version not in self._dead_versions
            if table in {"trace_info", "trace_tags", "trace_request_metadata"}:
                return str(key["request_id"]) not in gone["trace_info"]
            return True

        def counts(one: Difference) -> bool:
            is_own = column is not None and one.key[column] in servers_own
            return is_of_a_registry(one) and not is_own and is_matched(one.key)

        return list(filter(counts, found))

    # --- What the planner asks --------------------------------------------------------------------

    def has(self, kind: str, key: str) -> bool:
        """Whether the server has a run; a version that an alias names comes before it."""
        return kind != "runs" or key in self.context.ids.of(kind)

    def holds_own(self, kind: str, key: str) -> bool:
        """Whether people made runs in the copy of an experiment: MLflow would delete them, too."""
        return kind == "experiments" and int(key) in self._with_own_runs

    def is_newer(self, kind: str, key: str) -> bool:
        """Whether the server's copy was changed later than the source's."""
        return self._later(kind, key)

    @cached_property
    def _with_own_runs(self) -> frozenset[int]:
        """Experiments (the source's ids) in which people made runs on the server."""
        columns = ("run_uuid", "experiment_id", "lifecycle_stage")
        copies, back = self.context.back.of("runs"), self.context.back.experiments
        return frozenset(
            back[number]
            for run, number, stage in rows_of(self.context.server, "runs", columns)
            if number in back and run not in copies and stage != "deleted"
        )

    def _target_model(self, key: tuple[str, str]) -> tuple[str, str]:
        ids = self.context.ids
        return ids.workspace(key[0]), ids.model(*key)

    # --- What is only on one side -----------------------------------------------------------------

    def _purged(self) -> dict[str, set[str]]:
        """Runs and logged models that were sent, and that the server does not have any more."""
        found: dict[str, set[str]] = defaultdict(set)
        policy, base = self.context.policy, self.memory.base
        if not policy.leaves_removed or not base.is_known:
            return found
        for kind in ("runs", "logged_models"):
            lacking = set(unit_keys(self.source, kind)) - self.context.ids.of(kind).keys()
            for key in sorted(base.groups(kind, lacking - self._dead_models)):
                found[kind].add(key)
                why = "it was removed at the target"
                self.memory.book.add(Action(ActionKind.KEEP, kind, key, why=why))
        return found

    def _list_new(self, gone: dict[str, set[str]]) -> None:
        """Note what is made; of experiments and models, what is not matched."""
        ids, book = self.context.ids, self.memory.book
        known = {match.source.number for match in self.matching.matches.values()
                 if match.there is None}  # fmt: skip
        book.create("experiments", (str(number) for number in sorted(known)))
        for kind in ("runs", "logged_models"):
            homes = unit_keys(self.source, kind)
            new = homes.keys() - ids.of(kind).keys() - gone[kind] - self._dead_there(kind)
            made = sorted(key for key in new if homes[key] in self.matching.matches)
            refused = self.memory.base.noted(refused_name(kind))
            book.create(kind, (key for key in made if key not in refused))
            for key in refused.keys() & set(made):
                book.add(Action(ActionKind.LEAVE_OUT, kind, key, why=NOT_TAKEN))

    def _dead_there(self, kind: str) -> frozenset[str]:
        """Logged models that were deleted on both sides: a server shows none of them."""
        return frozenset(self.context.deleted_models if kind == "logged_models" else ())

    def _settle_conflicts(self) -> None:
        """Refuse what is in conflict, or leave it out, as the policy says."""
        context = self.context
        for kind, name, why in self.plan.conflicts:
            if context.policy.leaves_out:
                said = f"{why}; the target keeps its own"
                context.left_out.add(LeftOut(kind, name, "", "conflict", said))
            else:
                self.conflicts.append(Conflict(kind, name, why))
        for table, name, why in self.plan.left_out:
            context.leave(table, name, "", "unsupported", why)

    # --- What the source has no more --------------------------------------------------------------

    def _find_vanished(self) -> None:
        policy = self.context.policy
        if not policy.updates or not self.memory.base.is_known:
            return
        self.vanished = Vanished(
            self._gone_sides,
            self.context.all_copies,
            self.planner,
            self._gone,
            kinds=_UNITS[::-1],
            others=self.context.everything,
        )
        self.vanished.run()
        step = policy.step
        if step is not None and step.delete:
            check_how_many(self.vanished.going, self._count, step.max_delete, self.memory.subject)

    def _count(self, table: str) -> int:
        """How many copies of a kind the server has."""
        return sum(1 for _ in rows_of(self.context.all_copies, table, BY_NAME[table].key[-1:]))

    def _gone_sides(self, kind: str, table: str, keys: set[str]) -> Sides | None:
        pair = self.context.pair(table, self.context.can.of(table).matched)
        if pair is None or pair.left is None or pair.right is None or not pair.table.key:
            return None
        if table not in self._tables:
            return None
        chosen = Choice({kind: Chosen.of(kind, keys)})
        theirs = MappedReader(self.context.all_copies, IdMap(), chosen)
        nothing = MappedReader(Nothing(self.source.tables), IdMap())
        normalisers = self.context.normalisers(table)
        return Sides(pair, nothing, theirs, (normalisers, normalisers))

    def _gone(self, kind: str) -> set[str]:
        """What of a kind was sent, and the whole source has no more."""
        sent = set(self.memory.base.names(kind))
        return sent - self._alive(kind) if sent else sent

    def _alive(self, kind: str) -> set[str]:
        """What the whole source has of a kind."""
        whole = self.memory.whole or self.source
        if kind == "experiments":
            return {str(one.number) for one in experiments_of(whole)}
        if kind == "registered_models":
            return {key_text(key) for key in models_of(whole)}
        alive = set(unit_keys(whole, kind))
        return alive - tombstones(whole) if kind == "model_versions" else alive

    # --- The end ----------------------------------------------------------------------------------

    def remember(self, disputed: RowPlan) -> None:
        """Remember what the server has of the source.

        Args:
            disputed: What was found to differ when the server was read again.
        """
        base = self.memory.base
        for table in self._tables:
            sides = self._sides(table) if self.context.has(table) else None
            if sides is not None:
                sent = disputed.sent.get(table, set())
                differ = disputed.disputed.get(table, set()) | sent
                entry = sides.pair.table
                remember(base, entry, digested(entry, sides.of_source()), differ)
                remember_refused(base, entry, digested(entry, sides.of_source()), sent)
        if self.vanished is not None:
            for kind, key in (*self.vanished.forgotten, *self.vanished.doomed):
                base.forget(kind, [key])
        for kind in ("runs", "logged_models"):
            refused = {key: "" for table, key in self.context.refused if table == kind}
            base.note(refused_name(kind), refused)
        _, names = self.matching.noted()
        base.note("experiment_names", base.noted("experiment_names") | names)
        base.commit()
