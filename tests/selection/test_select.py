"""What a selection of the rich registry holds; SQL on the database is the judge."""

from __future__ import annotations

import pytest

from mlporter.errors import RefusedError, UsageError
from mlporter.selection import Selection, select
from mlporter.stores.opening import open_source
from tests.selection.reading import (
    chosen,
    comparable,
    everything_in,
    ids,
    problems,
    rows_in,
)
from tests.support.databases import execute, rows
from tests.support.mlflow_session import sqlite_url
from tests.support.rich_models import MODEL_NAME
from tests.support.rich_registry import copy_database
from tests.support.rich_runs import LONG_AGO

SELECTIONS = (
    {"experiments": ("*",)},
    {"experiments": ("rich: *",)},
    {"experiments": ("rich (file URI)",)},
    {"experiments": ("rich: *",), "exclude_deleted": True},
    {"models": ("*",)},
    {"models": (MODEL_NAME,), "versions": ("latest",)},
    {"models": ("*",), "versions": ("@champion", "Staging")},
    {"models": ("*prompt*",)},
    {"experiments": ("rich, thrown away",), "models": ("Mod*",)},
    {"filter": "metrics.m = 1"},
    {"filter": "tags.`mlflow.parentRunId` IS NOT NULL"},
    {"filter": "tags.`mlflow.parentRunId` IS NOT NULL", "parents": False},
    {"since": LONG_AGO},
    {"until": LONG_AGO + 1},
    {"experiments": ("rich: *",), "since": LONG_AGO, "filter": "metrics.m = 1"},
    {"exclude_deleted": True},
    {"workspaces": ("default",)},
    *({"only": (kind,)} for kind in (
        "experiments", "runs", "logged-models", "traces", "models", "prompts",
        "evaluation-datasets", "webhooks", "gateway", "mcp-servers",
    )),
    {"experiments": ("*",), "only": ("runs",)},
    {"models": ("*",), "only": ("prompts",)},
    {"only": ("gateway", "traces"), "exclude_deleted": True},
)  # fmt: skip


@pytest.fixture(scope="module")
def rich(rich_sqlite_template, tmp_path_factory):
    """The rich registry, for tests that do not change it."""
    return copy_database(rich_sqlite_template, tmp_path_factory.mktemp("selected"))


@pytest.mark.parametrize("words", SELECTIONS, ids=str)
def test_a_part_is_sound(rich, words):
    whole = open_source(rich.tracking_uri)
    try:
        part = select(whole, Selection(**words))
        if words.get("parents", True):
            assert problems(whole, part) == []
        assert any(everything_in(part).values())
        again = select(part, Selection(**words))
        assert comparable(again) == comparable(part), "a part of a part is another one"
    finally:
        whole.close()


@pytest.mark.parametrize("words", SELECTIONS, ids=str)
def test_a_bundle_gives_the_same_part(rich, rich_bundle, words):
    with chosen(rich.tracking_uri, **words) as one, chosen(str(rich_bundle), **words) as other:
        assert comparable(one) == comparable(other)
        reported = []
        files = [[(f.owner_kind, f.owner_id, f.path) for f in s.files(reported.append)]
                 for s in (one, other)]  # fmt: skip
        assert files[0] == files[1]


def test_nothing_asked_for_is_the_source_itself(rich):
    source = open_source(rich.tracking_uri)
    try:
        assert select(source, None) is source
        assert select(source, Selection()) is source
    finally:
        source.close()


# --- Experiments ----------------------------------------------------------------------------------


def test_an_experiment_comes_with_all_that_is_in_it(rich):
    experiment = int(rich.runs.second_experiment_id)
    tables = ("runs", "trace_info", "scorers", "label_schemas", "review_queues", "issues",
              "datasets", "logged_models", "experiment_tags", "online_scoring_configs")  # fmt: skip
    with chosen(rich.tracking_uri, experiments=("rich (file URI)",)) as part:
        for table in tables:
            counted = rows(
                rich.tracking_uri,
                f"SELECT count(*) FROM {table} WHERE experiment_id = {experiment}",
            )[0][0]
            found = [row for row in rows_in(part, table) if row["experiment_id"] == experiment]
            assert len(found) == counted, table
        assert not rows_in(part, "registered_models")
        assert not rows_in(part, "webhooks")


