"""A part of a source that reads as a source of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.catalogue.tables.own import LEFT_OUT, OWNER_KINDS, OWNER_TABLES, owner_key
from mlporter.selection.row_keys import (
    Chosen,
    Key,
    joined,
    keys_of,
    mask_at,
    matches,
    rows_at,
)
from mlporter.stores.protocols import elsewhere
from mlporter.stores.rows.other_places import OTHER, other_places
from mlporter.stores.rows.unknown_fields import field_rows, row_keys, sorted_fields
from mlporter.stores.views.without_secrets import WithoutSecrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut
    from mlporter.selection.criteria import Selection
    from mlporter.selection.links import End
    from mlporter.stores.protocols import (
        Among,
        ArtifactFile,
        Description,
        Keep,
        Openable,
        Report,
        Source,
    )

__all__ = ["Rule", "SelectedSource"]


@dataclass(frozen=True)
class Rule:
    """Which rows of one table come.

    Attributes:
        ends: What must be chosen: each, where it holds.
        chosen: By table.
        dangling: Keys that are nowhere in the source, by table: they keep no row back.
        is_edge: The table is one of edges: at least one end must be chosen.
        with_strangers: Edges come too whose ends are of unknown kinds, both.
        nullable: An end may be NULL: then it is none.
    """

    ends: tuple[End, ...]
    chosen: Mapping[str, Chosen]
    dangling: Mapping[str, set[Key]] = field(default_factory=dict)
    is_edge: bool = False
    with_strangers: bool = False
    nullable: bool = False

    @property
    def is_all(self) -> bool:
        """Whether every row comes."""
        whole = all(self.chosen[end.entity].everything for end in self.ends)
        return whole and (not self.is_edge or self.with_strangers)

    @property
    def owner(self) -> End | None:
        """The end that a source can be asked for, if there is one."""
        if self.is_edge or not self.ends or self.chosen[self.ends[0].entity].everything:
            return None
        return self.ends[0]

    @property
    def is_asked(self) -> bool:
        """Whether asking for the owner leaves nothing to be told apart."""
        owner = self.owner
        return owner is not None and len(self.ends) == 1 and len(owner.columns) == 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that tell rows apart."""
        names: dict[str, None] = {}
        for end in self.ends:
            names.update(dict.fromkeys(end.columns))
            if end.where is not None:
                names[end.where[0]] = None
        return tuple(names)

    def touches(self, batch: pa.RecordBatch) -> pa.Array:
        """In which rows of a batch anything at all is chosen."""
        touched = pa.array([False] * batch.num_rows, pa.bool_())
        for end in self.ends:
            chosen = self.chosen[end.entity]
            if chosen.everything:
                inside = keys_of(batch, end.columns).is_valid()
            else:
                inside = mask_at(batch, end, chosen.keys)
            there = matches(batch, end.where)
            touched = pc.or_(touched, inside if there is None else pc.and_(inside, there))
        return touched

    def mask(self, batch: pa.RecordBatch) -> pa.Array:
        """Which rows of a batch come."""
        none = pa.array([False] * batch.num_rows, pa.bool_())
        held_back, known = none, none
        for end in self.ends:
            meant = matches(batch, end.where)
            meant = pc.invert(none) if meant is None else meant
            if self.nullable:
                meant = pc.and_(meant, keys_of(batch, end.columns).is_valid())
            known = pc.or_(known, meant)
            held_back = pc.or_(held_back, pc.and_not(meant, self._inside(batch, end)))
        comes = pc.invert(held_back)
        if not self.is_edge:
            return comes
        reached = self.touches(batch)
        strange = pc.invert(known) if self.with_strangers else none
        return pc.and_(comes, pc.or_(reached, strange))

    def _inside(self, batch: pa.RecordBatch, end: End) -> pa.Array:
        """In which rows an end is chosen, or nowhere at all."""
        chosen = self.chosen[end.entity]
        if chosen.everything:
            return pa.array([True] * batch.num_rows, pa.bool_())
        inside = mask_at(batch, end, chosen.keys)
        lost = self.dangling.get(end.entity)
        return pc.or_(inside, mask_at(batch, end, lost)) if lost else inside


