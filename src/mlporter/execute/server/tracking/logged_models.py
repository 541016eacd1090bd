"""Tags, late parameters and the status of logged models."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mlporter.catalogue.source_tags import OF_VERSIONS
from mlporter.execute.server.shared.worker_pool import WorkerPool
from mlporter.execute.server.tracking.version_list_tag import write_tags_of_versions
from mlporter.stores.rest.answers import REFUSED, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.execute.server.shared.context import ServerContext

__all__ = ["finish_logged_models", "write_logged_models"]

_AT_ONCE = 100


def write_logged_models(context: ServerContext) -> None:
    """Set tags, and parameters that were not given when the model was made."""
    _write(context, "logged_model_params", bool)
    _write(context, "logged_model_tags", lambda key: key != OF_VERSIONS)


def _write(context: ServerContext, table: str, wanted: Callable[[str], bool]) -> None:
    key, value = ("param_key", "param_value") if "params" in table else ("tag_key", "tag_value")
    with WorkerPool(context.workers) as pool:
        for model, changed, pairs in _missing(context, table, key, value):
            given = [pair for pair in pairs if wanted(pair[0])]
            if table == "logged_model_params" and model in context.fresh:
                context.wrote(table, len(given))
            elif table == "logged_model_params" and changed:
                detail = "the server has different values, which MLflow does not change"
                context.leave("logged_model", model, "params", "conflict", detail)
                context.skip(table, len(given))
            elif given:
                pool.do(partial(_send, context, table, model, given), model)


def _missing(
    context: ServerContext, table: str, key: str, value: str
) -> Iterator[tuple[str, bool, list[tuple[str, str]]]]:
    for missing in context.missing(table):
        rows = context.carried(missing.rows, "model_id", "logged_models")
        mapped = context.mapped(table, rows)
        models = rows.column("model_id").to_pylist()
        pairs = zip(*(mapped.column(name).to_pylist() for name in (key, value)), strict=True)
        found = zip(models, pairs, strict=True)
        for model, group in groupby(found, key=lambda item: item[0]):
            if model in context.deleted_models:
                continue
            of_it = [pair for _, pair in group]
            for at in range(0, len(of_it), _AT_ONCE):
                yield model, missing.changed, of_it[at : at + _AT_ONCE]


def _send(context: ServerContext, table: str, model: str, pairs: list[tuple[str, str]]) -> None:
    writer, copy = context.writer_of_model(model)
    params = table == "logged_model_params"
    send = writer.log_logged_model_params if params else writer.set_logged_model_tags
    try:
        send(copy, pairs)
        context.wrote(table, len(pairs))
    except REFUSED as error:
        context.leave("logged_model", model, table, reason_of(error), error.message)
        context.fail(table, len(pairs))


def finish_logged_models(context: ServerContext) -> None:
    """Set the status of models, and the tags that name versions, which the server adds to."""
    write_tags_of_versions(context)

    def finish(row: dict[str, Any]) -> None:
        writer, copy = context.writer_of_model(row["model_id"])
        if row["status"] in _FINAL:
            finalize = partial(writer.finalize_logged_model, copy, row["status"])
            if not context.attempt("logged_models", row["model_id"], finalize):
                return
        context.wrote("logged_models")

    with WorkerPool(context.workers) as pool:
        for missing in context.missing("logged_models", leave=frozenset({"lifecycle_stage"})):
            rows = context.carried(missing.rows, "model_id", "logged_models")
            pool.each(
                (row for row in rows.to_pylist() if row["model_id"] not in context.deleted_models),
                finish,
            )


_FINAL = (2, 3)
"""Ready, and failed: a model is made as pending."""
