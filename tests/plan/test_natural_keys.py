"""What is known again: webhooks, and issues, of which several say the same of themselves."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from mlporter.plan.matching.natural_keys import by_natural_keys, by_natural_keys_anywhere
from mlporter.stores.opening import open_source
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url

if TYPE_CHECKING:
    from pathlib import Path


def with_webhooks(database: Path, webhooks):
    """Webhooks of one name and address: id, description, events."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for id_, description, events in webhooks:
            connection.execute(
                "INSERT INTO webhooks (webhook_id, name, url, status, workspace, description,"
                " creation_timestamp) VALUES (?, 'hook', 'https://x', 'ACTIVE', 'default', ?, 1)",
                (id_, description),
            )
            for event in events:
                connection.execute(
                    "INSERT INTO webhook_events (webhook_id, entity, action) VALUES (?, ?, ?)",
                    (id_, *event.split(".")),
                )


@contextmanager
def opened(database: Path):
    source = open_source(sqlite_url(database))
    try:
        yield source
    finally:
        source.close()


CASES = {
    "by description, against the order of ids": (
        [("a", "one", ["prompt.created"]), ("b", "two", ["prompt.created"])],
        [("1", "two", ["prompt.created"]), ("2", "one", ["prompt.created"])],
        {"a": "2", "b": "1"},
    ),
    "by what they listen to alone": (
        [("a", None, ["prompt.created"]), ("b", "", ["model_version.created", "prompt.created"])],
        [("1", "", ["prompt.created", "model_version.created"]), ("2", None, ["prompt.created"])],
        {"a": "2", "b": "1"},
    ),
    "the first is not there yet": (
        [("a", "one", []), ("b", "two", [])],
        [("1", "two", [])],
        {"b": "1"},
    ),
    "one was changed since": (
        [("a", "one", []), ("b", "two", [])],
        [("1", "other", []), ("2", "one", [])],
        {"a": "2", "b": "1"},
    ),
    "alike in everything": (
        [("a", "", []), ("b", "", []), ("c", "", [])],
        [("1", "", []), ("2", "", [])],
        {"a": "1", "b": "2"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_which_webhook_is_which(mlflow_sqlite_template, tmp_path, name):
    mine, there, expected = CASES[name]
    for side, webhooks in (("left", mine), ("right", there)):
        copy_sqlite(mlflow_sqlite_template, tmp_path / side)
        with_webhooks(tmp_path / side, webhooks)
    with opened(tmp_path / "left") as left, opened(tmp_path / "right") as right:
        assert by_natural_keys_anywhere(left, right, lambda name: name, {})["webhooks"] == expected


def test_issues_of_the_same_words_are_told_apart_by_the_rest(mlflow_sqlite_template, tmp_path):
    sides = {
        "left": (("a", "open"), ("b", "resolved")),
        "right": (("1", "resolved"), ("2", "open")),
    }
    for side, issues in sides.items():
        copy_sqlite(mlflow_sqlite_template, tmp_path / side)
        with closing(sqlite3.connect(tmp_path / side)) as connection, connection:
            connection.executemany(
                "INSERT INTO issues (issue_id, experiment_id, name, description, status,"
                " created_timestamp, last_updated_timestamp) VALUES (?, 0, 'slow', '', ?, 1, 1)",
                issues,
            )
    with opened(tmp_path / "left") as left, opened(tmp_path / "right") as right:
        assert by_natural_keys(left, right, lambda id_: id_)["issues"] == {"a": "2", "b": "1"}
