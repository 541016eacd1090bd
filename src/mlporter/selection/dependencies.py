"""What the chosen things depend on, followed until nothing new comes up."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.artifacts.uris.ownership import FileOwner, Where
from mlporter.catalogue.types import Form, HiddenReference
from mlporter.selection.links import PARENT_TAGS, End, Group, Link
from mlporter.selection.row_keys import (
    Chosen,
    Key,
    column_of,
    joined,
    keys_of,
    mask_at,
    matches,
    rows_at,
)
from mlporter.stores.protocols import Among
from mlporter.stores.rows.json_strings import endpoints_in
from mlporter.stores.rows.version_locations import locations_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from mlporter.selection.links import Shape
    from mlporter.stores.protocols import Source

__all__ = ["Reach", "ids_in", "version_in"]

_MANY = 2_000
"""More rows than that are told apart by us, if the database can be asked for the ones that link."""


class Reach:
    """Chosen things by table, and everything that they depend on.

    Memory grows with the ids of what is chosen, and with nothing else.

    Attributes:
        chosen: By table.
        outside: Parent runs that were not followed, with one of their children.
    """

    def __init__(self, source: Source, shape: Shape, *, parents: bool = True) -> None:
        self._source = source
        self._shape = shape
        self._parents = parents
        self._pending: dict[str, set[Key] | None] = {}
        self.chosen = {name: Chosen() for name in shape.entities}
        self.outside: dict[str, str] = {}

    def add(self, entity: str, keys: Iterable[Key]) -> None:
        """Choose rows of a table."""
        chosen = self.chosen[entity]
        new = set() if chosen.everything else set(keys) - chosen.keys
        if new:
            chosen.keys |= new
            waiting = self._pending.setdefault(entity, set())
            if waiting is not None:
                waiting |= new

    def add_everything(self, entity: str) -> None:
        """Choose all rows of a table."""
        if not self.chosen[entity].everything:
            self.chosen[entity].everything = True
            self.chosen[entity].keys = set()
            self._pending[entity] = None

    def settle(self) -> None:
        """Follow what was chosen to all that it depends on."""
        while self._pending:
            entity, keys = self._pending.popitem()
            for group in self._shape.groups.get(entity, ()):
                self._follow(group, keys)
            if entity == "model_versions":
                self._follow_files(keys)
        self.outside = {
            parent: child for parent, child in self.outside.items() if not self._has_run(parent)
        }

    def _has_run(self, run: str) -> bool:
        """Whether a run is chosen, or is nowhere in the source either."""
        return run in self.chosen["runs"] or not self.existing("runs", {run})

    def identity(self, entity: str) -> tuple[str, ...]:
        """The columns that hold the keys of a table here."""
        return self._shape.identity(entity)

    def existing(self, entity: str, keys: Collection[Key]) -> set[Key]:
        """Those of some keys of a table that are there."""
        end = End(entity, self.identity(entity))
        found: set[Key] = set()
        for batch in self._source.read(entity, end.columns, rows_at(end, keys)):
            found.update(keys_of(batch, end.columns).to_pylist())
        return found & set(keys)

    def rows(
        self, table: str, columns: tuple[str, ...], end: End, keys: Collection[Key] | None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table whose `end` is one of `keys`; None is all."""
        if keys is None:
            yield from self._source.read(table, columns)
            return
        if not keys:
            return
        for batch in self._source.read(table, columns, rows_at(end, keys)):
            yield batch if len(end.columns) == 1 else batch.filter(mask_at(batch, end, keys))

    def _follow(self, group: Group, keys: set[Key] | None) -> None:
        links = [link for link in group.links if not self._is_whole(link)]
        if not links:
            return
        for batch in self._linking(Group(group.table, group.owner, tuple(links)), keys):
            for link in links:
                self._take(link, group, batch)

    def _is_whole(self, link: Link) -> bool:
        return self.chosen[link.end.entity].everything

    def _linking(self, group: Group, keys: set[Key] | None) -> Iterator[pa.RecordBatch]:
        """The rows of some owners that may link to something."""
        if group.values is None or (keys is not None and len(keys) <= _MANY):
            yield from self.rows(group.table, group.columns, group.owner, keys)
            return
        for batch in self._source.read(group.table, group.columns, Among(*group.values)):
            yield batch if keys is None else batch.filter(mask_at(batch, group.owner, keys))

    def _take(self, link: Link, group: Group, batch: pa.RecordBatch) -> None:
        meant = matches(batch, link.end.where)
        rows = batch if meant is None else batch.filter(meant)
        values = keys_of(rows, link.end.columns)
        if link.hidden is None:
            self.add(link.end.entity, _distinct(values))
            return
        if not self._parents and link.hidden.where and link.hidden.where[1] in PARENT_TAGS:
            children = column_of(rows, group.owner.columns[0]).to_pylist()
            found = zip(values.to_pylist(), children, strict=True)
            self.outside.update({parent: child for parent, child in found if parent})
            return
        texts = (str(text) for text in _distinct(values))
        self.add(link.end.entity, {id_ for text in texts for id_ in ids_in(link.hidden, text)})

    def _follow_files(self, keys: set[Key] | None) -> None:
        """The runs, logged models and versions in which the files of versions lie."""
        end = End("model_versions", self._shape.identity("model_versions"))
        places = self._shape.tables["model_versions"].by_name
        columns = tuple(n for n in ("source", "storage_location") if n in places)
        for batch in self.rows("model_versions", (*end.columns, *columns), end, keys):
            for row in batch.to_pylist():
                copies = (version_in(row[name]) for name in columns if row[name])
                for name, number in filter(None, copies):
                    copied = {**row, "name": name, "version": number}
                    self.add("model_versions", {joined(copied[c] for c in end.columns)})
                file_owner = self._anchors.get(joined(row[column] for column in end.columns))
                if file_owner is not None:
                    self.add(_OWNERS[file_owner.owner_kind], {file_owner.owner_id})

    @cached_property
    def _anchors(self) -> dict[Key, FileOwner]:
        """Whose files the files of versions are, by the version's key."""
        whole = "workspace" in self._shape.tables["model_versions"].by_name
        return {
            joined(key if whole else key[1:]): found.file_owner
            for key, found in locations_of(self._source).items()
            if found.where is Where.ANCHORED and found.file_owner is not None
        }