def test_a_name_with_brackets_is_a_name_before_it_is_a_glob(rich_sqlite):
    execute(
        rich_sqlite.tracking_uri,
        "UPDATE experiments SET name = 'a[1]*' WHERE experiment_id = 0",
        "UPDATE experiments SET name = 'a1 too' WHERE experiment_id = 4",
    )
    with chosen(rich_sqlite.tracking_uri, experiments=("a[1]*",)) as part:
        assert ids(part, "experiments", "experiment_id") == {0, 4}
    with chosen(rich_sqlite.tracking_uri, experiments=("a1*",)) as part:
        assert ids(part, "experiments", "experiment_id") == {4}


def test_of_an_experiment_that_something_stands_on_only_itself_comes(rich):
    with chosen(rich.tracking_uri, runs=(rich.runs.awkward_id,)) as part:
        assert ids(part, "experiments", "experiment_id") == {int(rich.runs.experiment_id)}
        assert ids(part, "runs", "run_uuid") == {rich.runs.awkward_id}
        tags = rows(
            rich.tracking_uri,
            f"SELECT key FROM experiment_tags WHERE experiment_id = {rich.runs.experiment_id}",
        )
        assert ids(part, "experiment_tags", "key") == {key for (key,) in tags}
        assert not rows_in(part, "logged_models")


# --- Runs -----------------------------------------------------------------------------------------


def test_a_run_brings_its_parents_up_to_the_first(rich):
    runs = rich.runs
    with chosen(rich.tracking_uri, runs=(runs.grandchild_id,)) as part:
        expected = {runs.grandchild_id, runs.child_ids[0], runs.parent_id}
        assert ids(part, "runs", "run_uuid") == expected


def test_parents_may_be_left_outside_and_are_named(rich):
    runs = rich.runs
    wanted = {"runs": (runs.grandchild_id, runs.orphan_id), "parents": False}
    with chosen(rich.tracking_uri, **wanted) as part:
        assert ids(part, "runs", "run_uuid") == {runs.grandchild_id, runs.orphan_id}
        (left,) = part.left_out
        assert (left.kind, left.id, left.reason) == ("run", runs.child_ids[0], "not-requested")
        assert left.expected
        assert runs.grandchild_id in left.detail
        assert part.notes == ("Parent runs that were left out: 1.",)


def test_a_parent_that_is_nowhere_is_not_asked_for(rich):
    with chosen(rich.tracking_uri, runs=(rich.runs.orphan_id,)) as part:
        assert ids(part, "runs", "run_uuid") == {rich.runs.orphan_id}


def test_a_run_brings_its_datasets_with_their_tags(rich):
    with chosen(rich.tracking_uri, runs=(rich.runs.dataset_run_ids[0],)) as part:
        assert ids(part, "datasets", "name") == {"shared", "lonely ü"}
        assert len(rows_in(part, "inputs")) == 2
        assert ids(part, "input_tags", "value") == {"training", ""}
    with chosen(rich.tracking_uri, runs=(rich.runs.dataset_run_ids[1],)) as part:
        assert ids(part, "datasets", "name") == {"shared"}
        assert ids(part, "input_tags", "value") == {"eval 🦆"}


def test_a_run_brings_the_logged_models_that_it_made(rich):
    with chosen(rich.tracking_uri, runs=(rich.models.run_id,)) as part:
        made = rows(
            rich.tracking_uri,
            f"SELECT model_id FROM logged_models WHERE source_run_id = '{rich.models.run_id}'",
        )
        assert {model for (model,) in made} <= ids(part, "logged_models", "model_id")


def test_traces_of_chosen_runs_come(rich):
    traced = rows(
        rich.tracking_uri,
        "SELECT request_id, value FROM trace_request_metadata WHERE key = 'mlflow.sourceRun'",
    )
    assert traced
    for trace, run in traced:
        with chosen(rich.tracking_uri, runs=(run,)) as part:
            assert trace in ids(part, "trace_info", "request_id")


def test_a_time_window_has_both_of_its_ends(rich):
    last = rows(rich.tracking_uri, "SELECT max(start_time) FROM runs")[0][0]
    with chosen(rich.tracking_uri, since=last) as part:
        assert last in ids(part, "runs", "start_time")
    with chosen(rich.tracking_uri, since=LONG_AGO, until=LONG_AGO) as part:
        old = rows(
            rich.tracking_uri,
            f"SELECT run_uuid FROM runs WHERE start_time = {LONG_AGO}",
        )
        assert ids(part, "runs", "run_uuid") >= {run for (run,) in old}
    assert refusal(rich.tracking_uri, until=LONG_AGO - 1)


