"""Aliases and stages that are moved, in a database or on a server: last of all, or not at all."""

from __future__ import annotations

import json
from contextlib import closing
from time import time
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue.source_tags import OF_VERSIONS
from mlporter.promotion.promoted_source import listed_versions
from mlporter.promotion.target.target_model import RECEIPT, read_target
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.protocols import Among
from mlporter.stores.rest.retrying import RETRY_TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlporter.promotion.promoted_source import Move
    from mlporter.promotion.target.target_model import Pointers
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.database.target import DatabaseTarget

    _Put = Callable[[str, Mapping[str, object]], None]

__all__ = ["move_pointers"]


def move_pointers(
    place: Address,
    revision: str,
    moves: Iterable[tuple[Pointers, Move | None]],
    *,
    restore_times: bool = False,
    retry_time: float = RETRY_TIME,
) -> None:
    """Move aliases and stages, and note it on the version; aliases are the last to move.

    Into a database that is one transaction. On a server it is step by step, and repeatable.

    Args:
        place: The target.
        revision: The schema revision of its database.
        moves: What moves; with the version that was promoted, where it is new.
        restore_times: Put back when versions were changed last, where the target lets it.
        retry_time: Seconds after which a server that keeps failing is given up.

    Raises:
        RefusedError: somebody moved one of them meanwhile; nothing was moved.
    """
    if place.kind is AddressKind.SERVER:
        for pointers, _ in moves:
            _on_server(place, pointers, retry_time)
        return
    from mlporter.stores.database.target import open_database_target  # noqa: PLC0415 -- drivers

    target = open_database_target(place, revision)
    try:
        for pointers, move in moves:
            _in_database(target, pointers, move, restore_times=restore_times)
    except BaseException:
        target.rollback()
        raise
    target.commit()


def _on_server(place: Address, pointers: Pointers, retry_time: float) -> None:
    # MLflow takes seconds to import, which a server's credentials need.
    from mlporter.stores.server.source import ServerSource  # noqa: PLC0415
    from mlporter.stores.server.writing.writer import Writer  # noqa: PLC0415

    with closing(ServerSource(place, retry_time=retry_time)) as server:
        pointers.check(read_target(server, pointers.workspace, pointers.name))
        writer = Writer(server.client_in(pointers.workspace))
        name = pointers.name
        for number, (_, after) in pointers.stages.items():
            writer.set_stage(name, number, after)
        if pointers.note:
            writer.set_model_version_tag(name, pointers.number, RECEIPT, json.dumps(pointers.note))
        for alias, (_, version) in pointers.aliases.items():
            if version is None:
                writer.delete_alias(name, alias)
            else:
                writer.set_alias(name, alias, version)


def _in_database(
    target: DatabaseTarget, pointers: Pointers, move: Move | None, *, restore_times: bool
) -> None:
    there = read_target(target, pointers.workspace, pointers.name)
    pointers.check(there)
    tables = {table.name: table for table in target.tables}
    has_workspace = "workspace" in tables["model_versions"].by_name
    own = {"workspace": pointers.workspace} if has_workspace else {}
    model = {**own, "name": pointers.name}
    now = int(time() * 1000)

    def put(table: str, values: Mapping[str, object]) -> None:
        """Write a row over the one with its key, if there is one."""
        entry = tables[table]
        target.remove(table, entry.key, tuple(values[name] for name in entry.key))
        batch = pa.RecordBatch.from_pylist([dict(values)], schema=entry.schema)
        target.write(entry, iter([batch]), 1)

    def key_of(table: str, values: Mapping[str, object]) -> tuple[object, ...]:
        return tuple(values[name] for name in tables[table].key)

    for number, (_, after) in pointers.stages.items():
        at = pointers.times.get(number) if restore_times else now
        values = [("current_stage", after), ("last_updated_time", at or now)]
        target.update(
            tables["model_versions"],
            key_of("model_versions", {**model, "version": number}),
            values,
        )
    if pointers.stages:
        at = pointers.times.get(0) if restore_times else now
        target.update(
            tables["registered_models"],
            key_of("registered_models", model),
            [("last_updated_time", at or now)],
        )
    if pointers.note:
        said = {"key": RECEIPT, "value": json.dumps(pointers.note)}
        put("model_version_tags", {**model, "version": pointers.number, **said})
    if move is not None and move.facts.model_id is not None:
        _list_version(target, move, put)
    for alias, (_, version) in pointers.aliases.items():
        row = {**model, "alias": alias, "version": version}
        if version is None:
            table = tables["registered_model_aliases"]
            target.remove(table.name, table.key, tuple(row[name] for name in table.key))
        else:
            put("registered_model_aliases", row)


def _list_version(target: DatabaseTarget, move: Move, put: _Put) -> None:
    """Add the version to the list that its logged model has, as a server does by itself."""
    model = str(move.facts.model_id)
    rows = [
        row
        for batch in target.read("logged_model_tags", None, Among("model_id", (model,)))
        for row in batch.to_pylist()
    ]
    before = next((row for row in rows if row["tag_key"] == OF_VERSIONS), None)
    listed = listed_versions(before["tag_value"] if before else None, (move,))
    experiment = next(
        row["experiment_id"]
        for batch in target.read("logged_models", None, Among("model_id", (model,)))
        for row in batch.to_pylist()
    )
    value = {"model_id": model, "experiment_id": experiment, "tag_key": OF_VERSIONS}
    put("logged_model_tags", {**value, "tag_value": listed})
