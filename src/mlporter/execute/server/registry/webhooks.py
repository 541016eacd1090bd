"""Webhooks: made last of all, so that they are not told of what an import does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mlporter.execute.server.objects import (
    count_included,
    make_one,
    new_objects,
    rows_below,
    source_rows,
)
from mlporter.stores.server.writing.mcp import make_webhook

if TYPE_CHECKING:
    from mlporter.execute.server.context import Carry
    from mlporter.execute.server.objects import Row

__all__ = ["write_webhooks"]

_EVENTS = "webhook_events"


def write_webhooks(carry: Carry) -> None:
    """Webhooks without their secrets, which nobody can read; deleted ones are left out."""
    if not carry.is_offered("webhooks", "webhooks"):
        return
    deleted = {row["webhook_id"]: row for row in source_rows(carry, "webhooks") if _is_gone(row)}
    for row in deleted.values():
        detail = "it is deleted, and a server does not show deleted ones"
        carry.leave("webhooks", row["name"], "", "hidden", detail, expected=True)
    made = set()
    for row, mapped in new_objects(carry, "webhooks", "webhook_id", "name"):
        if row["webhook_id"] not in deleted and _make(carry, row, mapped):
            made.add(row["webhook_id"])
    known = carry.ids.of("webhooks")
    count_included(carry, _EVENTS, "webhook_id", made, known, hidden=deleted)


def _is_gone(row: Row) -> bool:
    return row["deleted_timestamp"] is not None


def _make(carry: Carry, row: Row, mapped: Row) -> bool:
    body = {"name": row["name"], "url": row["url"], "status": row["status"]}
    body |= {"description": row["description"]} if row["description"] else {}
    below = rows_below(carry, _EVENTS, "webhook_id", row["webhook_id"])
    events = [(event["entity"], event["action"]) for event in below]
    writer = carry.writer_of(mapped["workspace"] or "default")
    make = partial(make_webhook, writer, body, events)
    return make_one(carry, "webhooks", row["webhook_id"], make, row["name"])
