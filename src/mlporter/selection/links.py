"""How tables hang together, found by the catalogue: what is chosen and what comes with it.

A table is one of three: its rows are chosen one by one (runs), they follow the row that owns them
(params), or they are edges between two rows (inputs). Everything here is data and pure functions;
a new table of the catalogue falls into its place without a line here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlporter.catalogue.types import Form, HiddenReference, Kind, Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.catalogue.types import Table

__all__ = ["EDGES", "NOT_FOLLOWED", "PARENT_TAGS", "End", "Group", "Link", "Shape"]

STANDALONE = frozenset(
    {
        "datasets",
        "issues",
        "label_schemas",
        "logged_models",
        "model_versions",
        "review_queues",
        "runs",
        "scorers",
        "trace_info",
    }
)
"""Tables with a parent, whose rows are chosen one by one all the same."""

EDGES = frozenset({"entity_associations", "inputs"})
"""Tables of edges: a row comes if both of its ends do."""

_IDENTITY = {"datasets": ("dataset_uuid",), "inputs": ("input_uuid",)}
"""What others know a row by, where that is not the key."""

PARENT_TAGS = frozenset({"mlflow.parentRunId", "mlflow.rootRunId"})
"""Tags of a run that name the run that it is nested in."""

NOT_FOLLOWED = frozenset(
    {
        # Back-links: what depends on a thing, and not what it depends on.
        ("registered_model_tags", "value", "_mlflow_experiment_ids"),
        ("logged_model_tags", "tag_value", "mlflow.modelVersions"),
        ("model_version_tags", "value", "mlflow.prompt.associatedRunIds"),
        ("tags", "value", "mlflow.linkedPrompts"),
        ("logged_model_tags", "tag_value", "mlflow.linkedPrompts"),
        ("trace_tags", "value", "mlflow.linkedPrompts"),
        # Where something came from, which it does without.
        ("experiment_tags", "value", "mlflow.experiment.sourceId"),
        ("experiment_tags", "value", "mlflow.latestOnlineScoring.trace.checkpoint"),
        ("trace_request_metadata", "value", "mlflow.gateway.endpointId"),
        ("assessments", "assessment_metadata", "mlflow.assessment.scorerTraceId"),
        ("evaluation_dataset_records", "source_id", "TRACE"),
        ("evaluation_dataset_records", "source", "trace_id"),
        # The run of a version is in `run_id`; this is a web page.
        ("model_versions", "run_link", ""),
        # Within one trace.
        ("assessments", "overrides", ""),
    }
)
"""References that bring nothing: table, column, and the value of ``where`` or the JSON field."""

_GOES_WITHOUT = frozenset(
    {("registered_model_aliases", "model_versions"), ("endpoint_bindings", "scorers")}
)
"""Rows that stay behind with what they refer to, though their owner comes."""


@dataclass(frozen=True)
class End:
    """Columns of a row that hold the identity of a chosen thing, in rows where `where` holds.

    ``text`` is whether a number is written as text there.
    """

    entity: str
    columns: tuple[str, ...]
    where: tuple[str, str] | None = None
    text: bool = False


@dataclass(frozen=True)
class Link:
    """What a row depends on: an end, or ids hidden in a string."""

    end: End
    hidden: HiddenReference | None = None


@dataclass(frozen=True)
class Group:
    """The links of the rows of one table that belong to an entity, to be read together."""

    table: str
    owner: End
    links: tuple[Link, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to read."""
        names = dict.fromkeys(self.owner.columns)
        for link in self.links:
            names.update(dict.fromkeys(link.end.columns))
            if link.end.where is not None:
                names[link.end.where[0]] = None
        return tuple(names)

    @property
    def values(self) -> tuple[str, tuple[str, ...]] | None:
        """A column and its values, if no other rows link to anything."""
        wheres = [link.end.where for link in self.links]
        columns = {where[0] if where else None for where in wheres}
        if len(columns) != 1 or None in columns:
            return None
        return str(next(iter(columns))), tuple(sorted({where[1] for where in wheres if where}))


