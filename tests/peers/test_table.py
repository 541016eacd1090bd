"""Every row of the table of what other tools lose (PEERS.md) has a test that is there."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HERE = "peers/test_server_to_server.py::"
COPY = "execute/server/test_copy.py::"
RICH = "execute/server/test_rich.py::"
DEPLOYED = "execute/server/test_deployments.py::"

ROWS = {
    # What was measured: the rows of the loss table.
    "versions on a proxied server": (f"{HERE}test_53_the_right_model_of_a_run_loads_and_predicts",),
    "version numbers": (f"{HERE}test_183_a21_a41_numbers_of_versions_and_aliases",),
    "run ids, times, users": (
        f"{HERE}test_72_238_59_times_and_users_are_kept",
        f"{HERE}test_163_mlflow_12780_a_database_keeps_the_ids_of_runs",
    ),
    "nested, after one failure": (f"{HERE}test_134_191_197_no_parent_dangles_after_a_failure",),
    "traces": (f"{HERE}test_traces_arrive_with_their_ids_and_spans",),
    "deleted": (f"{HERE}test_deleted_runs_and_experiments_stay_deleted",),
    "model inputs": (f"{HERE}test_250_model_inputs_arrive_and_so_do_the_runs_after_them",),
    "two logged models": (f"{RICH}test_models_predict_the_same",),
    "second import": (f"{HERE}test_178_205_a_second_import_makes_nothing",),
    "killed": ("execute/server/test_resuming.py::test_killed_and_run_again",),
    # What was asked for, by issue.
    "#250": (f"{HERE}test_250_240_165_42_nothing_is_lost_but_what_is_named",),
    "#240 #165 #42": (f"{COPY}test_a_parameter_that_would_be_cut_is_listed",),
    "#72 #238 #59": (f"{HERE}test_72_238_59_times_and_users_are_kept",),
    "#163": (f"{HERE}test_163_a_copy_names_the_run_that_it_is_of",),
    "#183 A#21": (f"{COPY}test_numbers_of_versions_are_kept_with_gaps",),
    "A#41": (f"{HERE}test_a41_more_than_a_hundred_parameters",),
    "#134 #191 #197": (f"{HERE}test_134_191_197_parents_of_nested_runs",),
    "#178": (f"{DEPLOYED}test_from_server_to_server_and_back",),
    "#32": (f"{HERE}test_32_several_versions_in_production",),
    "A#49": (f"{HERE}test_a49_more_than_a_hundred_models",),
    "A#35 PR#209": ("bench/bench_server.py::",),
    "PR#225": (f"{HERE}test_190_180_pr225_runs_are_chosen_by_id_and_by_time",),
    "#222 #192 #158": (
        "peers/test_access.py::test_222_158_models_behind_a_log_in",
        "peers/test_access.py::test_192_the_file_of_credentials",
        "stores/server/test_deployments.py::test_behind_basic_auth",
    ),
    "#66": ("stores/rest/test_client.py::test_66_token_of_the_environment",),
    "#69 #176 #174": (
        "peers/test_access.py::test_69_176_174_what_one_may_not_write_is_refused_by_name",
    ),
    "#205": (f"{COPY}test_what_is_new_since_then_is_brought_over",),
    "#53 #177": (f"{HERE}test_53_177_no_artifact_is_left_behind",),
    "#73 #71 #173": (
        "peers/test_elsewhere.py::test_73_71_173_files_in_s3_from_server_to_server",
        "verbs/test_artifacts.py::test_runs_logged_straight_to_s3_lose_nothing",
    ),
    "#162": (
        "verbs/test_artifacts.py::test_every_kind_of_recorded_uri_can_be_mapped",
        "verbs/test_artifacts.py::test_a_name_that_windows_would_take_for_another_place_is_named",
        "verbs/test_moved_stores.py::test_unpack_writes_names_that_any_file_system_takes",
    ),
    "#148": (
        "samples/test_bundle_format_1.py::test_it_can_be_imported_and_its_models_predict",
        "bundle/documents/test_manifest.py::",
    ),
    "#248": (
        "execute/database/test_workspaces.py::test_a_second_workspace_arrives_whole_and_apart",
        "stores/server/test_deployments.py::test_all_workspaces",
    ),
    "#190 #180": (f"{DEPLOYED}test_a_part_of_a_registry",),
    "#179": (f"{RICH}test_models_predict_the_same",),
    "PR#198": (f"{HERE}test_pr198_artifacts_can_be_left_where_they_are",),
    "#185 #131 #156": (f"{HERE}test_185_131_156_names_of_unity_catalog",),
    "#241": ("peers/test_elsewhere.py::test_241_azureml_is_refused_by_name",),
    "mlflow #8226 #12108 #21250": (
        "verbs/test_predictions.py::test_no_prediction_changes_in_s3_and_back",
        "verbs/test_moved_stores.py::test_a_moved_store_can_be_copied_and_its_models_load",
    ),
    "mlflow #12780": (f"{HERE}test_163_mlflow_12780_a_database_keeps_the_ids_of_runs",),
}
"""Rows, and what tests them: a file and a function, or a whole file."""


@cache
def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_its_test(row):
    for test in ROWS[row]:
        path, _, name = test.partition("::")
        assert any(found.startswith("test_") for found in functions(path))
        assert not name or name in functions(path)
