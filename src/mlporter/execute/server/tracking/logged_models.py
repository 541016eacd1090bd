"""Tags, late parameters and the status of logged models."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mlporter.catalogue.source_tags import OF_VERSIONS
from mlporter.execute.server.tracking.version_list_tag import write_tags_of_versions
from mlporter.execute.server.worker_pool import Crew
from mlporter.stores.rest.answers import REFUSED, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.execute.server.context import Carry

__all__ = ["finish_logged_models", "write_logged_models"]

_AT_ONCE = 100


def write_logged_models(carry: Carry) -> None:
    """Set tags, and parameters that were not given when the model was made."""
    _write(carry, "logged_model_params", bool)
    _write(carry, "logged_model_tags", lambda key: key != OF_VERSIONS)


def _write(carry: Carry, table: str, wanted: Callable[[str], bool]) -> None:
    key, value = ("param_key", "param_value") if "params" in table else ("tag_key", "tag_value")
    with Crew(carry.workers) as crew:
        for model, changed, pairs in _missing(carry, table, key, value):
            given = [pair for pair in pairs if wanted(pair[0])]
            if table == "logged_model_params" and model in carry.fresh:
                carry.wrote(table, len(given))
            elif table == "logged_model_params" and changed:
                detail = "the server has other values, which MLflow does not change"
                carry.leave("logged_model", model, "params", "conflict", detail)
                carry.skip(table, len(given))
            elif given:
                crew.do(partial(_send, carry, table, model, given), model)


def _missing(
    carry: Carry, table: str, key: str, value: str
) -> Iterator[tuple[str, bool, list[tuple[str, str]]]]:
    for missing in carry.missing(table):
        rows = carry.carried(missing.rows, "model_id", "logged_models")
        mapped = carry.mapped(table, rows)
        models = rows.column("model_id").to_pylist()
        pairs = zip(*(mapped.column(name).to_pylist() for name in (key, value)), strict=True)
        found = zip(models, pairs, strict=True)
        for model, group in groupby(found, key=lambda item: item[0]):
            if model in carry.gone:
                continue
            of_it = [pair for _, pair in group]
            for at in range(0, len(of_it), _AT_ONCE):
                yield model, missing.changed, of_it[at : at + _AT_ONCE]


def _send(carry: Carry, table: str, model: str, pairs: list[tuple[str, str]]) -> None:
    writer, copy = carry.writer_of_model(model)
    params = table == "logged_model_params"
    send = writer.log_logged_model_params if params else writer.set_logged_model_tags
    try:
        send(copy, pairs)
        carry.wrote(table, len(pairs))
    except REFUSED as error:
        carry.leave("logged_model", model, table, reason_of(error), error.message)
        carry.fail(table, len(pairs))


def finish_logged_models(carry: Carry) -> None:
    """Set the status of models, and the tags that tell of versions, which the server adds to."""
    write_tags_of_versions(carry)

    def finish(row: dict[str, Any]) -> None:
        writer, copy = carry.writer_of_model(row["model_id"])
        if row["status"] in _FINAL:
            finalize = partial(writer.finalize_logged_model, copy, row["status"])
            if not carry.attempt("logged_models", row["model_id"], finalize):
                return
        carry.wrote("logged_models")

    with Crew(carry.workers) as crew:
        for missing in carry.missing("logged_models", leave=frozenset({"lifecycle_stage"})):
            rows = carry.carried(missing.rows, "model_id", "logged_models")
            crew.each(
                (row for row in rows.to_pylist() if row["model_id"] not in carry.gone), finish
            )


_FINAL = (2, 3)
"""Ready, and failed: a model is made as pending."""
