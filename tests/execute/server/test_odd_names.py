"""Names that MLflow takes in one request and refuses in another; runs with gaps; second copies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import mlflow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_tag

import mlporter
from mlporter import Selection
from mlporter.execute.server.shared.allowed_names import is_taken
from mlporter.execute.server.tracking.version_list_tag import joined
from tests.support.databases import execute
from tests.support.mlflow_session import mlflow_at

if TYPE_CHECKING:
    from mlporter.execute.result import Result
    from tests.support.plain_registry import PlainRegistry

ODD = "multi\u00a0space"
"""A name that only the request which makes a run takes."""
NO_FILES: dict[str, Any] = {"artifacts": "none"}
RUN_LIKE = {"metrics": "(run_uuid, key, value, timestamp, step, is_nan)"}


def left(result: Result) -> list[tuple[str, str]]:
    """What is listed, but for what is the rule."""
    return sorted((item.path, item.reason) for item in result.left_out.first if not item.expected)


def counts(result: Result, table: str) -> tuple[int, int, int, int]:
    """Carried, already there, skipped, failed."""
    (found,) = [t for t in result.tables if t.table == table]
    return found.copied, found.already_there, found.skipped, found.failed


def add_tag(source: PlainRegistry, run: str, key: str, value: str = "x") -> None:
    query = f"INSERT INTO tags (run_uuid, key, value) VALUES ('{run}', '{key}', '{value}')"
    execute(source.tracking_uri, query)


def delete(source: PlainRegistry, run: str) -> None:
    query = f"UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = '{run}'"
    execute(source.tracking_uri, query)


def test_tags_that_only_the_making_of_a_run_takes_are_carried(plain_sqlite, server, writes):
    """Of active runs and of deleted ones; and no run is restored for it later."""
    runs, keys = plain_sqlite.run_ids[:2], (ODD, "a//b", "../a", "50%", "a:b", "k" * 251)
    for run in runs:
        for key in keys:
            add_tag(plain_sqlite, run, key)
    delete(plain_sqlite, runs[1])
    result = mlporter.copy(plain_sqlite.tracking_uri, server.address, **NO_FILES)
    assert (result.exit_code, left(result)) == (0, [])
    for run in runs:
        tags = server.copy_of(run).data.tags
        assert {key: tags.get(key) for key in keys} == dict.fromkeys(keys, "x")
    writes.clear()
    again = mlporter.copy(plain_sqlite.tracking_uri, server.address, **NO_FILES)
    assert (again.exit_code, again.rows, writes) == (0, 0, [])


def test_what_is_refused_is_counted_in_its_table_and_is_no_file(copied, server, cli):
    plain_sqlite, run = copied, copied.run_ids[0]
    add_tag(plain_sqlite, run, ODD)  # the run is there: no request takes it any more
    words = {"on_conflict": "update", **NO_FILES}
    plan = mlporter.copy(plain_sqlite.tracking_uri, server.address, dry_run=True, **words)
    result = mlporter.copy(plain_sqlite.tracking_uri, server.address, **words)
    for one in (plan, result):
        assert left(one) == [(f"tags/{ODD}", "refused")]
        assert (counts(one, "tags")[0], counts(one, "tags")[2:]) == (0, (0, 1))
        assert one.exit_code == 3
    shown = cli("copy", plain_sqlite.tracking_uri, server.address, "--on-conflict", "update").err
    (files,) = [line.split() for line in shown.splitlines() if line.startswith("  files")]
    assert files[-1] == "-"


def test_a_deleted_run_to_which_nothing_can_be_added_is_left_alone(plain_sqlite, server, writes):
    """Neither now nor the second time; what can be added still is."""
    run, words = plain_sqlite.run_ids[0], {"on_conflict": "update", **NO_FILES}
    delete(plain_sqlite, run)
    mlporter.copy(plain_sqlite.tracking_uri, server.address, **NO_FILES)
    add_tag(plain_sqlite, run, ODD)
    add_tag(plain_sqlite, run, "long", "x" * 8001)
    for table, columns, values in (
        (
            "params",
            "(run_uuid, key, value)",
            f"('{run}', 'a@b', '1'), ('{run}', 'p', '{7000 * 'x'}')",
        ),
        ("metrics", RUN_LIKE["metrics"], f"('{run}', 'a@b', 1.0, 1, 0, 0)"),
    ):
        execute(plain_sqlite.tracking_uri, f"INSERT INTO {table} {columns} VALUES {values}")
    writes.clear()
    listed = [("metrics/a@b", "refused"), ("params/a@b", "refused"), ("params/p", "too-long"),
              ("tags/long", "too-long"), (f"tags/{ODD}", "refused")]  # fmt: skip
    for _ in range(2):
        result = mlporter.copy(plain_sqlite.tracking_uri, server.address, **words)
        assert left(result) == listed
        assert [line for line in writes if "experiment" not in line] == []
    add_tag(plain_sqlite, run, "fine")
    mlporter.copy(plain_sqlite.tracking_uri, server.address, **words)
    copy = server.copy_of(run)
    assert (copy.data.tags["fine"], copy.info.lifecycle_stage) == ("x", "deleted")


def test_runs_without_name_or_times_are_no_change_each_time(plain_sqlite, server, writes):
    """As old MLflows made them: what a server puts there instead is told, and not sent again."""
    nameless, timeless = plain_sqlite.run_ids[:2]
    for query in (
        f"UPDATE runs SET name = NULL WHERE run_uuid = '{nameless}'",
        f"DELETE FROM tags WHERE key = 'mlflow.runName' AND run_uuid = '{nameless}'",
        f"UPDATE runs SET start_time = NULL, end_time = NULL WHERE run_uuid = '{timeless}'",
    ):
        execute(plain_sqlite.tracking_uri, query)
    for expected in (False, True):
        writes.clear()
        result = mlporter.copy(plain_sqlite.tracking_uri, server.address, **NO_FILES)
        assert (result.exit_code, left(result)) == (0, [])
        told = {item.id for item in result.left_out.first if item.kind == "run"}
        assert told == {nameless, timeless}
        assert (writes == []) is expected


def test_one_tag_that_is_refused_costs_no_model_and_no_version(plain_sqlite, server):
    name = plain_sqlite.model_name
    values = {
        "registered_model_tags (workspace, key, name, value)": f"'default', '{ODD}', '{name}', 'x'",
        "model_version_tags (workspace, key, name, value, version)": (
            f"'default', '{ODD}', '{name}', 'x', 2"
        ),
    }
    for table, row in values.items():
        execute(plain_sqlite.tracking_uri, f"INSERT INTO {table} VALUES ({row})")
    for _ in range(2):
        result = mlporter.copy(plain_sqlite.tracking_uri, server.address, **NO_FILES)
        assert left(result) == [(ODD, "refused")] * 2
        assert counts(result, "registered_model_tags")[3] == 1
        assert counts(result, "model_version_tags")[3] == 1
        assert counts(result, "model_versions")[3] == 0
    versions = server.client().search_model_versions(f"name = '{name}'")
    assert sorted(int(one.version) for one in versions) == [1, 2, 3]
    assert server.client().get_model_version_by_alias(name, "champion").version == "2"


NAMES = st.text(st.sampled_from("ab é/.:@%\u00a0- _\n"), min_size=1, max_size=6)


@given(NAMES | NAMES.map(lambda name: 60 * name))
def test_mlflow_takes_the_same_names(name):
    try:
        _validate_tag(name, "x")
    except MlflowException:
        assert not is_taken(name)
    else:
        assert is_taken(name)


# --- Names inside tags ----------------------------------------------------------------------------


def versions_of(server: Any, model_id: str) -> list[Any]:
    """What the copy of a logged model says of its versions."""
    query = (
        "SELECT t.tag_value FROM logged_model_tags t JOIN logged_model_tags o USING (model_id) "
        "WHERE t.tag_key = 'mlflow.modelVersions' "
        f"AND o.tag_key = 'mlporter.source.model_id' AND o.tag_value = '{model_id}'"
    )
    ((value,),) = server.rows(query)
    return [(one["name"], int(one["version"])) for one in json.loads(value)]


@pytest.fixture
def registered(plain_sqlite) -> tuple[PlainRegistry, str]:
    """A registry in which a logged model was registered, and the model's id."""
    with mlflow_at(plain_sqlite.tracking_uri):
        mlflow.set_experiment(plain_sqlite.experiment_name)
        info = mlflow.pyfunc.log_model(
            name="m",
            python_model=lambda model_input: model_input,
            registered_model_name="clf",
            pip_requirements=[],
        )
    return plain_sqlite, info.model_id


