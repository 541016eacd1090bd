"""Parts of a registry, exported, imported, copied, compared and checked."""

from __future__ import annotations

import shutil

import pytest

import mlporter
from mlporter.bundle.documents.manifest import load_manifest
from mlporter.errors import RefusedError
from tests.plan.references import dangling
from tests.support.databases import execute, rows, sha256
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.rich_models import EXAMPLE_INPUT, MODEL_NAME

PARTS = (
    {"model": [MODEL_NAME], "version": ["@champion"]},
    {"experiment": ["rich: *"], "exclude-deleted": True},
    {"filter": "tags.`mlflow.parentRunId` IS NOT NULL"},
    {"only": ["traces", "gateway"]},
    {"experiment": ["rich (file URI)"], "model": ["*prompt*"]},
)


def part(words):
    return mlporter.Selection.from_words(words)


@pytest.mark.parametrize("words", PARTS, ids=str)
def test_a_part_arrives_and_refers_to_nothing_that_is_not_there(
    rich_sqlite, mlflow_sqlite, mlflow_postgres_url, words, tmp_path
):
    """PostgreSQL refuses a row without what it refers to; of SQLite we ask.

    And a copy of a part is what its bundle holds.
    """
    source, bundle = rich_sqlite.tracking_uri, str(tmp_path / "bundle")
    copy, root = sqlite_url(mlflow_sqlite), str(tmp_path / "root")
    before = sha256(rich_sqlite.database_path)
    exported = mlporter.export(source, bundle, selection=part(words))
    assert mlporter.verify(bundle).exit_code == 0
    imported = mlporter.import_(bundle, mlflow_postgres_url, artifact_root=root)
    copied = mlporter.copy(
        source, copy, selection=part(words), artifact_root=str(tmp_path / "copied")
    )
    assert exported.rows == imported.rows == copied.rows > 0
    assert copied.next_command.endswith(part(words).options())
    for target in (mlflow_postgres_url, copy):
        assert mlporter.diff(bundle, target).identical
        assert set(dangling(target)) <= set(dangling(source))
    assert rows(copy, "PRAGMA foreign_key_check") == []
    assert mlporter.diff(source, copy, selection=part(words)).identical
    assert not mlporter.diff(source, copy).identical
    assert sha256(rich_sqlite.database_path) == before


def test_a_part_of_a_bundle_is_imported(rich_bundle, rich_sqlite, mlflow_sqlite, tmp_path):
    target = sqlite_url(mlflow_sqlite)
    chosen = part({"model": [MODEL_NAME], "version": ["1"]})
    mlporter.import_(
        str(rich_bundle), target, selection=chosen, artifact_root=str(tmp_path / "root")
    )
    assert rows(target, "SELECT name, version FROM model_versions") == [(MODEL_NAME, 1)]
    assert mlporter.diff(rich_sqlite.tracking_uri, target, selection=chosen).identical


def test_a_model_promoted_alone_predicts_the_same(rich_sqlite_private, mlflow_sqlite, tmp_path):
    import mlflow  # noqa: PLC0415 -- seconds

    rich, target = rich_sqlite_private, sqlite_url(mlflow_sqlite)
    with mlflow_at(rich.tracking_uri):
        model = mlflow.pyfunc.load_model(f"models:/{MODEL_NAME}@champion")
        expected = list(model.predict(EXAMPLE_INPUT))
    chosen = part({"model": [MODEL_NAME], "version": ["@champion"]})
    mlporter.copy(rich.tracking_uri, target, selection=chosen, artifact_root=str(tmp_path / "root"))
    shutil.rmtree(rich.artifact_root)
    with mlflow_at(target):
        model = mlflow.pyfunc.load_model(f"models:/{MODEL_NAME}@champion")
        assert list(model.predict(EXAMPLE_INPUT)) == expected
        versions = mlflow.MlflowClient().search_model_versions(f"name = '{MODEL_NAME}'")
        assert len(versions) == 1


# --- What a bundle says ---------------------------------------------------------------------------


def test_the_manifest_records_what_was_asked_for(rich_sqlite, tmp_path):
    words = {"experiment": ["rich: *"], "since": "2001-01-01", "no-parents": True}
    mlporter.export(rich_sqlite.tracking_uri, str(tmp_path / "part"), selection=part(words))
    recorded = load_manifest(tmp_path / "part").selection
    assert recorded == {**words, "since": "2001-01-01T00:00:00.000Z"}
    assert part(recorded) == part(words)
    mlporter.export(rich_sqlite.tracking_uri, str(tmp_path / "whole"), artifacts="none")
    assert load_manifest(tmp_path / "whole").selection is None


