"""What of the source is on the server already: by name, and by the tags that our copies have."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from mlporter.catalogue import source_tags
from mlporter.errors import LeftOut, RefusedError
from mlporter.execute.server.shared.context import TargetExperiment
from mlporter.execute.server.shared.objects import try_one
from mlporter.plan.matching.experiments import Experiments, by_tag
from mlporter.plan.matching.natural_keys import by_natural_keys, by_natural_keys_anywhere, tagged
from mlporter.plan.matching.server_copies import (
    by_source_tags,
    datasets_there,
    deleted_models,
    numbered,
    other_tags,
    why_not,
)
from mlporter.plan.matching.strategies import SERVER, By
from mlporter.plan.policy import Conflict, Renamed
from mlporter.plan.side_reader import experiments_of
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.plan.units import EXPERIMENTS
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.plan.matching.names import Match
    from mlporter.plan.side_reader import Experiment

__all__ = ["Matching"]

_LARGEST = 2**63 - 1
_LOOKED_AT = 3
"""Runs by which a renamed experiment is known."""
_DEFAULT = "default"


@dataclass
class Matching:
    """Finds out what is where, before anything is written.

    Attributes:
        context: The import; its maps are filled in.
        matches: Experiments that are copied, by the source's ids.
        ours: Experiments on the server that an earlier import made.
        marked: Experiments on the server that say that they are copies, or hold some.
        conflicts: Why it is refused.
        renamed: What gets another name.
        memory: What was last sent, and where actions go.
        experiments: Which is which of them; `matches` are those of these that are copied.
        new_names: Names that experiments (the server's ids) get, in this order.
        not_renamed: Those of them that the server refused to rename.
    """

    context: ServerContext
    matches: dict[int, Match] = field(default_factory=dict)
    ours: set[int] = field(default_factory=set)
    marked: set[int] = field(default_factory=set)
    conflicts: list[Conflict] = field(default_factory=list)
    renamed: list[Renamed] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    experiments: Experiments = field(init=False)
    new_names: list[tuple[int, str]] = field(default_factory=list)
    not_renamed: set[int] = field(default_factory=set)

    def run(self) -> None:
        """Experiments, then what lies in them."""
        self._experiments()
        step = self.context.policy.step
        more = self.ours if step is not None and step.delete else set()
        self.context.server.narrow({*self.context.back.experiments, *more})
        if self.context.back.experiments:
            self._in_experiments()
        self._anywhere()

    # --- Experiments ------------------------------------------------------------------------------

    def _experiments(self) -> None:
        context, policy = self.context, self.context.policy
        mine, there = experiments_of(context.source), experiments_of(context.server)
        marked = numbered(context.server)
        self.ours = set(marked)
        held = tagged(context.server, "experiment_tags", "experiment_id", source_tags.HOLDS)
        self.marked = self.ours | {int(number) for number, _ in held}
        known = Experiments(mine, there, policy, context.ids.workspaces, _LARGEST)
        if By.TAG in SERVER[EXPERIMENTS]:
            known.know(by_tag(known, marked, numbered(context.source), self._has_run))

        def reasons() -> dict[int, str]:
            matches = known.matches
            found = why_not(matches, self.ours, policy)
            return found | other_tags(context.source, context.server, matches, self.ours)

        in_the_way = known.match(reasons)
        self.experiments = known
        self.matches = dict(known.matches)
        self._check_paths()
        self._settle(in_the_way)

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
                hint="put a folder before all names: --rename-prefix /Shared/",
                reasons=bad[:20],
            )

    def _settle(self, reasons: Mapping[int, str]) -> None:
        context = self.context
        for number, why in reasons.items():
            name = self.matches[number].name
            if context.policy.leaves_out:
                detail = f"{why}; the target keeps it so"
                context.left_out.add(LeftOut("experiments", name, "", "conflict", detail))
                del self.matches[number]
            else:
                self.conflicts.append(Conflict("experiments", name, why))
        self.renamed += self.experiments.renamed(self.matches)
        locations = dict(rows_of(context.server, "experiments", _LOCATION))
        for number, match in self.matches.items():
            if match.name != match.source.name:
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
        """Who renamed an experiment that has another name there than it is to have."""
        context = self.context
        choices = self.experiments.choose_names(self.memory.base)
        choices = [one for one in choices if one.match.source.number in self.matches]
        for one in choices:
            self.memory.book.add(one.action(str(one.match.source.number)))
            if (conflict := one.conflict()) is None:
                continue
            if context.policy.leaves_out:
                context.left_out.add(conflict.left_out())
            else:
                self.conflicts.append(conflict)
        self.new_names = self.experiments.renaming(choices)

    def noted(self) -> tuple[dict[str, str], dict[str, str]]:
        """Numbers and names of experiments, as they are remembered: by the source's numbers."""
        done = {number for number, _ in self.new_names} - self.not_renamed
        left = self.experiments.matches.keys() - self.matches.keys()
        return self.experiments.noted(self.memory.base, done, left)

    def rename(self) -> None:
        """Give experiments the names that they got since they were sent."""
        for number, name in self.new_names:
            home = self.context.target_experiments[number]
            writer = self.context.writer_of(home.workspace)
            rename = partial(writer.rename_experiment, number, name)
            if not try_one(self.context, "experiments", name, rename, changed=1):
                self.not_renamed.add(number)

    # --- What lies in them ------------------------------------------------------------------------

    def _in_experiments(self) -> None:
        """What has a copy in its experiment on the server, or is known there by what it says."""
        context = self.context
        source, server, home = context.source, context.server, context.ids.experiments.get
        for table, found in by_source_tags(source, server, home).items():
            context.ids.ids[table] = found
            context.back.ids[table] = {copy: id_ for id_, copy in found.items()}
        gone = deleted_models(server, context.back.experiments)
        self._known({"logged_models": gone})
        context.deleted_models.update(gone)
        context.back.ids["datasets"] = datasets_there(source, server, home)
        self._known(by_natural_keys(source, server, home))

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


_LOCATION = ("experiment_id", "artifact_location")
