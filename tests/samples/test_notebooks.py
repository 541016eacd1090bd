"""samples/notebooks: their cells run, one after the other, as a kernel runs them."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pandas as pd

import mlporter

NOTEBOOK = Path(__file__).parents[2] / "samples" / "notebooks" / "tables.ipynb"


def shown_by(notebook):
    """Everything that the cells of a notebook display, in order."""
    shown = []
    names = {"display": shown.append}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, notebook.name, "exec"), names)  # noqa: S102 -- our own sample
        if last is not None:
            value = eval(compile(ast.Expression(last.value), notebook.name, "eval"), names)  # noqa: S307 -- as above
            shown += [] if value is None else [value]
    return shown, names


def test_all_tables_of_a_registry_in_postgresql_are_data_frames(rich_postgres, monkeypatch):
    monkeypatch.setenv("REGISTRY", rich_postgres.tracking_uri)
    shown, names = shown_by(NOTEBOOK)
    assert all(hasattr(one, "_repr_html_") for one in shown)
    with mlporter.open(rich_postgres.tracking_uri) as registry:
        counts = {name: registry.count(name) for name in registry.tables}
    frames = names["tables"]
    assert {name: len(frame) for name, frame in frames.items()} == {
        name: count for name, count in counts.items() if count and name != "secrets"
    }
    assert any(column.startswith("metrics.") for column in names["runs"].columns)
    assert isinstance(shown[-1], mlporter.Inventory)
    assert any(isinstance(one, pd.DataFrame) and "current_stage" in one for one in shown)
