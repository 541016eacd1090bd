"""The options that choose a part, on every verb that has them."""

from __future__ import annotations

import pytest

from mlporter.selection import Selection
from tests.cli.examples import COMPLETE

OPTIONS = (
    "--experiment", "fraud*", "--experiment", "b", "--run", "r1", "--model", "m",
    "--version", "latest", "--version", "@champion", "--since", "1970-01-02", "--until",
    "1970-01-02", "--filter", "metrics.a < 1", "--workspace", "w", "--exclude-deleted",
    "--only", "runs, models", "--no-parents",
)  # fmt: skip
SELECTION = Selection(
    experiments=("fraud*", "b"),
    runs=("r1",),
    models=("m",),
    versions=("latest", "@champion"),
    since=86_400_000,
    until=2 * 86_400_000 - 1,
    filter="metrics.a < 1",
    workspaces=("w",),
    exclude_deleted=True,
    only=("runs", "models"),
    parents=False,
)


@pytest.mark.parametrize(
    ("verb", "function"), [("export", "export"), ("import", "import_"), ("copy", "copy")]
)
def test_options_reach_the_function(mlporter, fake, verb, function):
    calls = fake(function, COMPLETE)

    mlporter(verb, "a", "b", *OPTIONS)
    mlporter(verb, "a", "b")

    assert [options["selection"] for _, options in calls] == [SELECTION, None]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--version", "1"), "add --model NAME"),
        (("--only", "bread"), "there is no kind 'bread'"),
        (("--since", "noon"), "not a date or time"),
        (("--since", "2026-01-02", "--until", "2026-01-01"), "ends before it begins"),
        (("--only", "webhooks", "--run", "a"), "--only leaves them out"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(mlporter, options, said):
    finished = mlporter("export", "sqlite:///nothing.db", "bundle", *options)

    assert finished.code == 2
    assert said in finished.err


def test_a_filter_that_mlflow_refuses_is_wrong_usage(mlporter, rich_sqlite, tmp_path):
    finished = mlporter(
        "export", rich_sqlite.tracking_uri, tmp_path / "b", "--filter", "metrics.a = 'b'"
    )

    assert finished.code == 2
    assert "Expected numeric value type for metric" in finished.err


def test_what_is_not_there_is_refused_by_name(mlporter, rich_sqlite, tmp_path):
    finished = mlporter(
        "export", rich_sqlite.tracking_uri, tmp_path / "b", "--model", "rich-modle", "--run", "x",
        "--json",
    )  # fmt: skip

    assert finished.code == finished.json["error"]["exit_code"] == 4
    assert finished.json["error"]["reasons"] == [
        "registered model 'rich-modle'; did you mean rich-model?",
        "run 'x'",
    ]


def test_diff_compares_a_part(mlporter, rich_sqlite, tmp_path):
    url = rich_sqlite.tracking_uri
    mlporter("export", url, tmp_path / "part", "--experiment", "rich, empty")
    mlporter("export", url, tmp_path / "whole", "--artifacts", "none")

    assert mlporter("diff", tmp_path / "part", url).code == 0
    assert mlporter("diff", tmp_path / "whole", tmp_path / "part").code == 0
    narrow = mlporter("diff", tmp_path / "whole", url, "--only", "webhooks", "--json")
    assert narrow.code == 0
    assert narrow.json["tables"]["runs"]["same"] == 0
    assert narrow.json["ignored"][-1] == "What was not asked for: --only webhooks."
