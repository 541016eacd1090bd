"""Registered models and prompts with versions, stages, tags and aliases."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from mlporter.artifacts.uris.ownership import DELETED_STAGE
from mlporter.catalogue import source_tags
from mlporter.execute.server.registry.existing import (
    Groups,
    Registered,
    RegisteredVersion,
    conflicts_of,
    dicts_of,
    read_registered,
)
from mlporter.execute.server.registry.version_sources import (
    PLACEHOLDER_SOURCE,
    has_own_files,
    names_version,
    source_of,
)
from mlporter.execute.server.shared.allowed_names import is_taken
from mlporter.execute.server.shared.objects import try_one
from mlporter.execute.server.shared.worker_pool import WorkerPool
from mlporter.plan.matching.names import free_name, refuse_twice, try_names
from mlporter.plan.policy import Conflict, Renamed
from mlporter.plan.side_reader import models_of
from mlporter.stores.rest.answers import REFUSED, ApiError, reason_of
from mlporter.stores.rows.version_locations import locations_of, version_owner_id
from mlporter.stores.server.writing.sending import tag_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlporter.artifacts.uris.ownership import Location
    from mlporter.execute.server.planning.matching import Matching
    from mlporter.execute.server.registry.existing import Key
    from mlporter.execute.server.registry.version_sources import Named
    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.stores.rest.client import Json
    from mlporter.stores.server.writing.writer import Writer

__all__ = ["Registry"]

_READY = 2
_NO_STAGE = (None, "", "None")
_Value = TypeVar("_Value")


class Registry:
    """The registry of the source, and what the server has of it.

    Memory grows with the versions of models that both sides have under one name.
    """

    def __init__(self, context: ServerContext, matching: Matching) -> None:
        self._context = context
        self._matching = matching
        self._there: dict[Key, Registered] = {}
        self._skipped: set[Key] = set()
        self._locations: dict[tuple[str, str, int], Location] = {}

    # --- Before anything is written -------------------------------------------------------------

    def plan(self) -> None:
        """Match by name; models in conflict are refused, left out or renamed."""
        context = self._context
        mine = models_of(context.source)
        asked = context.policy.new_names
        context.ids.models.update({key: asked[key[1]] for key in mine if key[1] in asked})
        taken = {name for _, name in mine}
        trials = {key: free_name(context.ids.model(*key), taken) for key in mine}

        def look() -> dict[Key, str]:
            self._there = read_registered(context.server, {self._target(key) for key in mine})
            return conflicts_of(context.source, self._there, mine, self._target)

        def rename(key: Key) -> None:
            context.ids.models[key] = next(trials[key])

        conflicts = try_names(look, rename if context.policy.on_conflict == "rename" else None)
        refuse_twice("registered models", map(self._target, mine))
        for key, why in conflicts.items():
            if context.policy.leaves_out:
                self._skipped.add(key)
                context.leave("registered_models", key[1], "", "conflict", f"{why}, and keeps it")
            else:
                self._matching.conflicts.append(Conflict("registered_models", key[1], why))
        matched = (self._target(key) for key in mine if key not in conflicts)
        context.matched_models = frozenset(matched)
        for (workspace, old), new in context.ids.models.items():
            context.back.models[context.ids.workspace(workspace), new] = old
        self._matching.renamed += [
            Renamed("registered model", old, new) for (_, old), new in context.ids.models.items()
        ]

    def find_own_files(self) -> None:
        """Note where the server has files that versions have of their own."""
        self._locations = locations_of(self._context.source)
        for key, rows in self._versions():
            there = self._there.get(self._target(key))
            versions = {} if there is None else there.versions
            for row in rows:
                version = versions.get(row["version"])
                if version is not None and source_tags.PLACEHOLDER not in version.tags:
                    self._note_files(row, version)

    def _target(self, key: Key) -> Key:
        ids = self._context.ids
        return ids.workspace(key[0]), ids.model(*key)

    # --- Writing --------------------------------------------------------------------------------

    def write(self) -> None:
        """Models, then versions in order, then aliases."""
        context = self._context
        if not context.source.count("registered_models"):
            return
        tags = Groups(context, "registered_model_tags")
        with WorkerPool(context.workers) as pool:
            for row in dicts_of(context.source, "registered_models"):
                mine = tags((row["workspace"], row["name"]))
                if (row["workspace"], row["name"]) not in self._skipped:
                    model = partial(self._model, row, mine)
                    pool.do(partial(context.attempt, "registered_models", row["name"], model))
        self._locations = locations_of(context.source)
        tags, aliases = Groups(context, "model_version_tags"), Groups(context, _ALIASES)
        late = []
        with WorkerPool(context.workers) as pool:
            for key, rows in self._versions():
                sent = partial(self._model_versions, key, rows, tags(key), aliases(key))
                work = partial(context.attempt, "registered_models", key[1], sent)
                if any(names_version(str(row["source"])) for row in rows):
                    late.append(work)
                else:
                    pool.do(work)
        for work in late:
            work()

    def _model(self, row: dict[str, Any], tags: list[dict[str, Any]]) -> None:
        context, key = self._context, (row["workspace"], row["name"])
        workspace, name = self._target(key)
        writer, there = context.writer_of(workspace), self._there.get((workspace, name))
        given = {tag["key"]: tag["value"] or "" for tag in tags}
        text = row["description"] or ""
        set_tag = partial(writer.set_registered_model_tag, name)
        if there is None:
            mark = {source_tags.REGISTERED_MODEL: row["name"]}
            make = partial(writer.create_registered_model, name, text)
            _, late = _with_or_without(lambda tags: make(mark | tags), given)
            context.wrote("registered_models")
            context.wrote("registered_model_tags", len(given) - len(late))
            self._set("registered_model_tags", name, late, {}, set_tag)
            return
        changed = text != there.description and there.is_ours()
        if changed:
            writer.update_registered_model(name, text)
        self._count("registered_models", changed=changed)
        self._set("registered_model_tags", name, given, there.tags, set_tag)

    def _count(self, table: str, *, changed: bool) -> None:
        """Count one that is there."""
        if changed:
            self._context.wrote(table, changed=1)
        else:
            self._context.tallies[table].there += 1

    def _set(
        self,
        table: str,
        owner: str,
        wanted: Mapping[str, _Value],
        there: Mapping[str, _Value],
        set_one: Callable[[str, _Value], None],
    ) -> None:
        """Set tags or aliases that the server has not, or has otherwise; each for itself."""
        for name, value in wanted.items():
            if there.get(name) == value:
                self._count(table, changed=False)
                continue
            changed = int(name in there)
            try_one(
                self._context, table, owner, partial(set_one, name, value), name, changed=changed
            )

    def _versions(self) -> Iterator[tuple[Key, list[dict[str, Any]]]]:
        """Versions of each model that are copied, by number; deleted ones are not."""
        rows = dicts_of(self._context.source, "model_versions")
        for key, found in groupby(rows, lambda row: (row["workspace"], row["name"])):
            if key not in self._skipped:
                yield key, [row for row in found if row["current_stage"] != DELETED_STAGE]

    def _model_versions(
        self,
        key: Key,
        rows: list[dict[str, Any]],
        version_tags: list[dict[str, Any]],
        aliases: list[dict[str, Any]],
    ) -> None:
        workspace, name = self._target(key)
        writer = self._context.writer_of(workspace)
        there = self._there.get((workspace, name)) or Registered("")
        tags: dict[int, dict[str, str]] = defaultdict(dict)
        for tag in version_tags:
            tags[tag["version"]][tag["key"]] = tag["value"] or ""
        made = set(there.versions)
        last = max(*made, int(there.tags.get(source_tags.PLACEHOLDER, 0)), 0)
        for number, version in there.versions.items():
            if source_tags.PLACEHOLDER in version.tags:
                writer.delete_model_version(name, number)
                made.discard(number)
        for row in rows:
            number = row["version"]
            if number in made:
                self._note_files(row, there.versions[number])
                self._update(writer, name, row, tags[number], there.versions[number])
                continue
            if self._make(writer, name, row, tags[number], last):
                made.add(number)
                last = number
            else:
                self._context.fail("model_version_tags", len(tags[number]))
        wanted = {alias["alias"]: alias["version"] for alias in aliases}
        for alias, number in wanted.items():
            if number not in made:
                self._refuse(key, alias, "alias", "its version is not copied")
        good = {alias: number for alias, number in wanted.items() if number in made}
        self._set(_ALIASES, name, good, there.aliases, partial(writer.set_alias, name))

    def _refuse(  # noqa: PLR0917 -- what is told of it
        self,
        key: Key,
        what: object,
        kind: str,
        why: str,
        reason: str = "refused",
        path: str = "",
    ) -> None:
        self._context.leave("model_version", f"{key[0]}/{key[1]}/{what}", path, reason, why)
        table = "registered_model_aliases" if kind == "alias" else "model_versions"
        self._context.fail(table)

    def _make(
        self,
        writer: Writer,
        name: str,
        row: dict[str, Any],
        tags: dict[str, str],
        last: int,
    ) -> bool:
        context, key, number = self._context, (row["workspace"], row["name"]), row["version"]
        mapped = context.mapped_row("model_versions", row)
        location = self._locations.get((row["workspace"] or "default", row["name"], number))
        named = source_of(mapped, location, context.ids, context.root_of)
        if named.own:
            named = self._hold(writer, row, named)
        if named.refused:
            self._refuse(key, number, "version", named.refused)
            return False
        if not self._fill_gap(writer, name, last, number):
            self._refuse(key, number, "version", "the server has used its number before")
            return False
        key_here = (row["workspace"], row["name"], number)
        body: Json = {
            **context.along.named("model_versions", *key_here),
            "name": name,
            "source": named.source,
            "description": row["description"] or "",
            "run_link": mapped["run_link"] or "",
        }
        body |= {"run_id": named.run} if named.run else {}
        body |= {"model_id": named.model} if named.model else {}
        mark = {source_tags.VERSION: f"{row['name']}/{number}"}
        make = partial(writer.create_model_version, expected=number)
        try:
            got, late = _with_or_without(
                lambda tags: make({**body, "tags": tag_list(tags | mark)}), tags
            )
        except REFUSED as error:
            self._refuse(key, number, "version", error.message, reason_of(error))
            return False
        if got != number:
            writer.delete_model_version(name, got)
            # Versions that were deleted there are not shown: the next try begins after this one.
            writer.set_registered_model_tag(name, source_tags.PLACEHOLDER, str(got))
            why = f"the server gives it the number {got}"
            self._refuse(key, number, "version", why, "another-number", path=str(got))
            return False
        context.wrote("model_versions")
        context.wrote("model_version_tags", len(tags) - len(late))
        set_tag = partial(writer.set_model_version_tag, name, number)
        self._set("model_version_tags", f"{name}/{number}", late, {}, set_tag)
        done = context.tallies["model_versions"].written
        context.on_progress("making versions", done, None)
        if row["current_stage"] not in _NO_STAGE:
            writer.set_stage(name, number, row["current_stage"])
        return True

    def _note_files(
        self,
        row: dict[str, Any],
        there: RegisteredVersion,
    ) -> None:
        """Note where the server has files that a version has of its own."""
        key = (row["workspace"] or "default", row["name"], row["version"])
        if has_own_files(self._locations.get(key)):
            root = there.row["storage_location"] or there.row["source"]
            self._context.version_roots[version_owner_id(key)] = root

    def _hold(self, writer: Writer, row: dict[str, Any], named: Named) -> Named:
        """Make a logged model that holds the files of a version.

        A server takes no version whose files lie outside of every run and logged model.
        """
        context = self._context
        owner = version_owner_id((row["workspace"] or "default", row["name"], row["version"]))
        workspace = context.ids.workspace(row["workspace"] or "default")
        experiments = [
            number
            for number, home in context.target_experiments.items()
            if home.workspace == workspace
        ]
        if not context.server.can.may("logged models"):
            return replace(
                named, refused="the server has no logged model that could hold its files"
            )
        if not experiments:
            return replace(named, refused="no experiment is copied that could hold its files")
        home, tag = (
            min(experiments),
            (source_tags.LOGGED_MODEL, f"{source_tags.HELD}{owner}"),
        )
        model = writer.logged_model_tagged(str(home), tag)
        if model is None:
            name = re.sub(r"[^\w -]", "_", row["name"])
            model = writer.create_logged_model({"experiment_id": str(home), "name": name}, tag)
            writer.finalize_logged_model(model, _READY)
        root = context.root_at(context.target_experiments[home], "logged_model", model)
        context.version_roots[owner] = root
        return replace(named, source=root, model=model)

    @staticmethod
    def _fill_gap(writer: Writer, name: str, last: int, number: int) -> bool:
        """Use up the numbers before one: versions are made and deleted."""
        while last < number - 1:
            body = {"name": name, "source": PLACEHOLDER_SOURCE,
                    "tags": tag_list({source_tags.PLACEHOLDER: str(last + 1)})}  # fmt: skip
            last = writer.create_model_version(body, last + 1)
            # Deleted ones are not shown: without this mark, nobody would know what is used up.
            writer.set_registered_model_tag(name, source_tags.PLACEHOLDER, str(last))
            writer.delete_model_version(name, last)
        return last == number - 1

    def _update(
        self,
        writer: Writer,
        name: str,
        row: dict[str, Any],
        tags: dict[str, str],
        there: RegisteredVersion,
    ) -> None:
        number, changed = row["version"], False
        if (row["description"] or "") != (there.row["description"] or ""):
            writer.update_model_version(name, number, row["description"] or "")
            changed = True
        stage = row["current_stage"] or "None"
        if stage != (there.row["current_stage"] or "None"):
            writer.set_stage(name, number, stage)
            changed = True
        self._count("model_versions", changed=changed)
        set_tag = partial(writer.set_model_version_tag, name, number)
        self._set("model_version_tags", f"{name}/{number}", tags, there.tags, set_tag)


def _with_or_without(
    make: Callable[[dict[str, str]], _Value], tags: dict[str, str]
) -> tuple[_Value, dict[str, str]]:
    """Make something with its tags; where that is refused, without those of unusual names.

    Returns:
        What `make` gives, and the tags that must still be set.
    """
    late = {key: value for key, value in tags.items() if not is_taken(key)}
    try:
        return make(tags), {}
    except ApiError:
        if not late:
            raise
    return make({key: value for key, value in tags.items() if key not in late}), late


_ALIASES = "registered_model_aliases"