_OWNERS = {"run": "runs", "logged_model": "logged_models"}


def _distinct(values: pa.Array) -> set[Key]:
    # A server says of a version without a run that its run is "".
    return set(pc.drop_null(pc.unique(values)).to_pylist()) - {""}


_URI = re.compile(r"^(runs|models):(?://[^/]*)?/+([^/@]+)(?:/([^/]+))?")
_SCHEMES = {"runs": "runs", "logged_models": "models"}


def ids_in(hidden: HiddenReference, text: str) -> Iterator[str]:
    """The ids in a value of a column with hidden references."""
    if hidden.form is Form.ID:
        yield text
    elif hidden.form is Form.LIST:
        yield from (part for part in text.split(",") if part)
    elif hidden.form is Form.JSON:
        yield from _in_json(text, hidden.fields)
    elif hidden.form is Form.ENDPOINT:
        yield from endpoints_in(text)
    elif hidden.form is Form.URI:
        found = _URI.match(text)
        if found and found[1] == _SCHEMES.get(hidden.table):
            yield found[2]


def version_in(uri: str) -> tuple[str, int] | None:
    """Name and number of the model version that ``models:/name/3`` is."""
    found = _URI.match(uri)
    if found and found[1] == "models" and found[3] and found[3].isdecimal():
        return found[2], int(found[3])
    return None


def _in_json(text: str, fields: tuple[str, ...]) -> Iterator[str]:
    try:
        pending = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            for name, item in value.items():
                if name in fields:
                    yield from _texts(item)
                else:
                    pending.append(item)


def _texts(value: object) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield item
