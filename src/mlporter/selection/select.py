"""`select`: from what is asked for to a source of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from mlporter.catalogue.types import Kind
from mlporter.errors import LeftOut
from mlporter.selection.dependencies import Reach
from mlporter.selection.links import EDGES, End, Shape
from mlporter.selection.roots import Roots
from mlporter.selection.row_keys import Chosen, Key, keys_of, mask_at, matches
from mlporter.selection.selected_source import Rule, SelectedSource
from mlporter.stores.protocols import Among, remote_source
from mlporter.stores.views.without_secrets import WithoutSecrets
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table
    from mlporter.selection.criteria import Selection
    from mlporter.stores.protocols import Source

__all__ = ["select"]

_CHUNK = 5_000
_SHOWN = 20
_DELETABLE = {
    "experiments": ("lifecycle_stage", "deleted"),
    "runs": ("lifecycle_stage", "deleted"),
    "logged_models": ("lifecycle_stage", "deleted"),
    "model_versions": ("current_stage", "Deleted_Internal"),
}
"""The column that says that something is deleted, and how."""


def select(source: Source, selection: Selection | None, *, partly: bool = False) -> Source:
    """A source of what is asked for and of all that it depends on, around another source.

    Args:
        source: Where it is chosen from; it must not be closed before.
        selection: What is asked for; None and an empty one are the source itself.
        partly: Take what there is, where something that is asked for is not there.

    Raises:
        RefusedError: something that is asked for is not there; all of it is named, with what may
            have been meant.
        UsageError: MLflow's search does not take the filter.
    """
    if selection is None or selection.is_everything:
        return source
    # Which secret a definition names decides what comes. That is an id, and it stays in here.
    veiled = source.inside_out if isinstance(source, SelectedSource) else source
    raw = veiled.inner if isinstance(veiled, WithoutSecrets) else veiled
    shape = Shape.of(raw.tables)
    reach = Reach(raw, shape, parents=selection.parents)
    roots = Roots(raw, shape, selection, reach)
    server = remote_source(raw)
    if server is not None and (scope := roots.scope) is not None:
        server.narrow(scope)
    roots.choose()
    if not partly:
        roots.missing.refuse(source.description.address)
    reach.settle()
    tables, left = _tables(source, shape, selection)
    is_narrow = bool(selection.names or selection.only or selection.workspaces)
    left += [_parent(parent, child) for parent, child in sorted(reach.outside.items())]
    selected = SelectedSource(
        inner=source,
        selection=selection,
        tables=tables,
        rules=_rules(raw, shape, reach, tables, strangers=not is_narrow),
        chosen=reach.chosen,
        said=[*roots.notes, *_parents_note(reach)],
        left_out=left,
    )
    if selection.exclude_deleted:
        selected.said += _deleted_notes(raw, reach)
    return selected


def _parent(parent: str, child: str) -> LeftOut:
    sentence = f"it is the parent of run {child}, and was not asked for (--no-parents)"
    return LeftOut("run", parent, "", "not-requested", sentence, expected=True)


def _parents_note(reach: Reach) -> Iterator[str]:
    if reach.outside:
        yield f"Parent runs that were left out: {len(reach.outside)}."


_STRANGE = frozenset({Kind.UNKNOWN, Kind.NEWER})
"""Tables that the catalogue does not know."""


def _owners_of(shape: Shape, table: Table) -> tuple[End, ...]:
    """What must be chosen for the rows of an unknown table to come, as its foreign keys say."""
    if table.kind is not Kind.NEWER:
        return ()
    ends = (shape.end(reference) for reference in table.references)
    return tuple(end for end in ends if end is not None)


def _tables(
    source: Source, shape: Shape, selection: Selection
) -> tuple[tuple[Table, ...], list[LeftOut]]:
    """The tables that come.

    Whose the rows of an unknown table are, nobody can tell, unless its foreign keys say it.
    """
    comes = not (selection.names or selection.only)
    tables: list[Table] = []
    left: list[LeftOut] = []
    for table in source.tables:
        is_told = not selection.workspaces or "workspace" in table.by_name
        is_known = table.kind not in {*_STRANGE, Kind.USERS}
        follows = bool(_owners_of(shape, table))
        if is_known or (table.kind in _STRANGE and (follows or (comes and is_told))):
            tables.append(table)
        elif rows := source.count(table.name):
            sentence = (
                f"{plural(rows, 'row')}: what they belong to is not known, so a selection has none"
            )
            if table.kind is Kind.USERS:
                sentence = (
                    f"{plural(rows, 'row')}: users and permissions come with a whole registry only"
                )
            # Whoever asks for a part asks for no users; of the rest nobody knows whose it is.
            expected = table.kind is Kind.USERS
            left.append(
                LeftOut("table", table.name, "", "not-requested", sentence, expected=expected)
            )
    return tuple(tables), left


def _rules(
    raw: Source, shape: Shape, reach: Reach, tables: tuple[Table, ...], *, strangers: bool
) -> dict[str, Rule]:
    """Which rows come, table by table."""
    rules: dict[str, Rule] = {}
    for name in shape.tables:
        is_edge = name in EDGES
        rule = Rule(shape.ends(name), reach.chosen, is_edge=is_edge, with_strangers=strangers)
        if is_edge or len(rule.ends) > 1:
            rule = replace(rule, dangling=_dangling(raw, reach, name, rule))
        rules[name] = rule
        if name == "inputs":
            reach.chosen[name] = _edges(raw, shape, rule)
    for table in tables:
        ends = _owners_of(shape, table)
        if ends:
            rules[table.name] = Rule(
                ends, reach.chosen, is_edge=True, with_strangers=strangers, nullable=True
            )
        elif table.kind in _STRANGE and "workspace" in table.by_name:
            rules[table.name] = Rule((End("workspaces", ("workspace",)),), reach.chosen)
    return rules


def _edges(raw: Source, shape: Shape, rule: Rule) -> Chosen:
    """The inputs that come, whose tags come too."""
    chosen = Chosen()
    chosen.everything = rule.is_all
    if not rule.is_all and "input_tags" in shape.tables and raw.count("input_tags"):
        identity = shape.identity("inputs")
        columns = tuple(dict.fromkeys((*identity, *rule.columns)))
        for batch in raw.read("inputs", columns):
            chosen.keys.update(keys_of(batch.filter(rule.mask(batch)), identity).to_pylist())
    return chosen


def _dangling(raw: Source, reach: Reach, table: str, rule: Rule) -> dict[str, set[Key]]:
    """Keys in rows with something chosen in them, that are nowhere in the source.

    Such a row is as whole here as it was there, and comes.
    """
    if rule.is_all:
        return {}
    lost: dict[str, set[Key]] = {}
    some = replace(rule, ends=rule.ends if rule.is_edge else rule.ends[:1], is_edge=True)
    for batch in raw.read(table, rule.columns):
        rows = batch.filter(some.touches(batch))
        for end in rule.ends:
            chosen = reach.chosen[end.entity]
            if not rows.num_rows or chosen.everything:
                continue
            outside = pc.invert(mask_at(rows, end, chosen.keys))
            meant = matches(rows, end.where)
            outside = outside if meant is None else pc.and_(outside, meant)
            keys = set(pc.drop_null(keys_of(rows.filter(outside), end.columns)).to_pylist()) - {""}
            if end.text:
                keys = {int(key) for key in keys if key.isascii() and key.isdecimal()}
            lost.setdefault(end.entity, set()).update(keys - _there(reach, end.entity, keys))
    return lost


def _there(reach: Reach, entity: str, keys: set[Key]) -> set[Key]:
    ordered = sorted(keys, key=str)
    found: set[Key] = set()
    for at in range(0, len(ordered), _CHUNK):
        found |= reach.existing(entity, ordered[at : at + _CHUNK])
    return found


def _deleted_notes(raw: Source, reach: Reach) -> Iterator[str]:
    """What is deleted and comes all the same, since something selected depends on it."""
    for table, (column, mark) in _DELETABLE.items():
        chosen = reach.chosen.get(table)
        if not chosen or chosen.everything:
            continue
        identity = reach.identity(table)
        names: list[str] = []
        for batch in raw.read(table, (*identity, column), Among(column, (mark,))):
            rows = batch.filter(mask_at(batch, End(table, identity), chosen.keys))
            names += [str(key).replace("\x00", "/") for key in keys_of(rows, identity).to_pylist()]
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            yield (
                f"Deleted, but copied because something selected depends on it: {table} "
                f"{', '.join(names[:_SHOWN])}{more}."
            )
