"""A version under another name in the same registry: the same run and the same files.

As MLflow's own `copy_model_version` does; nothing but the registered model is written.
"""

from __future__ import annotations

from contextlib import closing
from time import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.stores.addresses.address import AddressKind

if TYPE_CHECKING:
    from mlporter.promotion.promoted_source import Move
    from mlporter.promotion.target.target_model import TargetModel
    from mlporter.stores.addresses.address import Address

__all__ = ["copy_in_place"]


def copy_in_place(
    place: Address, revision: str, move: Move, there: TargetModel, retry_time: float
) -> int:
    """Make the version; its number.

    Args:
        place: The registry.
        revision: The schema revision of its database.
        move: The version.
        there: What the registry has under the new name.
        retry_time: Seconds after which a server that keeps failing is given up.
    """
    if move.number in there.live:
        return move.number
    if place.kind is AddressKind.SERVER:
        return _on_server(place, move, there, retry_time)
    from mlporter.stores.database.target import open_database_target  # noqa: PLC0415 -- drivers

    target = open_database_target(place, revision)
    try:
        tables = {table.name: table for table in target.tables}
        now = int(time() * 1000)

        def write(table: str, row: dict[str, Any]) -> None:
            entry = tables[table]
            known = {name: value for name, value in row.items() if name in entry.by_name}
            target.write(entry, iter([pa.RecordBatch.from_pylist([known], schema=entry.schema)]), 1)

        key = {"workspace": move.key[0], "name": move.name}
        if there.row is None:
            write("registered_models", {**key, "creation_time": now, "last_updated_time": now})
        row = dict(move.facts.row)
        said = row["description"] if move.description is None else move.description
        row |= {**key, "version": move.number, "description": said, "current_stage": "None"}
        write("model_versions", {**row, "creation_time": now, "last_updated_time": now})
        for name, value in {**move.facts.tags, **move.tags}.items():
            tag = {**key, "version": move.number, "key": name, "value": value}
            write("model_version_tags", tag)
    except BaseException:
        target.rollback()
        raise
    target.commit()
    return move.number


def _on_server(place: Address, move: Move, there: TargetModel, retry_time: float) -> int:
    # MLflow takes seconds to import, which a server's credentials need.
    from mlporter.stores.server.source import ServerSource  # noqa: PLC0415
    from mlporter.stores.server.writing.sending import tag_list  # noqa: PLC0415
    from mlporter.stores.server.writing.writer import Writer  # noqa: PLC0415

    facts = move.facts
    with closing(ServerSource(place, retry_time=retry_time)) as server:
        writer = Writer(server.client_in(move.key[0]))
        if there.row is None:
            writer.create_registered_model(move.name, None, {})
        said = facts.row["description"] if move.description is None else move.description
        body = {
            "name": move.name,
            "source": f"models:/{facts.key[1]}/{facts.key[2]}",
            "description": said or "",
            "run_link": facts.row["run_link"] or "",
            "tags": tag_list({**facts.tags, **move.tags}),
        }
        body |= {"run_id": facts.run_id} if facts.run_id else {}
        # The logged model is the referenced version's, and is not to be named beside it.
        return writer.create_model_version(body, expected=move.number)
