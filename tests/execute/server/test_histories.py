"""After whatever people did to both sides: what the dry run says is what happens."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.support.databases import dump
from tests.support.examples import examples
from tests.support.mlflow_session import sqlite_url
from tests.verbs.histories import follow, histories, outcome, registry, wishes_of_people

_COUNT = itertools.count()


@pytest.mark.timeout(3600)
@settings(
    max_examples=examples(2),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # minutes are a lot for a smaller example
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(first=histories, here=histories, there=histories, wishes=wishes_of_people)
def test_into_a_server(  # noqa: PLR0917 -- fixtures and what is made up
    mlflow_sqlite_template, tmp_path, server, first, here, there, wishes
):
    folder = tmp_path / str(next(_COUNT))
    folder.mkdir()
    server.reset()
    source = registry(mlflow_sqlite_template, folder, first)

    def state():
        return dump(sqlite_url(server.database))

    if outcome(source, server.address, state) is None:
        return
    again = follow(source, server.address, state, here, there, **wishes)
    assert again is None or again.rows == 0
