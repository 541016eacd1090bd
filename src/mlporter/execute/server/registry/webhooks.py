"""Webhooks: made last of all, so that they are not told of what an import does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mlporter.execute.server.shared.objects import (
    count_included,
    make_one,
    new_objects,
    rows_below,
    source_rows,
)
from mlporter.stores.server.writing.registry import make_webhook

if TYPE_CHECKING:
    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.execute.server.shared.objects import Row

__all__ = ["write_webhooks"]

_EVENTS = "webhook_events"


def write_webhooks(context: ServerContext) -> None:
    """Webhooks without their secrets, which nobody can read; deleted ones are left out."""
    if not context.is_offered("webhooks", "webhooks"):
        return
    deleted = {row["webhook_id"]: row for row in source_rows(context, "webhooks") if _is_gone(row)}
    for row in deleted.values():
        detail = "it is deleted, and a server does not show deleted ones"
        context.leave("webhooks", row["name"], "", "hidden", detail, expected=True)
    made = set()
    for row, mapped in new_objects(context, "webhooks", "webhook_id", "name"):
        if row["webhook_id"] not in deleted and _make(context, row, mapped):
            made.add(row["webhook_id"])
    known = context.ids.of("webhooks")
    count_included(context, _EVENTS, "webhook_id", made, known, hidden=deleted)


def _is_gone(row: Row) -> bool:
    return row["deleted_timestamp"] is not None


def _make(context: ServerContext, row: Row, mapped: Row) -> bool:
    body = {"name": row["name"], "url": row["url"], "status": row["status"]}
    body |= {"description": row["description"]} if row["description"] else {}
    below = rows_below(context, _EVENTS, "webhook_id", row["webhook_id"])
    events = [(event["entity"], event["action"]) for event in below]
    writer = context.writer_of(mapped["workspace"] or "default")
    make = partial(make_webhook, writer, body, events)
    return make_one(context, "webhooks", row["webhook_id"], make, row["name"])