@dataclass
class SelectedSource:
    """A `mlporter.stores.protocols.Source` of what was chosen, and of what that depends on.

    Attributes:
        inner: What it was chosen from.
        selection: What was asked for.
        tables: Those of the source; unknown ones are not here where something is asked for by name.
        rules: Which rows come, by table; of tables without a rule all do.
        chosen: By table.
        said: Sentences for people of what was asked for.
        left_out: What was left outside though something selected refers to it, and unknown tables.
    """

    inner: Source
    selection: Selection
    tables: tuple[Table, ...]
    rules: Mapping[str, Rule]
    chosen: Mapping[str, Chosen]
    said: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    _counts: dict[str, int] = field(default_factory=dict)

    @property
    def description(self) -> Description:
        """What and where it is, and what was asked for."""
        chosen = self.selection.words()
        return replace(self.inner.description, selection=chosen, files=None, file_bytes=None)

    def count(self, table: str) -> int:
        """Rows of a table; they are counted once."""
        if table not in self._counts:
            self._counts[table] = self._count(table)
        return self._counts[table]

    def _count(self, table: str) -> int:
        rule = self.rules.get(table)
        if rule is None or rule.is_all:
            return self.inner.count(table)
        # Of secrets only ids are read, and they do not leave.
        source = self.inner.inner if isinstance(self.inner, WithoutSecrets) else self.inner
        batches = _selected(source, rule, table, rule.columns[:1], None)
        return sum(batch.num_rows for batch in batches)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key: those that were chosen, and of them those in `among`."""
        if table == LEFT_OUT.name:
            return self._left_out_before(columns, among)
        rule = self.rules.get(table)
        if rule is None or rule.is_all:
            return self.inner.read(table, columns, among)
        return _selected(self.inner, rule, table, columns, among)

    def _left_out_before(
        self, columns: tuple[str, ...] | None, among: Among | None
    ) -> Iterator[pa.RecordBatch]:
        """What an export left out, as far as it was a file of something that is chosen."""
        names = columns or tuple(LEFT_OUT.schema.names)
        for batch in self.inner.read(LEFT_OUT.name, tuple({*names, "kind", "id"}), among):
            pairs = zip(batch["kind"].to_pylist(), batch["id"].to_pylist(), strict=True)
            kept = batch.filter(pa.array([self._is_left_here(*pair) for pair in pairs], pa.bool_()))
            if kept.num_rows:
                yield kept.select(list(names))

    def _is_left_here(self, kind: str, id_: str) -> bool:
        if kind == "artifact":  # whose kind is not said
            return any(self._has_owner(owner, id_) for owner in OWNER_KINDS)
        return kind not in OWNER_KINDS or self._has_owner(kind, id_)

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """The files of chosen owners."""

        def is_kept(kind: str, owner: str) -> bool:
            return self._has_owner(kind, owner) and (keep is None or keep(kind, owner))

        return self.inner.files(report, is_kept)

    def _has_owner(self, kind: str, owner: str) -> bool:
        if kind == "orphan":
            return False  # It belongs to nothing that can be asked for.
        if kind == OTHER:
            return owner in self._others
        entity = OWNER_TABLES[kind]
        parts = owner_key(kind, owner)
        if entity == "skill_versions":  # they come with their skill
            entity, parts = "skills", parts[:-1]
        if len(parts) == 1 or entity == "skills":
            return entity not in self.chosen or joined(parts) in self.chosen[entity]
        whole = "workspace" in self.rules[entity].columns
        return joined(parts if whole else parts[1:]) in self.chosen[entity]

    @cached_property
    def _others(self) -> frozenset[str]:
        """Rows of what the catalogue does not know that name files, and come."""
        return frozenset(place.owner for place in other_places(self))

    def open_file(self, file: ArtifactFile) -> AbstractContextManager[BinaryIO]:
        """The bytes of an artifact file."""
        return self.inner.open_file(file)

    def elsewhere(self, file: ArtifactFile) -> Openable | None:
        """Where other processes find them."""
        return elsewhere(self.inner, file)

    def unknown_fields(self) -> Iterator[pa.RecordBatch]:
        """Fields of a newer server, of what is chosen."""
        keys: dict[str, set[str]] = {}
        by_name = {table.name: table for table in self.tables}
        rows = []
        for row in field_rows(self.inner):
            table = row[0]
            if table in by_name and table not in keys:
                found = self.read(table, by_name[table].key)
                keys[table] = {json.dumps(key) for batch in found for key in row_keys(batch)}
            if row[1] in keys.get(table, ()):
                rows.append(row)
        return sorted_fields(rows)

    def losses(self) -> Iterator[LeftOut]:
        """What its tables hold of what is chosen, and cannot be read."""
        return (item for item in self.inner.losses() if self._is_left_here(*_owner_of(item)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of the selection, and of how it was read."""
        return (*self.said, *self.inner.notes)

    def close(self) -> None:
        """End the snapshot."""
        self.inner.close()

    @property
    def inside_out(self) -> Source:
        """The same rows, with what keeps secrets back outermost: it says what it keeps back."""
        if not isinstance(self.inner, WithoutSecrets):
            return self
        return WithoutSecrets(replace(self, inner=self.inner.inner, _counts={}), self.inner.asked)


def _owner_of(item: LeftOut) -> tuple[str, str]:
    """The kind and id of what owns something that is left out: a span's is its trace."""
    return ("trace", item.id.partition("/")[0]) if item.kind == "span" else (item.kind, item.id)


def _selected(
    source: Source, rule: Rule, table: str, columns: tuple[str, ...] | None, among: Among | None
) -> Iterator[pa.RecordBatch]:
    owner = rule.owner
    if among is None and owner is not None:
        asked = rows_at(owner, rule.chosen[owner.entity].keys)
        if rule.is_asked:
            yield from source.read(table, columns, asked)
            return
        among = asked
    wanted = columns if columns is None else tuple(dict.fromkeys((*columns, *rule.columns)))
    for batch in source.read(table, wanted, among):
        kept = batch.filter(rule.mask(batch))
        if kept.num_rows:
            yield kept if columns is None else kept.select(list(columns))
