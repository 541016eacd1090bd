"""Databases of older MLflows: read as they are, never changed, and equal to their upgraded copies.

MLflow itself is the judge: `mlflow db upgrade` on a copy. Opening such a database through MLflow
migrates it without asking (MLFLOW_FACTS).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import mlporter
from mlporter.bundle.documents.manifest import load_manifest
from mlporter.cli.app import run
from mlporter.errors import RevisionError
from tests.support.databases import execute, rows, tree
from tests.support.engines import build_once
from tests.support.here import NEWEST
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.old_databases import OLD, copy_old
from tests.support.old_schemas import contents, upgrade

REVISIONS = {
    "1.30.1": "97727af70f4d",
    "2.9.2": "acf3f17fdcc7",
    "2.22.1": "0584bdc529eb",
    "3.1.4": "bda7b8c39065",
    "3.10.1": "1b5f0d9ad7c1",
}


@pytest.fixture(params=REVISIONS)
def version(request):
    """One of them; a test that is slow takes two."""
    return request.param


@pytest.fixture
def old(version, tmp_path):
    """A database that an older MLflow wrote."""
    return copy_old(version, tmp_path / "old")


@pytest.fixture
def upgraded(version, shared_folder, tmp_path):
    """A copy that MLflow upgraded."""
    build = lambda folder: upgrade(sqlite_url(copy_old(version, folder)))  # noqa: E731
    made = build_once(shared_folder / f"upgraded-{version}", build)
    (tmp_path / "upgraded").mkdir()
    return Path(shutil.copy(made / "mlflow.db", tmp_path / "upgraded"))


def test_every_old_database_is_tested():
    assert set(OLD) == set(REVISIONS)
    for version, path in OLD.items():
        url = sqlite_url(path)
        assert rows(url, "SELECT version_num FROM alembic_version") == [(REVISIONS[version],)]


def parts(bundle):
    """The sum of every part: of equal tables they are equal, byte for byte."""
    entries = load_manifest(bundle).tables
    return {name: [part.sha256 for part in entry.parts] for name, entry in entries.items()}


def test_its_export_is_that_of_its_upgraded_copy(old, upgraded, tmp_path):
    direct, after = tmp_path / "direct", tmp_path / "after"
    for path, bundle in ((old, direct), (upgraded, after)):
        result = mlporter.export(sqlite_url(path), str(bundle), artifacts="none")
        assert (result.exit_code, result.left_out.unexpected) == (0, 0)
    assert parts(direct) == parts(after)
    assert load_manifest(direct).schema_revision == NEWEST
    assert mlporter.verify(str(direct), against=sqlite_url(upgraded)).exit_code == 0
    report = mlporter.diff(sqlite_url(old), sqlite_url(upgraded), strict=True, artifacts="none")
    assert report.identical


def test_its_export_holds_what_the_upgraded_tables_hold(old, upgraded, tmp_path):
    """Without any of our code on the upgraded side."""
    mlporter.export(sqlite_url(old), str(tmp_path / "bundle"), artifacts="none")
    with mlporter.open(str(tmp_path / "bundle")) as registry:
        for name in sorted(set(registry.tables) - {"artifacts", "left_out"}):
            table = registry.read(name).read_all()
            expected = contents(upgraded, name, tuple(table.column_names))
            found = sorted(zip(*table.to_pydict().values(), strict=True), key=repr)
            assert [*map(plain, found)] == [*map(plain, expected)], name


def plain(row):
    return tuple(int(value) if isinstance(value, bool) else value for value in row)


@pytest.mark.parametrize("version", ["1.30.1", "3.10.1"], indirect=True)
def test_the_bundle_names_the_revision_that_it_was_read_from(version, old, tmp_path):
    mlporter.export(sqlite_url(old), str(tmp_path / "bundle"), artifacts="none")
    assert load_manifest(tmp_path / "bundle").source.schema_revision == REVISIONS[version]
    found = mlporter.inspect(str(tmp_path / "bundle"))
    assert (found.revision, found.stored_revision) == (NEWEST, REVISIONS[version])


COMMANDS = {
    "export": ("export", "{old}", "{new}", "--artifacts", "none"),
    "inspect": ("inspect", "{old}"),
    "show": ("show", "{old}", "model_versions", "--format", "csv"),
    "doctor": ("doctor", "{old}"),
    "diff": ("diff", "{old}", "{old}", "--artifacts", "none"),
    "copy": ("copy", "{old}", "sqlite:///{new}.db", "--artifacts", "reference"),
    "dry run": ("copy", "{old}", "sqlite:///{new}.db", "--artifacts", "none", "--dry-run"),
}


@pytest.mark.parametrize("version", ["1.30.1", "3.10.1"], indirect=True)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_changes_it(command, old, tmp_path):
    before = tree(old.parent)
    words = [word.format(old=sqlite_url(old), new=tmp_path / "new") for word in COMMANDS[command]]
    assert run(words) == 0
    assert tree(old.parent) == before


@pytest.mark.parametrize("version", ["1.30.1", "3.10.1"], indirect=True)
def test_inspect_says_what_it_is(version, old, capsys):
    assert run(["inspect", sqlite_url(old)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"revision {REVISIONS[version]} (while it is read; nothing is changed)" in shown
    assert run(["doctor", sqlite_url(old)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"revision {REVISIONS[version]}, 5 runs" in shown


@pytest.mark.parametrize(
    ("version", "target_url"),
    [("1.30.1", "postgresql"), ("2.22.1", "sqlite"), ("3.10.1", "postgresql")],
    indirect=True,
)
def test_it_is_copied_into_a_database_of_today(old, upgraded, target_url):
    """MLflow reads the same from the copy as from the upgraded database."""
    result = mlporter.copy(sqlite_url(old), target_url, artifacts="reference")
    assert result.exit_code == 0
    assert mlporter.diff(sqlite_url(upgraded), target_url, artifacts="none").identical
    assert seen_by_mlflow(target_url) == seen_by_mlflow(sqlite_url(upgraded))


def sorted_trace(trace):
    """A trace's assessments come in no certain order."""
    found = trace.info.to_dict()
    found["assessments"] = sorted(map(repr, found.get("assessments", ())))
    return found


