from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml

from mlporter.bundle.documents.summary import Reader, experiment_lines, model_lines
from mlporter.bundle.writer import BundleWriter
from mlporter.catalogue import BY_NAME
from tests.bundle.making import FILES, INFO, ROWS, RUN, batch_of, fill, make_bundle


def summaries(path):
    return [
        yaml.safe_load((path / f"{name}.yaml").read_text()) for name in ("experiments", "models")
    ]


def test_experiments_have_names_tags_and_counts(pristine):
    experiments = summaries(pristine)[0]["experiments"]
    assert experiments == [
        {
            "id": 1,
            "name": "Ünïcode, with: colon",
            "workspace": "default",
            "lifecycle_stage": "active",
            "created": "2023-11-14T22:13:20.000Z",
            "runs": 1,
            "deleted_runs": 1,
            "logged_models": 0,
            "deleted_logged_models": 0,
            "traces": 0,
            "tags": {"team": "a\nb"},
        },
        {
            "id": 2,
            "name": "gone",
            "workspace": "default",
            "lifecycle_stage": "deleted",
            "created": None,
            "runs": 0,
            "deleted_runs": 0,
            "logged_models": 0,
            "deleted_logged_models": 0,
            "traces": 0,
            "tags": {},
        },
    ]


def test_models_have_versions_with_stages_and_aliases(pristine):
    (model,) = summaries(pristine)[1]["models"]
    assert (model["name"], model["tags"]) == ("wine", {"owner": "me"})
    assert model["aliases"] == {"champion": 1}
    first, second = model["versions"]
    assert (first["stage"], first["aliases"], first["run_id"]) == ("Production", ["champion"], RUN)
    assert (second["version"], second["stage"]) == (2, "Deleted_Internal")


def test_passwords_in_sources_are_not_shown(pristine):
    assert "hunter2" not in (pristine / "models.yaml").read_text()
    assert "s3://key:***@bucket/wine" in (pristine / "models.yaml").read_text()


def test_a_digest_is_what_sha256sum_says_of_the_files(pristine):
    lines = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {path}\n"
        for (kind, _, path), content in sorted(FILES.items())
        if kind == "model_version"
    )
    first, second = summaries(pristine)[1]["models"][0]["versions"]
    assert first["digest"] == f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    assert second["digest"] is None


def test_a_digest_does_not_depend_on_whose_the_files_are(tmp_path, pristine):
    files = {
        ("run", RUN, path if kind == "run" else f"model/{path}"): content
        for (kind, _, path), content in FILES.items()
    }
    files["run", RUN, "model.txt"] = b"beside, and not in, the model"
    where = SimpleNamespace(owner_kind="run", owner_id=RUN, rest="model")
    with BundleWriter.create(tmp_path / "b") as writer:
        fill(writer, files=files)
        writer.finish(replace(INFO, locations={("default", "wine", 1): where}))
    assert (tmp_path / "b/models.yaml").read_bytes() == (pristine / "models.yaml").read_bytes()


@pytest.mark.parametrize("lines", [experiment_lines, lambda reader: model_lines(reader, {})])
def test_nothing_is_a_list_of_nothing(lines):
    value = yaml.safe_load("".join(lines(Reader({}, lambda *_: iter(())))))
    assert list(value.values()) == [[]]


def test_tables_of_an_old_revision_will_do(tmp_path):
    """Before 3.10 there was no workspace, and before 2.0 no creation time."""
    rows = {"experiments": ROWS["experiments"], "model_versions": ROWS["model_versions"]}
    tables = {
        name: BY_NAME[name].only(frozenset(BY_NAME[name].by_name) - {"workspace", "creation_time"})
        for name in rows
    }
    with BundleWriter.create(tmp_path / "b") as writer:
        for name, table in tables.items():
            batch = batch_of(name, rows[name]).select(table.schema.names)
            writer.write_table(table, [batch])
        writer.finish(INFO)
    assert [e["workspace"] for e in summaries(tmp_path / "b")[0]["experiments"]] == ["default"] * 2


def test_long_texts_are_cut_and_say_so(tmp_path):
    rows = {
        **ROWS,
        "registered_models": [{**ROWS["registered_models"][0], "description": "x" * 5000}],
    }
    (model,) = summaries(make_bundle(tmp_path / "b", rows))[1]["models"]
    assert model["description"] == "x" * 2000 + "… (5,000 characters)"


@pytest.mark.parametrize("time", [2**62, -(2**62)])
def test_times_that_no_calendar_has_are_shown_as_they_are(tmp_path, time):
    rows = {"experiments": [{**ROWS["experiments"][0], "creation_time": time}]}
    (experiment,) = summaries(make_bundle(tmp_path / "b", rows))[0]["experiments"]
    assert experiment["created"] == f"{time} ms"