def test_a_time_window_has_traces_and_logged_models_of_that_time(rich):
    when = rows(rich.tracking_uri, "SELECT timestamp_ms, request_id FROM trace_info")
    time, trace = when[0]
    with chosen(rich.tracking_uri, since=time, until=time) as part:
        assert trace in ids(part, "trace_info", "request_id")
    when = rows(rich.tracking_uri, "SELECT creation_timestamp_ms, model_id FROM logged_models")
    time, model = when[0]
    with chosen(rich.tracking_uri, since=time, until=time) as part:
        assert model in ids(part, "logged_models", "model_id")


def test_a_filter_applies_within_the_experiments_that_are_named(rich):
    wanted = {"experiments": ("rich (file URI)",), "filter": "metrics.m = 1"}
    with chosen(rich.tracking_uri, **wanted) as part:
        assert ids(part, "runs", "experiment_id") == {int(rich.runs.second_experiment_id)}
        assert not rows_in(part, "scorers")


# --- Registered models ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("1", {1}),
        ("latest", {6}),
        ("LATEST", {6}),
        ("@champion", None),
        ("production", None),
        ("Staging", None),
    ],
)
def test_versions_are_named_as_in_mlflow(rich, version, numbers):
    if numbers is None and version.startswith("@"):
        numbers = {int(rich.models.aliases[version[1:]])}
    elif numbers is None:
        stages = rich.models.stages.items()
        numbers = {int(number) for number, stage in stages if stage.lower() == version}
        numbers |= {int(n) for n, stage in stages if stage == version}
    if version.lower() == "latest":
        numbers = {max(map(int, rich.models.stages))}
    with chosen(rich.tracking_uri, models=(MODEL_NAME,), versions=(version,)) as part:
        found = {r["version"] for r in rows_in(part, "model_versions") if r["name"] == MODEL_NAME}
        assert found == numbers
        aliases = {a for a, number in rich.models.aliases.items() if int(number) in numbers}
        assert ids(part, "registered_model_aliases", "alias") == aliases


def test_a_version_without_a_stage_is_in_none(rich):
    with chosen(rich.tracking_uri, models=("*",), versions=("none",)) as part:
        assert ids(part, "model_versions", "current_stage") == {"None"}
        assert rows_in(part, "registered_models")


def test_a_model_comes_with_its_deleted_versions_unless_they_are_excluded(rich):
    deleted = {int(number) for number in rich.models.deleted_versions}
    with chosen(rich.tracking_uri, models=(MODEL_NAME,)) as part:
        assert deleted <= ids(part, "model_versions", "version")
    with chosen(rich.tracking_uri, models=(MODEL_NAME,), exclude_deleted=True) as part:
        assert not deleted & ids(part, "model_versions", "version")


def test_a_version_brings_the_run_and_the_logged_model_of_its_files(rich):
    with chosen(rich.tracking_uri, models=(MODEL_NAME,)) as part:
        versions = rows_in(part, "model_versions")
        runs, models = ids(part, "runs", "run_uuid"), ids(part, "logged_models", "model_id")
        assert {row["run_id"] for row in versions if "REDACTED" not in row["run_id"]} <= runs
        assert {rich.models.first_model_id, rich.models.second_model_id} <= models
        assert rich.models.legacy_run_id in runs


def test_a_version_that_is_a_copy_brings_what_it_was_copied_from(rich_sqlite):
    url = rich_sqlite.tracking_uri
    execute(
        url,
        "UPDATE model_versions SET source = 'models:/versions without runs/2', run_id = NULL,"
        f" storage_location = NULL WHERE name = '{MODEL_NAME}' AND version = 1",
    )
    with chosen(url, models=(MODEL_NAME,), versions=("1",)) as part:
        found = {(row["name"], row["version"]) for row in rows_in(part, "model_versions")}
        assert found == {(MODEL_NAME, 1), ("versions without runs", 2)}
        owners = {(f.owner_kind, f.owner_id) for f in part.files(lambda _: None)}
        copied = {"default/versions without runs/2", f"default/{MODEL_NAME}/1"}
        assert owners == {("model_version", owner) for owner in copied}


def test_of_several_models_those_without_such_a_version_are_named(rich):
    with chosen(rich.tracking_uri, models=("*",), versions=("@champion",)) as part:
        assert rich.models.empty_name not in ids(part, "registered_models", "name")
        assert any(rich.models.empty_name in note for note in part.notes)


# --- The rest -------------------------------------------------------------------------------------