def test_a_model_under_another_name_is_the_same_the_second_time(registered, server, writes):
    source, model_id = registered
    wanted = {"selection": Selection(models=("clf",)), "rename": ["clf=prod.clf"]}
    result = mlporter.copy(source.tracking_uri, server.address, **wanted)
    assert (result.exit_code, left(result)) == (0, [])
    assert versions_of(server, model_id) == [("prod.clf", 1)]
    writes.clear()
    again = mlporter.copy(source.tracking_uri, server.address, **wanted)
    assert (again.exit_code, again.rows, writes) == (0, 0, [])


def test_tags_that_name_models_are_compared_by_the_name_that_these_have_there(
    plain_sqlite, server, writes
):
    run, name = plain_sqlite.run_ids[0], plain_sqlite.model_name
    said = f'[{{"name":"{name}", "version" : "1", "é": "x"}}]'
    add_tag(plain_sqlite, run, "mlflow.linkedPrompts", said)
    for _ in range(2):
        writes.clear()
        words = {"rename": [f"{name}=new é"], **NO_FILES}
        result = mlporter.copy(plain_sqlite.tracking_uri, server.address, **words)
        assert (result.exit_code, left(result)) == (0, [])
    assert writes == []
    found = server.copy_of(run).data.tags["mlflow.linkedPrompts"]
    assert found == said.replace(name, "new é")


