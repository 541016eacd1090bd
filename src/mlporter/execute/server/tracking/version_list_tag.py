"""The tag of a logged model that lists the versions made of it. A server adds to it by itself."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue.source_tags import OF_VERSIONS
from mlporter.execute.server.shared.worker_pool import WorkerPool
from mlporter.stores.protocols import Among
from mlporter.stores.rest.answers import REFUSED, reason_of

if TYPE_CHECKING:
    from typing import Any

    from mlporter.execute.server.shared.context import ServerContext

__all__ = ["joined", "write_tags_of_versions"]

_TABLE = "logged_model_tags"
_COLUMNS = ("model_id", "tag_key", "tag_value")


def write_tags_of_versions(context: ServerContext) -> None:
    """Bring the entries that the server's lists lack; those that others made there stay."""
    with WorkerPool(context.workers) as pool:
        for missing in context.missing(_TABLE, count=False):
            rows = context.carried(missing.rows, "model_id", "logged_models")
            mapped = context.mapped(_TABLE, rows)
            models = rows.column("model_id").to_pylist()
            pairs = zip(*(mapped.column(name).to_pylist() for name in _COLUMNS[1:]), strict=True)
            wanted = {
                model: value or ""
                for model, (key, value) in zip(models, pairs, strict=True)
                if key == OF_VERSIONS and model not in context.deleted_models
            }
            before = _before(context, wanted) if missing.changed else {}
            for model, value in wanted.items():
                if model in before and joined(before[model], value) == before[model]:
                    context.tallies[_TABLE].there += 1
                else:
                    pool.do(partial(_write, context, model, value), model)


def _before(context: ServerContext, models: dict[str, str]) -> dict[str, str]:
    """The lists that the server had at the start, by the source's ids of models."""
    copies = {context.ids.of("logged_models")[model]: model for model in models}
    among = Among("model_id", tuple(sorted(copies)))
    return {
        copies[model]: value or ""
        for batch in context.server.read(_TABLE, _COLUMNS, among)
        for model, key, value in python_rows(batch)
        if key == OF_VERSIONS
    }


def _write(context: ServerContext, model: str, value: str) -> None:
    writer, copy = context.writer_of_model(model)
    try:
        there = writer.logged_model_tags(copy).get(OF_VERSIONS, "")
        whole = joined(there, value)
        if whole != there:
            writer.set_logged_model_tags(copy, [(OF_VERSIONS, whole)])
        context.wrote(_TABLE)
    except REFUSED as error:
        context.leave("logged_model", model, OF_VERSIONS, reason_of(error), error.message)
        context.fail(_TABLE)


def joined(there: str, wanted: str) -> str:
    """A list with the entries of another one that it lacks; itself if it lacks none."""
    mine, others = _entries(wanted), _entries(there)
    if mine is None or others is None:
        return wanted
    known = {_said(one) for one in others}
    new = [one for one in mine if _said(one) not in known]
    return json.dumps([*others, *new]) if new else there


def _entries(text: str) -> list[Any] | None:
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return None
    return found if isinstance(found, list) else None


def _said(entry: Any) -> str:  # noqa: ANN401 -- any JSON
    """What an entry says: servers give numbers of versions as text and as numbers."""
    if isinstance(entry, dict):
        return json.dumps([[key, str(value)] for key, value in sorted(entry.items())])
    return json.dumps(entry)