def test_deleted_things_stay_behind(rich):
    with chosen(rich.tracking_uri, exclude_deleted=True) as part:
        assert ids(part, "experiments", "lifecycle_stage") == {"active"}
        assert ids(part, "runs", "lifecycle_stage") == {"active"}
        assert rich.runs.restored_id not in ids(part, "runs", "run_uuid")
        assert "Deleted_Internal" not in ids(part, "model_versions", "current_stage")
        assert rows_in(part, "webhooks")


def test_a_deleted_thing_that_something_stands_on_comes_and_is_named(rich_sqlite):
    runs = rich_sqlite.runs
    execute(
        rich_sqlite.tracking_uri,
        f"UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = '{runs.parent_id}'",
    )
    with chosen(rich_sqlite.tracking_uri, exclude_deleted=True) as part:
        assert runs.parent_id in ids(part, "runs", "run_uuid")
        assert runs.deleted_id not in ids(part, "runs", "run_uuid")
        assert any(runs.parent_id in note for note in part.notes)


def test_what_only_brings_is_that_and_what_it_stands_on(rich):
    with chosen(rich.tracking_uri, only=("prompts",)) as part:
        assert ids(part, "registered_models", "name") == {"chat-prompt", "rich_prompt"}
        assert not rows_in(part, "experiments")
    with chosen(rich.tracking_uri, only=("models",)) as part:
        names = ids(part, "registered_models", "name")
        assert MODEL_NAME in names
        assert not names & {"chat-prompt", "rich_prompt"}
    with chosen(rich.tracking_uri, only=("gateway",)) as part:
        assert rows_in(part, "endpoints")
        assert rows_in(part, "scorers"), "a guardrail stands on its scorer"
        assert not rows_in(part, "runs")
        assert part.count("secrets") == 1
    with chosen(rich.tracking_uri, only=("webhooks",)) as part:
        assert {n for n, of in everything_in(part).items() if of} == {
            "webhooks", "webhook_events", "workspaces",
        }  # fmt: skip


def test_an_association_comes_with_both_of_its_ends(rich):
    every = rows(rich.tracking_uri, "SELECT count(*) FROM entity_associations")[0][0]
    with chosen(rich.tracking_uri, workspaces=("default",)) as part:
        assert part.count("entity_associations") == every
    with chosen(rich.tracking_uri, only=("evaluation-datasets",)) as part:
        assert part.count("entity_associations") == 0


def test_an_association_with_an_end_of_an_unknown_kind_comes_with_the_other(rich_sqlite):
    run = rich_sqlite.runs.awkward_id
    execute(
        rich_sqlite.tracking_uri,
        "INSERT INTO entity_associations (association_id, source_type, source_id,"
        f" destination_type, destination_id) VALUES ('a1', 'run', '{run}', 'comet', 'x')",
        "INSERT INTO entity_associations (association_id, source_type, source_id,"
        " destination_type, destination_id) VALUES ('a2', 'run', 'gone', 'run', 'gone too')",
        "INSERT INTO entity_associations (association_id, source_type, source_id,"
        f" destination_type, destination_id) VALUES ('a3', 'run', '{run}', 'run', 'gone')",
    )
    with chosen(rich_sqlite.tracking_uri, runs=(run,)) as part:
        assert ids(part, "entity_associations", "association_id") == {"a1", "a3"}


def test_secrets_are_counted_by_what_was_chosen(rich):
    with chosen(rich.tracking_uri, only=("runs",)) as part:
        assert part.count("secrets") == 0
        assert list(part.inside_out.left_out()) == []
    with chosen(rich.tracking_uri, only=("gateway",)) as part:
        assert [item.id for item in part.inside_out.left_out()] == ["model_definitions"]
        with pytest.raises(UsageError):
            next(part.read("secrets"))


# --- Workspaces -----------------------------------------------------------------------------------


def test_a_workspace_is_alone(rich_sqlite_workspaces):
    url = rich_sqlite_workspaces.tracking_uri
    whole = open_source(url)
    try:
        for name in ("default", "team-b"):
            part = select(whole, Selection(workspaces=(name,)))
            assert problems(whole, part) == []
            for table in part.tables:
                if "workspace" in table.by_name and table.kind.value == "kept":
                    assert ids(part, table.name, "workspace") <= {name}, table.name
            assert ids(part, "workspaces", "name") == {name}
            assert rows_in(part, "runs")
            assert rows_in(part, "registered_models")
        part = select(whole, Selection(workspaces=("team-b",), models=(MODEL_NAME,)))
        assert ids(part, "registered_models", "workspace") == {"team-b"}
    finally:
        whole.close()