@dataclass
class Shape:
    """The tables of one source, with the columns that they have there."""

    tables: dict[str, Table]
    groups: dict[str, list[Group]] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Iterable[Table]) -> Shape:
        """The shape of these tables."""
        shape = cls(
            {t.name: t for t in tables if t.kind not in {Kind.UNKNOWN, Kind.NEWER, Kind.USERS}}
        )
        for table in shape.tables.values():
            for group in shape._groups_in(table):
                shape.groups.setdefault(group.owner.entity, []).append(group)
        return shape

    @property
    def entities(self) -> tuple[str, ...]:
        """Tables whose rows are chosen one by one."""
        return tuple(name for name in self.tables if self.is_entity(name))

    def is_entity(self, name: str) -> bool:
        """Whether the rows of a table are chosen one by one."""
        table = self.tables.get(name)
        if table is None or name in EDGES:
            return False
        return table.parent is None or name in STANDALONE

    def identity(self, name: str) -> tuple[str, ...]:
        """The columns that others know a row by, of those that are here."""
        table = self.tables[name]
        columns = _IDENTITY.get(name, table.key)
        return tuple(column for column in columns if column in table.by_name)

    def content(self, entity: str) -> tuple[str, ...]:
        """Tables whose rows are chosen one by one, and lie in a row of `entity`."""
        return tuple(n for n in self.entities if self.tables[n].parent == entity)

    def owner(self, name: str) -> End | None:
        """What a row belongs to: itself, or a row of its parent table, or that one's owner."""
        table = self.tables[name]
        if self.is_entity(name) or name in EDGES:
            return End(name, self.identity(name))
        up = table.parent
        if up is None or up not in self.tables:
            return None
        above = self.owner(up)
        to_parent = next((r for r in table.references if r.table == up), None)
        if above is None or to_parent is None:
            return None
        return self._through(to_parent, above)

    def ends(self, name: str) -> tuple[End, ...]:
        """What must be chosen for a row to come; of an edge, all ends of kinds that are known."""
        if name in EDGES:
            return tuple(self._edge_ends(self.tables[name]))
        owner = self.owner(name)
        further = [
            self.end(reference)
            for reference in self.tables[name].references
            if (name, reference.table) in _GOES_WITHOUT
        ]
        return tuple(end for end in (owner, *further) if end is not None)

    def end(self, reference: Reference) -> End | None:
        """The chosen thing that a reference leads to."""
        if reference.table not in self.tables or reference.table in EDGES:
            return None
        owner = self.owner(reference.table)
        return None if owner is None else self._through(reference, owner)

    def _through(self, reference: Reference, above: End) -> End | None:
        """`above`, which the row referred to has, in the columns of the row that refers."""
        names = dict(zip(reference.targets, reference.columns, strict=True))
        if not above.columns or not set(above.columns) <= set(names):
            return None
        columns = tuple(names[column] for column in above.columns)
        return End(above.entity, columns, reference.where)

    def _edge_ends(self, table: Table) -> Iterator[End]:
        for reference in table.references:
            end = self.end(reference)
            if end is not None:
                yield end
        for hidden in table.hidden:
            if hidden.form is Form.ID and hidden.table in self.tables:
                yield End(hidden.table, (hidden.column,), hidden.where, text=True)

    def _groups_in(self, table: Table) -> Iterator[Group]:
        """What the rows of a table bring with them, by what they belong to."""
        if table.name == "inputs":
            yield from self._edge_groups(table)
        owner = self.owner(table.name)
        if owner is None or table.name in EDGES:
            return
        links = tuple(self._links(table, owner))
        if links:
            yield Group(table.name, owner, links)

    def _edge_groups(self, table: Table) -> Iterator[Group]:
        """A run brings what lies at the other end of its edges; nothing brings a run so."""
        ends = list(self._edge_ends(table))
        for column in dict.fromkeys(end.columns for end in ends if end.entity == "runs"):
            others = (Link(e) for e in ends if e.columns != column and e.entity != "runs")
            yield Group(table.name, End("runs", column), tuple(others))

    def _links(self, table: Table, owner: End) -> Iterator[Link]:
        for reference in table.references:
            end = self.end(reference)
            where = reference.where[1] if reference.where else ""
            if end is None or (table.name, reference.columns[0], where) in NOT_FOLLOWED:
                continue
            is_itself = end.entity == owner.entity and end.columns == owner.columns
            goes = (table.name, reference.table) in _GOES_WITHOUT
            if not is_itself and not goes and set(end.columns) <= set(table.by_name):
                yield Link(end)
        for hidden in table.hidden:
            if self._is_followed(table, hidden):
                yield Link(End(hidden.table, (hidden.column,), hidden.where), hidden)

    def _is_followed(self, table: Table, hidden: HiddenReference) -> bool:
        if hidden.form is Form.URI and hidden.table == "registered_models":
            return False  # a version, whose number is there too: see `reach`
        names = {hidden.where[1]} if hidden.where else {*hidden.fields} or {""}
        left = any((table.name, hidden.column, name) in NOT_FOLLOWED for name in names)
        return not left and self.is_entity(hidden.table) and hidden.column in table.by_name
