"""What a database and its source have in common by name: workspaces, experiments, models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.errors import LeftOut, UsageError
from mlporter.plan.deleted_rows import Update, how_to_restore
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.matching.experiments import Experiments, by_number
from mlporter.plan.matching.models import Models
from mlporter.plan.matching.names import is_model_name, match_experiments
from mlporter.plan.matching.strategies import DATABASE, By
from mlporter.plan.policy import Conflict, Renamed
from mlporter.plan.side_reader import experiments_of, models_of
from mlporter.plan.three_sides.actions import Action, ActionKind
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.plan.units import EXPERIMENTS, MODELS, Chosen
from mlporter.selection.not_found import Missing, nearest
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlporter.plan.matching.names import Match
    from mlporter.plan.merge.equality import Comparison
    from mlporter.plan.policy import Merge, Policy
    from mlporter.plan.side_reader import Experiment, Reader
    from mlporter.stores.protocols import Source

__all__ = ["Matching"]


class Matching:
    """What is matched by name; fills in the merge's id map."""

    def __init__(
        self,
        source: Source,
        target: Reader,
        comparison: Comparison,
        merge: Merge,
        *,
        policy: Policy,
        largest: int,
        memory: Memory | None = None,
    ) -> None:
        self._memory = memory or Memory()
        self.removed_experiments: frozenset[int] = frozenset()
        self._put_back: dict[str, frozenset[str]] = {}
        self._source = source
        self._target = target
        self._comparison = comparison
        self._merge = merge
        self._policy = policy
        self._largest = largest
        self.restored: dict[int, int] = {}
        self.registered = Models(source, target, comparison, merge, policy)
        self._experiments = Experiments([], [], policy, {}, largest)
        merge.ids.workspaces.update(self._workspaces())
        if policy.new_names:
            self._check_renames()

    def _check_renames(self) -> None:
        """Refuse to rename what is not there: a slip would leave a thing its name and place."""
        models = {name for _, name in models_of(self._source)}
        names = models | {e.name for e in experiments_of(self._source)}
        missing = Missing()
        for old, new in self._policy.new_names.items():
            if old not in names:
                missing.say(f"experiment or model {old!r} (--rename)", nearest(old, names))
            elif old in models and not is_model_name(new):
                raise UsageError(
                    f"MLflow takes no model name with '/' or ':', such as {new!r}",
                    hint=f"choose another new name for {old!r}",
                )
        missing.refuse(self._source.description.address)

    def _workspaces(self) -> dict[str, str]:
        new = self._policy.to_workspace
        if new is None:
            return {}
        used = {e.workspace for e in experiments_of(self._source)}
        used |= {workspace for workspace, _ in models_of(self._source)}
        if len(used) > 1:
            raise UsageError(
                f"--to-workspace takes one workspace, and these are {len(used)}: "
                f"{', '.join(sorted(used))}",
                hint="choose one with --workspace",
            )
        return {old: new for old in used if old != new}

    def workspaces(self) -> Chosen:
        """Workspaces that the target has not."""
        there = {name for (name,) in rows_of(self._target, "workspaces", ("name",))}
        mine = {name for (name,) in rows_of(self._source, "workspaces", ("name",))}
        return Chosen(
            frozenset(w for w in mine if self._merge.ids.workspace(w) in there), without=True
        )

    # --- Experiments --------------------------------------------------------------------------

    def experiments(self) -> None:
        """Match experiments; one in conflict goes under another name, if the policy says so."""
        ids = self._merge.ids
        mine, there = experiments_of(self._source), experiments_of(self._target)
        self._experiments = Experiments(mine, there, self._policy, ids.workspaces, self._largest)
        if By.SENT in DATABASE[EXPERIMENTS]:
            found = by_number(self._experiments, self._memory.base.noted(EXPERIMENTS))
            self._experiments.know(found)

        def reasons() -> Mapping[int, list[str]]:
            matches = self._matches.items()
            ids.experiments = {n: m.number for n, m in matches if m.number != n}
            ids.experiment_names = dict(self._experiments.new_names)
            return self._conflicts()

        self._report(self._experiments.match(reasons))
        self.removed_experiments = self._removed(there)

    @property
    def _matches(self) -> dict[int, Match]:
        return self._experiments.matches

    def _removed(self, there: list[Experiment]) -> frozenset[int]:
        """Experiments that were sent, and that somebody removed at the target: they stay away."""
        numbers = self._memory.base.noted(EXPERIMENTS)
        held = {str(one.number) for one in there}
        sent = {n: numbers[str(n)] for n in self._matches if str(n) in numbers}
        found = [n for n in sent if self._matches[n].there is None and sent[n] not in held]
        if not self._policy.leaves_removed:
            self._put_back[EXPERIMENTS] = frozenset(str(self._matches[n].number) for n in found)
            return frozenset()
        for number in sorted(found):
            self._tell_removed(EXPERIMENTS, sent[number])
        return frozenset(found)

    def note_new(self) -> None:
        """Note what is made anew."""
        for kind, new in ((EXPERIMENTS, self.new_experiments), (MODELS, self.new_models)):
            self._memory.book.create(kind, sorted(new), self._put_back.get(kind, ()))

    def _tell_removed(self, kind: str, name: str) -> None:
        why = "it was removed at the target"
        self._memory.book.add(Action(ActionKind.KEEP, kind, name, why=why))

    def names(self) -> list[Update]:
        """New names of experiments that were renamed since they were sent."""
        choices = self._experiments.choose_names(self._memory.base)
        for one in choices:
            self._memory.book.add(one.action(str(one.match.number)))
            if (conflict := one.conflict()) is None:
                continue
            if self._policy.leaves_out:
                self._merge.left_out.append(conflict.left_out())
            else:
                self._merge.conflicts.append(conflict)
        renaming = self._experiments.renaming(choices)
        return [Update(EXPERIMENTS, (number,), (("name", name),)) for number, name in renaming]

    def noted(self, done: list[Update]) -> tuple[dict[str, str], dict[str, str]]:
        """Numbers and names of experiments, as they are remembered: by the source's numbers."""
        renamed = {update.key[0] for update in done if update.table == EXPERIMENTS}
        numbers = {number for number in renamed if isinstance(number, int)}
        return self._experiments.noted(self._memory.base, numbers, self.removed_experiments)

    def _conflicts(self) -> dict[int, list[str]]:
        """Why an experiment cannot be put into the one of its name."""
        found: dict[int, list[str]] = {}
        self.restored = {}
        if self._policy.updates:
            return found  # that is decided column by column
        for number, match in self._matches.items():
            if match.there is None or match.there.stage == match.source.stage:
                continue
            deleted = match.there.stage == "deleted"
            if deleted and self._policy.undelete:
                self.restored[number] = match.number
                continue
            why = f"it is {match.there.stage} in the target, and {match.source.stage} in the source"
            if deleted:
                why = how_to_restore("experiments", str(match.number))
            found.setdefault(number, []).append(why)
        if self._policy.on_conflict == "rename":
            states = self._comparison.rows("experiment_tags", self._merge.ids)
            back = {m.number: number for number, m in self._matches.items()}
            for key in states.differ:
                experiment, _, tag = key.partition("\x1f")
                why = f"its tag is different in the target: {tag!r}"
                found.setdefault(back[int(experiment)], []).append(why)
        return found

    def _report(self, conflicts: Mapping[int, list[str]]) -> None:
        for number, reasons in conflicts.items():
            name = self._matches[number].name
            for why in reasons:
                if self._policy.on_conflict == "skip":
                    self._merge.left_out.append(LeftOut("experiments", name, "", "conflict", why))
                else:
                    self._merge.conflicts.append(Conflict("experiments", name, why))

    def by_own_names(self) -> IdMap:
        """The ids, had nothing been renamed: what has the same name is the same thing."""
        ids = self._merge.ids
        matches = match_experiments(
            experiments_of(self._source),
            experiments_of(self._target),
            {},
            ids.workspaces,
            self._largest,
        )
        numbers = {m.source.number: m.number for m in matches if m.number != m.source.number}
        return IdMap(workspaces=ids.workspaces, experiments=numbers)

    @property
    def old_experiments(self) -> frozenset[int]:
        """Experiments of the source that are not made: the target has them, or removed them."""
        there = {n for n, m in self._matches.items() if m.there is not None}
        return frozenset(there | self.removed_experiments)

    @property
    def new_experiments(self) -> frozenset[str]:
        """The ids that experiments get which the target has not."""
        new = self._matches.keys() - self.old_experiments
        return frozenset(str(self._matches[number].number) for number in new)

    def restorations(self) -> list[Update]:
        """What makes experiments active again that the target has marked as deleted."""
        stage = (("lifecycle_stage", "active"),)
        return [Update("experiments", (number,), stage) for number in self.restored.values()]

    def salt(self, experiment: int | None) -> str:
        """What a new id of something in an experiment is made from, besides the old one."""
        match = self._matches.get(experiment) if experiment is not None else None
        return f"{match.workspace}/{match.name}" if match else "copy"

    # --- Registered models --------------------------------------------------------------------

    def models(self, differing_versions: Callable[[], set[str]]) -> Chosen:
        """Match registered models; see `Models.match`."""
        chosen = self.registered.match(differing_versions, self._memory.base)
        self._put_back[MODELS] = self.registered.put_back
        for name in self.registered.removed_names():
            self._tell_removed(MODELS, name)
        return chosen

    @property
    def new_models(self) -> frozenset[str]:
        """The keys that registered models get which the target has not."""
        return self.registered.new

    @property
    def removed_models(self) -> frozenset[tuple[str, str]]:
        """Registered models that were sent, and that somebody removed at the target."""
        return self.registered.removed

    # --- What came of it ----------------------------------------------------------------------

    def renamed(self) -> list[Renamed]:
        """Experiments and models that get another id or name."""
        matches = self._matches.values()
        found = self._experiments.renamed(self._matches)
        found += [
            Renamed("experiment id", str(m.source.number), str(m.number))
            for m in matches
            if m.number != m.source.number
        ]
        return found + self.registered.renamed()
