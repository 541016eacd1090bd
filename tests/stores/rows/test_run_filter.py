"""MLflow's search syntax, taken apart by MLflow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlporter.errors import UsageError
from mlporter.stores.rows.run_filter import Clause, parse_filter


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("", ()),
        ("metrics.rmse < 0.1", (Clause("metrics", "rmse", "<", 0.1),)),
        ("metric.`a b/c` >= 1e3", (Clause("metrics", "a b/c", ">=", 1000.0),)),
        ("params.lr = '0.1'", (Clause("params", "lr", "=", "0.1"),)),
        ('param."l r" like "0%"', (Clause("params", "l r", "LIKE", "0%"),)),
        ("tags.x IS NULL", (Clause("tags", "x", "IS NULL", None),)),
        ("run_id IN ('a', 'b')", (Clause("runs", "run_uuid", "IN", ("a", "b")),)),
        ("run_name = 'n'", (Clause("tags", "mlflow.runName", "=", "n"),)),
        ("Created > 5", (Clause("runs", "start_time", ">", 5),)),
        ("dataset.context = 'train'", (Clause("datasets", "context", "=", "train"),)),
        (
            "attributes.status != 'FAILED' and dataset.name = 'd'",
            (Clause("runs", "status", "!=", "FAILED"), Clause("datasets", "name", "=", "d")),
        ),
    ],
)
def test_a_filter_is_what_mlflow_says_it_is(text, clauses):
    assert parse_filter(text) == clauses


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("metrics.a < 'b'", "Expected numeric value type for metric"),
        ("metrics.a LIKE 1", "Invalid comparator"),
        ("params.a > 'b'", "Invalid comparator"),
        ("nonsense.a = 'b'", "Invalid entity type"),
        ("attributes.colour = 'b'", "Invalid attribute key"),
        ("params.a = 'b' OR params.c = 'd'", "Invalid clause"),
        ("metrics.a IS NULL", "IS NULL"),
        ("run_id IN (1)", ""),
        ("a.b.c", ""),
        ("'", ""),
    ],
)
def test_what_mlflow_refuses_is_refused_in_its_own_words(text, words):
    with pytest.raises(UsageError) as refused:
        parse_filter(text)
    assert words in refused.value.message
    assert refused.value.subject == "filter"


def test_mlflow_is_imported_when_a_filter_is_parsed_and_not_before():
    code = "import mlporter.stores.rows.run_filter, sys; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