# --- What is not there ----------------------------------------------------------------------------


def refusal(url, **words):
    with pytest.raises(RefusedError) as refused, chosen(url, **words):
        pass
    assert refused.value.exit_code == 4
    return refused.value.reasons


def test_all_that_is_not_there_is_said_at_once_with_what_may_be_meant(rich):
    near = rich.runs.awkward_id
    reasons = refusal(
        rich.tracking_uri,
        experiments=("Rich, Empty", "*"),
        models=("rich-modle", "x*"),
        runs=(near[:10], "nothing like it", "child 1"),
        workspaces=("defualt",),
    )
    text = "\n".join(reasons)
    assert "experiment 'Rich, Empty'" in text
    assert "registered model 'x*'" in text
    assert "run 'nothing like it'" in text
    assert "workspace 'defualt'; did you mean default?" in reasons


def test_near_names_are_told(rich):
    reasons = refusal(
        rich.tracking_uri,
        experiments=("Rich, Empty",),
        models=("rich-modle",),
        runs=(rich.runs.awkward_id[:10], "child 1"),
    )
    assert "experiment 'Rich, Empty'; did you mean rich, empty" in "\n".join(reasons)
    assert any("did you mean rich-model" in reason for reason in reasons)
    assert any(rich.runs.awkward_id in reason for reason in reasons)
    assert any(rich.runs.child_ids[0] in reason for reason in reasons)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"filter": "metrics.m = 77"}, "a run that matches the filter"),
        ({"since": 9 * 10**15}, "a run that matches the time window"),
        ({"since": 0, "filter": "metrics.m = 77"}, "both the filter and the time window"),
        ({"models": (MODEL_NAME,), "versions": ("99",)}, "version '99'"),
        ({"models": (MODEL_NAME,), "versions": ("@nobody",)}, "there is 1, 3, 4, @challenger"),
        ({"models": (MODEL_NAME,), "versions": ("2",)}, "version '2'"),
    ],
)
def test_what_matches_nothing_is_refused(rich, words, said):
    assert any(said in reason for reason in refusal(rich.tracking_uri, **words))


def test_a_run_outside_what_else_is_asked_for_is_not_there(rich):
    reasons = refusal(
        rich.tracking_uri, runs=(rich.runs.awkward_id,), experiments=("rich (file URI)",)
    )
    assert reasons == (f"run '{rich.runs.awkward_id}' among what else is asked for",)


def test_no_run_is_a_note_where_something_else_is_selected(rich):
    wanted = {"filter": "metrics.m = 77", "models": (MODEL_NAME,)}
    with chosen(rich.tracking_uri, **wanted) as part:
        assert part.notes == ("No run matches the filter.",)


def test_partly_takes_what_there_is(rich):
    source = open_source(rich.tracking_uri)
    try:
        wanted = Selection(experiments=("nothing", "rich, empty"))
        part = select(source, wanted, partly=True)
        assert ids(part, "experiments", "name") == {"rich, empty"}
    finally:
        source.close()


# --- Unknown tables -------------------------------------------------------------------------------


@pytest.fixture
def strange(mlflow_sqlite):
    url = sqlite_url(mlflow_sqlite)
    execute(
        url,
        "CREATE TABLE comets (name TEXT PRIMARY KEY)",
        "INSERT INTO comets VALUES ('Halley')",
        "CREATE TABLE moons (name TEXT PRIMARY KEY, workspace TEXT)",
        "INSERT INTO moons VALUES ('Io', 'default'), ('Moon', 'earth')",
        "INSERT INTO workspaces (name) VALUES ('earth')",
    )
    return url


def test_unknown_tables_come_where_nothing_is_named(strange):
    with chosen(strange, exclude_deleted=True) as part:
        assert part.count("comets") == 1
        assert part.left_out == []


def test_unknown_tables_are_named_where_something_is(strange):
    with chosen(strange, experiments=("Default",)) as part:
        assert not {"comets", "moons"} & {table.name for table in part.tables}
        assert [(item.id, item.reason, item.expected) for item in part.left_out] == [
            ("comets", "not-requested", False),
            ("moons", "not-requested", False),
        ]


def test_of_an_unknown_table_with_workspaces_those_rows_come(strange):
    with chosen(strange, workspaces=("earth",)) as part:
        assert ids(part, "moons", "name") == {"Moon"}
        assert [item.id for item in part.left_out] == ["comets"]
