"""What of the source is on the server already: by name, and by the tags that our copies carry."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from mlporter.catalogue import source_tags
from mlporter.errors import LeftOut, RefusedError
from mlporter.execute.server.context import TargetExperiment
from mlporter.execute.server.objects import try_one
from mlporter.plan.deleted_rows import how_to_restore
from mlporter.plan.matching.names import free_name, match_experiments
from mlporter.plan.matching.natural_keys import by_natural_keys, by_natural_keys_anywhere, tagged
from mlporter.plan.policy import Conflict, Renamed
from mlporter.plan.side_reader import datasets_of, experiments_of
from mlporter.plan.three_sides.actions import Action, ActionKind, Change
from mlporter.plan.three_sides.memory import Memory
from mlporter.plan.three_sides.sides import Outcome, decide, state_of
from mlporter.plan.three_sides.small_values import NOT_KNOWN
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlporter.execute.server.context import ServerContext
    from mlporter.plan.matching.names import Match
    from mlporter.plan.side_reader import Experiment, Reader

__all__ = ["Matching"]

_LARGEST = 2**63 - 1
_ROUNDS = 100
_LOOKED_AT = 3
"""Runs by which a renamed experiment is known."""
_DEFAULT = "default"


@dataclass
class Matching:
    """Finds out what is where, before anything is written.

    Attributes:
        context: The import; its maps are filled in.
        matches: Experiments that are carried, by the source's ids.
        ours: Experiments on the server that an earlier import made.
        marked: Experiments on the server that say that they are copies, or hold some.
        conflicts: Why it is refused.
        renamed: What gets another name.
        memory: What was last sent, and where actions go.
        names_there: What the server calls experiments (the source's ids) that were renamed since.
        new_names: Names that experiments (the server's ids) get.
    """

    context: ServerContext
    matches: dict[int, Match] = field(default_factory=dict)
    ours: set[int] = field(default_factory=set)
    marked: set[int] = field(default_factory=set)
    conflicts: list[Conflict] = field(default_factory=list)
    renamed: list[Renamed] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    names_there: dict[int, str] = field(default_factory=dict)
    new_names: dict[int, str] = field(default_factory=dict)

    def run(self) -> None:
        """Experiments, then what lies in them."""
        self._experiments()
        step = self.context.policy.step
        more = self.ours if step is not None and step.delete else set()
        self.context.server.narrow({*self.context.back.experiments, *more})
        if self.context.back.experiments:
            self._owned("runs", "run_uuid", "tags", source_tags.RUN)
            self._owned("logged_models", "model_id", "logged_model_tags", source_tags.LOGGED_MODEL)
            self._deleted_models()
            self._datasets()
            self._evaluation()
        self._anywhere()

    # --- Experiments ------------------------------------------------------------------------------

    def _experiments(self) -> None:
        context = self.context
        mine, there = experiments_of(context.source), experiments_of(context.server)
        marked = _numbered(context.server)
        self.ours = set(marked)
        held = tagged(context.server, "experiment_tags", "experiment_id", source_tags.HOLDS)
        self.marked = self.ours | {int(number) for number, _ in held}
        asked = ((e.number, context.policy.experiment_name(e.name)) for e in mine)
        new = {number: name for number, name in asked if name is not None}
        self.names_there = self._known_by_tag(mine, there, marked)
        new = self.names_there | new
        taken = {e.name for e in mine}
        trials = {e.number: free_name(new.get(e.number, e.name), taken) for e in mine}
        reasons: dict[int, str] = {}
        for _ in range(_ROUNDS):
            self._match(mine, there, new)
            reasons = self._reasons()
            if not reasons or context.policy.on_conflict != "rename":
                break
            new.update({number: next(trials[number]) for number in reasons})
        self._check_paths()
        self._settle(reasons)

    def _known_by_tag(
        self, mine: list[Experiment], there: list[Experiment], marked: dict[int, str]
    ) -> dict[int, str]:
        """Experiments that were renamed since they were sent: what the server calls their copies.

        The tag holds a number, which another source has as well: one of their runs must be there.
        """
        context = self.context
        names = {(context.ids.workspace(e.workspace), e.name) for e in mine}
        free = {
            (one.workspace, marked[one.number]): one
            for one in there
            if one.number in marked and (one.workspace, one.name) not in names
        }
        if not free:
            return {}
        held = {(one.workspace, one.name) for one in there}
        origin = _numbered(context.source)
        found = {}
        for one in mine:
            workspace = context.ids.workspace(one.workspace)
            copy = free.get((workspace, origin.get(one.number, str(one.number))))
            if copy is not None and (workspace, one.name) not in held and self._has_run(one, copy):
                found[one.number] = copy.name
        return found

    def _has_run(self, one: Experiment, copy: Experiment) -> bool:
        """Whether a run of the source's experiment has its copy in the server's."""
        among = Among("experiment_id", (one.number,))
        runs: list[str] = []
        for batch in self.context.source.read("runs", ("run_uuid",), among):
            runs += batch.column(0).to_pylist()
            if len(runs) >= _LOOKED_AT:
                break
        writer = self.context.writer_of(copy.workspace)
        return any(
            writer.run_tagged(str(copy.number), (source_tags.RUN, run)) for run in runs[:_LOOKED_AT]
        )

    def _match(
        self, mine: Iterable[Experiment], there: Iterable[Experiment], new: dict[int, str]
    ) -> None:
        workspaces = self.context.ids.workspaces
        found = match_experiments(mine, there, new, workspaces, _LARGEST)
        self.matches = {match.source.number: match for match in found}

    def _reasons(self) -> dict[int, str]:
        """Why an experiment cannot be put into the one of its name."""
        found = {}
        for number, match in self.matches.items():
            if match.there is None or match.there.stage == match.source.stage:
                continue
            if match.there.stage == "deleted":
                if not self.context.policy.undelete:
                    found[number] = (
                        f"{how_to_restore('experiments', str(match.there.number))}, "
                        "or choose another name with --rename"
                    )
            elif match.there.number not in self.ours:
                found[number] = "it is active on the server, and deleted here"
        return found | self._tags()

    def _tags(self) -> dict[int, str]:
        """Experiments of others whose tags have other values."""
        foreign = {
            m.there.number: number
            for number, m in self.matches.items()
            if m.there is not None and m.there.number not in self.ours
        }
        if not foreign:
            return {}
        columns = ("experiment_id", "key", "value")
        there = {
            (foreign[number], key): value
            for number, key, value in rows_of(self.context.server, "experiment_tags", columns)
            if number in foreign
        }
        found = {}
        for number, key, value in rows_of(self.context.source, "experiment_tags", columns):
            if there.get((number, key), value) != value and not key.startswith(source_tags.OURS):
                found[number] = f"the server has another value of its tag {key!r}"
        return found

    def _check_paths(self) -> None:
        """Refuse names that Databricks does not take, where experiments would be made.

        Raises:
            RefusedError: a name is no absolute path of the workspace.
        """
        if not self.context.server.client_in(_DEFAULT).databricks:
            return
        names = [m.name for m in self.matches.values() if m.there is None]
        if bad := tuple(f"experiment {name!r}" for name in names if not name.startswith("/")):
            raise RefusedError(
                "on Databricks the name of an experiment is an absolute path of the workspace",
                hint="put a folder before all of them: --rename-prefix /Shared/",
                reasons=bad[:20],
            )

    def _settle(self, reasons: dict[int, str]) -> None:
        context = self.context
        for number, why in reasons.items():
            name = self.matches[number].name
            if context.policy.leaves_out:
                detail = f"{why}; the target keeps it so"
                context.left_out.add(LeftOut("experiments", name, "", "conflict", detail))
                del self.matches[number]
            else:
                self.conflicts.append(Conflict("experiments", name, why))
        locations = dict(rows_of(context.server, "experiments", _LOCATION))
        for number, match in self.matches.items():
            if match.name != match.source.name:
                if number not in self.names_there or not context.policy.updates:
                    self.renamed.append(Renamed("experiment", match.source.name, match.name))
                context.ids.experiment_names[number] = match.name
            if match.there is not None:
                self.context.target_experiments[match.there.number] = TargetExperiment(
                    match.workspace, locations[match.there.number] or ""
                )
                context.ids.experiments[number] = match.there.number
                context.back.experiments[match.there.number] = number
                if match.name != match.source.name:
                    context.back.experiment_names[match.there.number] = match.source.name

        self._decide_names()

    def _decide_names(self) -> None:
        """Who renamed an experiment that has another name there than it was sent with."""
        policy, book = self.context.policy, self.memory.book
        sent = self.memory.base.noted("experiment_names")
        for number, there in self.names_there.items():
            match = self.matches.get(number)
            if not policy.updates:
                continue
            if match is None or match.there is None or match.name != there:
                continue
            name, last = match.source.name, sent.get(str(number))
            state = state_of(hash(name), hash(there), None if last is None else hash(last))
            outcome = decide(state, policy.wish)
            change = (Change("name", there, name, NOT_KNOWN if last is None else last),)
            if outcome is Outcome.SEND:
                book.add(Action(ActionKind.MOVE, "experiments", str(number), change))
                self.new_names[match.there.number] = name
            else:
                why = f"{state.value}; it keeps the name that it has at the target"
                book.add(Action(ActionKind.KEEP, "experiments", str(number), change, why))

    def rename(self) -> None:
        """Give experiments the names that they got since they were sent."""
        for number, name in self.new_names.items():
            home = self.context.target_experiments[number]
            writer = self.context.writer_of(home.workspace)
            rename = partial(writer.rename_experiment, number, name)
            try_one(self.context, "experiments", name, rename, changed=1)

    # --- What lies in them ------------------------------------------------------------------------

    def _owned(self, table: str, column: str, tags: str, key: str) -> None:
        """Things of the source that have a copy in their experiment on the server.

        A copy is known by the id of what it was first copied from, so that a copy of a copy, and
        what comes back to where it came from, are found as well.
        """
        context = self.context
        if not context.has(table):
            return
        origin = dict(tagged(context.server, tags, column, key))
        there = {
            (experiment, origin.get(id_, id_)): id_
            for id_, experiment in rows_of(context.server, table, (column, "experiment_id"))
        }
        origin = dict(tagged(context.source, tags, column, key))
        found = {}
        for id_, experiment in rows_of(context.source, table, (column, "experiment_id")):
            home = context.ids.experiments.get(experiment)
            copy = there.get((home, origin.get(id_, id_))) if home is not None else None
            if copy is not None:
                found[id_] = copy
        context.ids.ids[table] = found
        context.back.ids[table] = {copy: id_ for id_, copy in found.items()}

    def _deleted_models(self) -> None:
        """Copies that were deleted again, as their originals are: a server does not list them."""
        context = self.context
        prefix, gone = source_tags.DELETED_MODEL, {}
        for number, key, value in rows_of(
            context.server, "experiment_tags", ("experiment_id", "key", "value")
        ):
            if key.startswith(prefix) and number in context.back.experiments:
                gone[key.removeprefix(prefix)] = value
        context.ids.change("logged_models", gone)
        context.back.change("logged_models", {copy: model for model, copy in gone.items()})
        context.deleted_models.update(gone)

    def _evaluation(self) -> None:
        """What is known again by a tag, or by what is said of it."""
        context = self.context
        there_are = context.has("evaluation_datasets")
        origin = dict(tagged(context.server, *_DATASET_TAG)) if there_are else {}
        mine = dict(tagged(context.source, *_DATASET_TAG))
        there = {source: copy for copy, source in origin.items()}
        rows = rows_of(context.source, "evaluation_datasets", ("dataset_id",))
        pairs = ((id_, there.get(mine.get(id_, id_))) for (id_,) in rows)
        found = {"evaluation_datasets": {id_: copy for id_, copy in pairs if copy is not None}}
        self._known(
            found | by_natural_keys(context.source, context.server, context.ids.experiments.get)
        )

    def _anywhere(self) -> None:
        """What lies in no experiment: webhooks, the gateway, the MCP registry."""
        context = self.context
        scorers = context.ids.of("scorers")
        self._known(
            by_natural_keys_anywhere(context.source, context.server, context.ids.workspace, scorers)
        )

    def _known(self, found: dict[str, dict[str, str]]) -> None:
        for table, ids in found.items():
            self.context.ids.change(table, ids)
            self.context.back.change(table, {copy: id_ for id_, copy in ids.items()})

    def _datasets(self) -> None:
        """Datasets have no ids that a server shows: they are matched by name and digest."""
        context = self.context
        there = {(d.experiment, d.name, d.digest): d.uuid for d in datasets_of(context.server)}
        back = {}
        for one in datasets_of(context.source):
            home = context.ids.experiments.get(one.experiment)
            uuid = there.get((home, one.name, one.digest)) if home is not None else None
            if uuid is not None:
                back[uuid] = one.uuid
        context.back.ids["datasets"] = back


def _numbered(reader: Reader) -> dict[int, str]:
    """Experiments that are copies, and the number that each has where it comes from."""
    found = tagged(reader, "experiment_tags", "experiment_id", source_tags.EXPERIMENT)
    return {int(number): value for number, value in found}


_DATASET_TAG = ("evaluation_dataset_tags", "dataset_id", source_tags.DATASET)
_LOCATION = ("experiment_id", "artifact_location")