def test_versions_that_others_made_of_a_copy_stay_in_its_list(registered, server, writes):
    source, model_id = registered
    part = Selection(models=("clf",))
    mlporter.copy(source.tracking_uri, server.address, selection=part)
    (copy,) = server.rows(
        "SELECT model_id FROM logged_model_tags WHERE tag_key = 'mlporter.source.model_id' "
        f"AND tag_value = '{model_id}'"
    )
    with mlflow_at(server.address):
        mlflow.register_model(f"models:/{copy[0]}", "theirs")
    writes.clear()
    assert mlporter.copy(source.tracking_uri, server.address, selection=part).exit_code == 0
    assert writes == []
    with mlflow_at(source.tracking_uri):
        mlflow.register_model(f"models:/{model_id}", "clf")
    assert mlporter.copy(source.tracking_uri, server.address, selection=part).exit_code == 0
    assert sorted(set(versions_of(server, model_id))) == [("clf", 1), ("clf", 2), ("theirs", 1)]


@pytest.mark.parametrize(
    ("there", "wanted", "whole"),
    [
        ("", '[{"name": "a", "version": 1}]', '[{"name": "a", "version": 1}]'),
        ('[{"version": "1", "name": "a"}]', '[{"name": "a", "version": 1}]', None),
        ('[{"name": "b"}]', '[{"name": "a"}]', '[{"name": "b"}, {"name": "a"}]'),
        ('[{"name": "b"}]', "[]", None),
        ("nonsense", '[{"name": "a"}]', '[{"name": "a"}]'),
        ('[{"name": "b"}]', "nonsense", "nonsense"),
        ("[1]", "[1, 2]", "[1, 2]"),
    ],
)
def test_lists_of_versions_are_joined(there, wanted, whole):
    assert joined(there, wanted) == (there if whole is None else whole)
