"""MLflow's search syntax for runs, parsed by MLflow itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlporter.errors import UsageError
from mlporter.stores.needing_mlflow import needing_mlflow

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Clause", "parse_filter"]

_COLUMNS = {"run_id": "run_uuid"}
_KINDS = {"metric": "metrics", "parameter": "params", "tag": "tags", "dataset": "datasets"}
_RUN_NAME = "mlflow.runName"


@dataclass(frozen=True)
class Clause:
    """One comparison of a filter; they are all joined by AND.

    Attributes:
        table: ``runs``, ``metrics`` (the latest points), ``params``, ``tags`` or ``datasets``.
        key: The name of the metric, parameter or tag; else the column, of a dataset also
            ``context``.
        comparator: In upper case; ``IS NULL`` is whether there is no such parameter or tag.
        value: A number, a text, or several texts (``IN``); None where nothing is compared.
    """

    table: str
    key: str
    comparator: str
    value: float | str | tuple[str, ...] | None


def parse_filter(text: str) -> tuple[Clause, ...]:
    """The comparisons of a filter such as ``metrics.rmse < 0.1 AND params.lr = '0.01'``.

    Raises:
        UsageError: MLflow does not take it, and says why.
        NeedsMlflowError: MLflow is not installed.
    """
    # MLflow takes seconds to import, and a bundle is read without it unless it is searched.
    with needing_mlflow("a filter", "filter"):
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
        from mlflow.utils.search_utils import SearchUtils  # noqa: PLC0415

    try:
        parsed = SearchUtils.parse_search_filter(text)
        return tuple(_clause(SearchUtils, found) for found in parsed)
    except MlflowException as error:
        words = str(error.message)
    # What its parser stumbles over rather than refuses: `params.a IN (b)`, say.
    except (AttributeError, IndexError, SyntaxError, TypeError, ValueError) as error:
        words = f"it cannot be parsed: {error}"
    raise UsageError(words, subject="filter", hint="see MLflow's documentation on searching runs")


def _clause(utils: Any, found: dict[str, Any]) -> Clause:  # noqa: ANN401 -- MLflow has no types
    kind, comparator = found["type"], str(found["comparator"]).upper()
    key, value = utils.translate_key_alias(found["key"]), found["value"]
    # These refuse a comparator that MLflow does not know for that kind.
    if utils.is_attribute(kind, key, comparator):
        return _attribute(key, comparator, value)
    checks: tuple[Callable[[str, str], bool], ...]
    checks = (utils.is_metric, utils.is_param, utils.is_tag, utils.is_dataset)
    if not any(check(kind, comparator) for check in checks):
        raise ValueError(f"nothing is called {kind}")
    return Clause(_KINDS[kind], key, comparator, float(value) if kind == "metric" else value)


def _attribute(key: str, comparator: str, value: Any) -> Clause:  # noqa: ANN401 -- as it was parsed
    if key == "run_name":
        return Clause("tags", _RUN_NAME, comparator, value)
    return Clause("runs", _COLUMNS.get(key, key), comparator, value)
