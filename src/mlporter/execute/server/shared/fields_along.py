"""Fields of a newer MLflow, which go along with the requests that make what they are of."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from mlporter.plan.ids.mapped_fields import mapped_path
from mlporter.stores.rows.unknown_fields import FieldRows, field_rows
from mlporter.stores.server.writing.element_fields import element_path
from mlporter.stores.server.writing.fields import sendable_name
from mlporter.stores.server.writing.placed_fields import place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.plan.ids.id_map import IdMap
    from mlporter.stores.protocols import Source
    from mlporter.stores.rest.client import Json
    from mlporter.stores.server.source import ServerSource

__all__ = ["FieldsAlong"]


class FieldsAlong(FieldRows):
    """What goes along with the requests that make objects, for servers of a newer MLflow."""

    def __init__(self, source: Source, server: ServerSource) -> None:
        super().__init__()
        if server.can.is_newer:
            self.add(field_rows(source))

    def named(self, table: str, *key: object) -> dict[str, Any]:
        """Fields of a row of the source, by their names in a request."""
        told = self.of(table, json.dumps(key))
        names = ((sendable_name(table, path), value) for path, value in told.items())
        return {name: json.loads(value) for name, value in names if name is not None}

    def inside(self, table: str, *key: object) -> Mapping[tuple[str, str], dict[str, Any]]:
        """Fields of what stands in the lists of a row: by list, and what the element is called."""
        found: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
        for path, value in self.of(table, json.dumps(key)).items():
            where = element_path(table, path)
            if where is not None:
                found[where.list, where.name][where.field] = json.loads(value)
        return found

    def put_into(self, view: Json, table: str, ids: IdMap, *key: object) -> None:
        """Put fields of a row into a request, or what of it is in an answer, at their places."""
        told = self.of(table, json.dumps(key))
        if told:
            fields = {mapped_path(path, ids): json.loads(value) for path, value in told.items()}
            place(view, table, fields)