def test_a_bundle_of_a_part_is_held_against_that_part_of_its_source(rich_sqlite, tmp_path):
    source, bundle = rich_sqlite.tracking_uri, str(tmp_path / "bundle")
    mlporter.export(source, bundle, selection=part({"experiment": ["rich: *"]}))
    assert mlporter.verify(bundle, against=source).exit_code == 0
    assert mlporter.diff(source, bundle).identical
    assert "--experiment 'rich: *'" in mlporter.diff(source, bundle).ignored[-1]
    run = rich_sqlite.runs.awkward_id
    execute(source, "UPDATE webhooks SET name = 'another'")
    assert mlporter.diff(source, bundle).identical
    execute(source, f"UPDATE params SET value = 'new' WHERE run_uuid = '{run}' AND key = 'plain'")
    report = mlporter.diff(bundle, source)
    assert [d.table for d in report.differences] == ["params"]
    execute(source, "UPDATE experiments SET name = 'renamed' WHERE name LIKE 'rich: %'")
    assert mlporter.diff(bundle, source).tables["runs"].only_left > 0


def test_a_recorded_selection_that_nobody_can_repeat_is_no_error(rich_sqlite, tmp_path):
    bundle = tmp_path / "bundle"
    mlporter.export(
        rich_sqlite.tracking_uri, str(bundle), selection=part({"experiment": ["rich, empty"]})
    )
    path = bundle / "manifest.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("\n  experiment:\n", "\n  planet:\n"), encoding="utf-8")
    assert load_manifest(bundle).selection == {"planet": ["rich, empty"]}
    assert not mlporter.diff(str(bundle), rich_sqlite.tracking_uri).identical


def test_left_out_parents_are_listed_and_expected(rich_sqlite, tmp_path):
    runs = rich_sqlite.runs
    result = mlporter.export(
        rich_sqlite.tracking_uri,
        str(tmp_path / "bundle"),
        selection=mlporter.Selection(runs=(runs.grandchild_id,), parents=False),
    )
    assert result.exit_code == 0
    (left,) = [item for item in result.left_out.first if item.kind == "run"]
    assert left.id == runs.child_ids[0]
    assert result.notes == ("Parent runs that were left out: 1.",)
    listed = mlporter.show(str(tmp_path / "bundle"), "left_out").read_all().to_pylist()
    assert runs.child_ids[0] in {row["id"] for row in listed}


def test_what_is_not_chosen_is_not_missed(rich_sqlite_private, tmp_path):
    """Files of runs outside the selection are neither looked for nor reported."""
    shutil.rmtree(rich_sqlite_private.artifact_root)
    result = mlporter.export(
        rich_sqlite_private.tracking_uri,
        str(tmp_path / "bundle"),
        selection=mlporter.Selection(only=("webhooks", "evaluation-datasets")),
    )
    assert result.left_out.first == tuple(i for i in result.left_out.first if i.kind == "column")
    assert result.files.files == 0


def test_what_an_export_left_out_is_told_of_what_is_chosen(rich_sqlite_private, tmp_path):
    from mlporter.selection import select  # noqa: PLC0415
    from mlporter.stores.opening import open_source  # noqa: PLC0415

    runs = rich_sqlite_private.runs
    shutil.rmtree(rich_sqlite_private.artifact_root)
    mlporter.export(rich_sqlite_private.tracking_uri, str(tmp_path / "bundle"))
    source = open_source(str(tmp_path / "bundle"))
    try:
        part = select(source, mlporter.Selection(runs=(runs.artifacts_id,)))
        found = {(r["kind"], r["id"]) for b in part.read("left_out") for r in b.to_pylist()}
    finally:
        source.close()
    assert {id_ for kind, id_ in found if kind == "run"} == {runs.artifacts_id}


def test_nothing_is_written_where_something_is_not_there(rich_sqlite, tmp_path):
    bundle = tmp_path / "bundle"
    with pytest.raises(RefusedError):
        mlporter.export(
            rich_sqlite.tracking_uri, str(bundle), selection=part({"experiment": ["nothing"]})
        )
    assert not bundle.exists()
