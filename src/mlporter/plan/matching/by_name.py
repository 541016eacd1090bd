"""Experiments, workspaces and registered models: matched by name, and renamed where asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.errors import LeftOut, RefusedError, UsageError
from mlporter.plan.deleted_rows import Update, how_to_restore
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.matching.names import Match, free_name, is_model_name, match_experiments, twice
from mlporter.plan.policy import Conflict, Renamed
from mlporter.plan.side_reader import experiments_of, models_of
from mlporter.plan.three_sides.actions import Action, ActionKind, Change
from mlporter.plan.three_sides.memory import Memory
from mlporter.plan.three_sides.sides import Outcome, decide, state_of
from mlporter.plan.three_sides.small_values import NOT_KNOWN
from mlporter.plan.units import EXPERIMENTS, MODELS, Chosen, key_text
from mlporter.selection.not_found import Missing, nearest
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.plan.merge.equality import Comparison
    from mlporter.plan.policy import Merge, Policy
    from mlporter.plan.side_reader import Experiment, Reader
    from mlporter.plan.three_sides.sides import Wish
    from mlporter.stores.protocols import Source

__all__ = ["Matching"]

_ROUNDS = 100
"""How many names are tried for a copy."""


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
        self._names_there: dict[int, str] = {}
        self._wanted: dict[int, str] = {}
        self.removed_experiments: frozenset[int] = frozenset()
        self.removed_models: frozenset[tuple[str, str]] = frozenset()
        self._put_back: dict[str, frozenset[str]] = {}
        self._source = source
        self._target = target
        self._comparison = comparison
        self._merge = merge
        self._policy = policy
        self._largest = largest
        self._matches: dict[int, Match] = {}
        self.restored: dict[int, int] = {}
        self._renamed_models: dict[tuple[str, str], str] = {}
        self.new_models: frozenset[str] = frozenset()
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
        mine, there = experiments_of(self._source), experiments_of(self._target)
        asked = ((e.number, self._policy.experiment_name(e.name)) for e in mine)
        names = {n: name for n, name in asked if name is not None}
        self._wanted = {e.number: names.get(e.number, e.name) for e in mine}
        self._names_there = self._known_by_number(mine, there)
        names |= self._names_there
        taken = {e.name for e in mine}
        trials = {e.number: free_name(names.get(e.number, e.name), taken) for e in mine}
        for _ in range(_ROUNDS):
            self._match(mine, there, names)
            conflicts = self._conflicts()
            if not conflicts or self._policy.on_conflict != "rename":
                break
            for number in conflicts:
                names[number] = next(trials[number])
        self._refuse_twice()
        self._report(conflicts)
        self.removed_experiments = self._removed(there)

    def _known_by_number(self, mine: list[Experiment], there: list[Experiment]) -> dict[int, str]:
        """What the target calls experiments that were sent, where it is not what it should be."""
        numbers = self._memory.base.noted(EXPERIMENTS)
        names = {(one.number, one.workspace): one.name for one in there}
        found = {}
        for one in mine if self._policy.updates else ():
            number = numbers.get(str(one.number))
            if number is None:
                continue
            name = names.get((int(number), self._merge.ids.workspace(one.workspace)))
            if name is not None and name != self._wanted[one.number]:
                found[one.number] = name
        return found

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
        why = "somebody removed it at the target"
        self._memory.book.add(Action(ActionKind.KEEP, kind, name, why=why))

    def names(self, wish: Wish) -> list[Update]:
        """New names of experiments that were renamed since they were sent."""
        sent, found = self._memory.base.noted("experiment_names"), {}
        for number, there in self._names_there.items():
            name, last = self._wanted[number], sent.get(str(number))
            state = state_of(hash(name), hash(there), None if last is None else hash(last))
            decision = decide(state, wish)
            if decision is Outcome.SEND:
                found[number] = name
            else:
                self._other_name(number, decision, state.value)
        while taken := self._taken_names(found):
            for number in taken:
                del found[number]
                self._other_name(number, Outcome.CONFLICT, "the target has another of that name")
        return self._renaming(found)

    def _taken_names(self, found: dict[int, str]) -> list[int]:
        """Those whose new name another experiment of the target has, and keeps."""
        free = {self._matches[number].number for number in found}
        held = {
            (one.workspace, one.name)
            for one in experiments_of(self._target)
            if one.number not in free
        }
        held |= {(m.workspace, m.name) for m in self._matches.values() if m.there is None}
        return [n for n, name in found.items() if (self._matches[n].workspace, name) in held]

    def _renaming(self, found: dict[int, str]) -> list[Update]:
        """Under names that nobody has first: two may have exchanged theirs."""
        held = {(one.workspace, one.name) for one in experiments_of(self._target)}
        first, then = [], []
        for number, name in found.items():
            match = self._matches[number]
            change = (self._named_otherwise(number, name),)
            self._memory.book.add(Action(ActionKind.MOVE, EXPERIMENTS, str(match.number), change))
            if (match.workspace, name) in held:
                aside = f"{name} (renamed by mlporter, {match.number})"
                first.append(Update(EXPERIMENTS, (match.number,), (("name", aside),)))
            then.append(Update(EXPERIMENTS, (match.number,), (("name", name),)))
        return first + then

    def _other_name(self, number: int, outcome: Outcome, why: str) -> None:
        """The target's name of an experiment stays."""
        match, name, there = self._matches[number], self._wanted[number], self._names_there[number]
        kind = ActionKind.KEEP if outcome is Outcome.KEEP else ActionKind.CONFLICT
        change = (self._named_otherwise(number, name),)
        self._memory.book.add(Action(kind, EXPERIMENTS, str(match.number), change, why))
        if outcome is Outcome.KEEP:
            return
        said = f"it is called {there!r} in the target: {why}"
        if self._policy.step is None:
            self._merge.conflicts.append(Conflict(EXPERIMENTS, name, said))
        else:
            self._merge.left_out.append(LeftOut(EXPERIMENTS, name, "", "conflict", said))

    def _named_otherwise(self, number: int, name: str) -> Change:
        """The name of an experiment on all sides."""
        last = self._memory.base.noted("experiment_names").get(str(number), NOT_KNOWN)
        return Change("name", self._names_there[number], name, last)

    def noted(self, done: list[Update]) -> tuple[dict[str, str], dict[str, str]]:
        """Numbers and names of experiments, as they are remembered: by the source's numbers."""
        renamed = {update.key[0] for update in done if update.table == EXPERIMENTS}
        sent = self._memory.base.noted("experiment_names")
        present = {n: m for n, m in self._matches.items() if n not in self.removed_experiments}
        numbers = {str(n): str(match.number) for n, match in present.items()}
        names = {
            str(n): self._wanted[n]
            if n not in self._names_there or match.number in renamed
            else sent.get(str(n), self._wanted[n])
            for n, match in present.items()
        }
        return numbers, names

    def _match(
        self, mine: list[Experiment], there: list[Experiment], names: dict[int, str]
    ) -> None:
        ids = self._merge.ids
        matches = match_experiments(mine, there, names, ids.workspaces, self._largest)
        self._matches = {match.source.number: match for match in matches}
        ids.experiments = {
            m.source.number: m.number for m in matches if m.number != m.source.number
        }
        ids.experiment_names = dict(names)

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
                why = f"the target has another value of its tag {tag!r}"
                found.setdefault(back[int(experiment)], []).append(why)
        return found

    def _report(self, conflicts: dict[int, list[str]]) -> None:
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

    def _refuse_twice(self) -> None:
        again = twice((m.workspace, m.name) for m in self._matches.values())
        if again:
            raise RefusedError(
                "two experiments would have one name",
                hint="choose other names with --rename",
                reasons=tuple(f"{name!r} in workspace {workspace}" for workspace, name in again),
            )

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
        """Match registered models; those in conflict get another name, if the policy says so.

        Returns:
            Those that the target has not.
        """
        ids = self._merge.ids
        mine, there = models_of(self._source), models_of(self._target)
        asked = self._policy.new_names
        ids.models.update({key: asked[key[1]] for key in mine if key[1] in asked})
        taken = {name for _, name in mine}
        trials = {key: free_name(ids.model(*key), taken) for key in mine}
        conflicts: dict[tuple[str, str], str] = {}
        for _ in range(_ROUNDS):
            conflicts = self._described_otherwise(mine, there)
            if self._policy.on_conflict != "rename":
                break
            conflicts |= self._below(differing_versions)
            if not conflicts:
                break
            for key in conflicts:
                ids.models[key] = next(trials[key])
        self._refuse_same_model(mine)
        self._renamed_models = dict(ids.models)
        self._report_models(conflicts)
        lacking = {key: self._mapped(key) for key in mine if self._mapped(key) not in there}
        known = self._memory.base.groups(MODELS, [key_text(new) for new in lacking.values()])
        gone = [key for key, new in lacking.items() if key_text(new) in known]
        if not self._policy.leaves_removed:
            self._put_back[MODELS] = frozenset(key_text(lacking[key]) for key in gone)
        else:
            self.removed_models = frozenset(gone)
            for key in sorted(gone):
                self._tell_removed(MODELS, "/".join(lacking.pop(key)))
        self.new_models = frozenset(map(key_text, lacking.values()))
        old = (key for key in mine if key not in lacking)
        return Chosen(frozenset(key_text(key) for key in old), without=True)

    def _mapped(self, key: tuple[str, str]) -> tuple[str, str]:
        return self._merge.ids.workspace(key[0]), self._merge.ids.model(*key)

    def _described_otherwise(
        self, mine: dict[tuple[str, str], str], there: dict[tuple[str, str], str]
    ) -> dict[tuple[str, str], str]:
        if self._policy.updates:
            return {}  # that is decided column by column
        return {
            key: "the target describes it otherwise"
            for key, text in mine.items()
            if text and there.get(self._mapped(key), text) != text
        }

    def _below(self, differing_versions: Callable[[], set[str]]) -> dict[tuple[str, str], str]:
        """Models whose versions, tags or aliases differ."""
        found: dict[tuple[str, str], str] = {}
        for key in differing_versions():
            workspace, name, version = key.split("\x1f")
            found[workspace, name] = f"version {version} differs"
        back = {self._mapped(key): key for key in models_of(self._source)}
        for table in ("registered_model_tags", "registered_model_aliases"):
            for row in self._comparison.rows(table, self._merge.ids).differ:
                workspace, name, what = row.split("\x1f", 2)
                found[back[workspace, name]] = f"{table} {what!r} differs"
        return found

    def _refuse_same_model(self, mine: dict[tuple[str, str], str]) -> None:
        again = twice(self._mapped(key) for key in mine)
        if again:
            raise RefusedError(
                "two registered models would have one name",
                hint="choose other names with --rename",
                reasons=tuple(f"{name!r} in workspace {workspace}" for workspace, name in again),
            )

    def _report_models(self, conflicts: dict[tuple[str, str], str]) -> None:
        for (_, name), why in conflicts.items():
            if self._policy.on_conflict == "skip":
                entry = LeftOut("registered_models", name, "", "conflict", f"{why}, and keeps it")
                self._merge.left_out.append(entry)
            else:
                self._merge.conflicts.append(Conflict("registered_models", name, why))

    # --- What came of it ----------------------------------------------------------------------

    def renamed(self) -> list[Renamed]:
        """Experiments and models that get another id or name."""
        matches = self._matches.values()
        found = [
            Renamed("experiment", m.source.name, m.name)
            for n, m in self._matches.items()
            if m.name != m.source.name and n not in self._names_there
        ]
        found += [
            Renamed("experiment id", str(m.source.number), str(m.number))
            for m in matches
            if m.number != m.source.number
        ]
        models = self._renamed_models.items()
        return found + [Renamed("registered model", old, new) for (_, old), new in models]