def seen_by_mlflow(url):
    """Runs with all they have, models, and traces, as MLflow's client gives them."""
    from mlflow import MlflowClient  # noqa: PLC0415 -- seconds
    from mlflow.entities import ViewType  # noqa: PLC0415

    with mlflow_at(url):
        client = MlflowClient()
        numbers = [e.experiment_id for e in client.search_experiments(view_type=ViewType.ALL)]
        runs = client.search_runs(numbers, run_view_type=ViewType.ALL, order_by=["start_time"])
        models = client.search_registered_models()
        traces = client.search_traces(experiment_ids=sorted(numbers), include_spans=False)
        return repr(
            (
                sorted(numbers),
                [json.dumps(run.to_dictionary(), sort_keys=True) for run in runs],
                [(m.name, sorted(map(repr, m.latest_versions)), m.aliases, m.tags) for m in models],
                sorted(json.dumps(sorted_trace(trace), sort_keys=True) for trace in traces),
            )
        )


@pytest.mark.parametrize("version", ["1.30.1", "3.10.1"], indirect=True)
def test_a_part_of_it_can_be_chosen(version, old, upgraded, tmp_path):
    for path, name in ((old, "direct"), (upgraded, "after")):
        words = ["--model", "forest", "--artifacts", "none", "-q"]
        assert run(["export", sqlite_url(path), str(tmp_path / name), *words]) == 0, version
    assert parts(tmp_path / "direct") == parts(tmp_path / "after")


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.30.1", "3.10.1"], indirect=True)
def test_as_a_target_it_is_refused_with_the_command_that_upgrades_it(old, plain_sqlite):
    before = tree(old.parent)
    for dry_run in (False, True):
        with pytest.raises(RevisionError) as caught:
            mlporter.copy(
                plain_sqlite.tracking_uri, sqlite_url(old), artifacts="none", dry_run=dry_run
            )
        assert f"mlflow db upgrade {sqlite_url(old)}" in caught.value.hint
    assert tree(old.parent) == before


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("ALTER TABLE tags RENAME TO labels", "no table tags"),
        ("ALTER TABLE runs DROP COLUMN user_id", "no column runs.user_id"),
    ],
)
def test_a_schema_that_lacks_what_its_revision_has_is_refused(sql, words, tmp_path):
    path = copy_old("2.9.2", tmp_path)
    execute(sqlite_url(path), sql)
    with pytest.raises(mlporter.MlporterError, match="lacks what revision") as caught:
        mlporter.export(sqlite_url(path), str(tmp_path / "bundle"))
    assert words in str(caught.value.reasons)


# --- What the newest schema has no room for -------------------------------------------------------


def test_what_the_newest_schema_has_no_room_for_is_listed(tmp_path):
    path = copy_old("3.10.1", tmp_path / "old")
    usage = '{"input_tokens": 1, "reasoning_tokens": 7}'
    execute(
        sqlite_url(path),
        f"UPDATE trace_request_metadata SET value = '{usage}'"
        " WHERE key = 'mlflow.trace.tokenUsage' AND request_id LIKE '%1'",
        "UPDATE trace_request_metadata SET value = printf('%.*c', 300, 's')"
        " WHERE key = 'mlflow.trace.session' AND request_id LIKE '%2'",
        "UPDATE spans SET dimension_attributes = '{\"colour\": 1}' WHERE trace_id LIKE '%0'"
        " AND parent_span_id IS NULL",
    )
    result = mlporter.export(sqlite_url(path), str(tmp_path / "bundle"), artifacts="none")
    assert result.exit_code == 3
    found = [(i.kind, i.reason) for i in result.left_out.first if not i.expected]
    assert sorted(found) == [
        ("span", "no-column"),
        ("trace", "no-column"),
        ("trace", "too-long"),
    ]
    details = " ".join(item.detail for item in result.left_out.first)
    assert "reasoning_tokens" in details
    assert "colour" in details


def test_rows_that_mlflows_upgrade_stumbles_over_are_read(tmp_path):
    """Spans and assessments of a trace that is gone: its upgrade refuses the whole database."""
    path = copy_old("3.10.1", tmp_path / "old")
    execute(sqlite_url(path), "DELETE FROM trace_info WHERE request_id LIKE '%1'")
    result = mlporter.export(sqlite_url(path), str(tmp_path / "bundle"), artifacts="none")
    assert {t.table: t.copied for t in result.tables}["spans"] == 8
    with mlporter.open(str(tmp_path / "bundle")) as registry:
        lost = registry.to_pandas("assessments").query("trace_id.str.endswith('1')")
    assert lost["experiment_id"].isna().all()
    assert len(lost) == 5
