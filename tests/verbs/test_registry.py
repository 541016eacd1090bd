"""Looking at a place from Python: `open`, `show`, `inspect`, `unpack`, `doctor`."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import mlporter
from mlporter.errors import ExitCode, RefusedError, UsageError
from mlporter.progress import PHASES
from tests.support.databases import rows, tree
from tests.support.rich_models import EXAMPLE_INPUT, VERSION_FACTORS
from tests.support.rich_runs import SPECIAL_METRICS


@pytest.fixture(params=["bundle", "sqlite", "postgresql"])
def place(request, rich_sqlite_template):
    """The rich registry as each kind of place."""
    if request.param == "bundle":
        return str(request.getfixturevalue("rich_bundle"))
    if request.param == "sqlite":
        return rich_sqlite_template.tracking_uri
    return request.getfixturevalue("rich_postgres").tracking_uri


# --- open and show --------------------------------------------------------------------------------


def test_every_table_of_every_place_can_be_read(place):
    with mlporter.open(place) as registry:
        assert len(registry.tables) >= 57
        for name in set(registry.tables) - {"secrets"}:
            table = registry.read(name).read_all()
            assert table.num_rows == registry.count(name)
        assert {"runs", "metrics", "model_versions", "spans"} <= set(registry.tables)
        assert ("artifacts" in registry.tables) == (registry.description.kind == "bundle")


def test_pandas_keeps_types_and_gaps(place):
    with mlporter.open(place) as registry:
        runs, metrics = registry.to_pandas("runs"), registry.to_pandas("metrics")
    assert str(runs["start_time"].dtype) == "Int64"
    assert str(runs["experiment_id"].dtype) in {"Int32", "Int64"}
    # A run that has not ended: the times of the others stay whole numbers.
    assert runs["end_time"].isna().any()
    assert str(runs["end_time"].dtype) == "Int64"
    assert str(metrics["value"].dtype) == "float64"
    assert str(metrics["is_nan"].dtype) == "boolean"
    assert runs["run_uuid"].is_monotonic_increasing
    values = metrics.set_index("key")["value"]
    for key, value in SPECIAL_METRICS.items():
        if not math.isnan(value) and not math.isinf(value):
            assert values[key] == value


def test_show_gives_columns_in_the_order_asked_for(place):
    reader = mlporter.show(place, "runs", columns=("status", "run_uuid"))
    assert isinstance(reader, pa.RecordBatchReader)
    table = reader.read_all()
    assert table.column_names == ["status", "run_uuid"]
    assert table.num_rows == 24


def test_an_open_registry_is_a_snapshot(plain_sqlite):
    from tests.support.others import sqlite_held  # noqa: PLC0415 -- beside its only use

    path, run = plain_sqlite.database_path, plain_sqlite.run_ids[0]
    with sqlite_held(path, "PRAGMA journal_mode = WAL"):
        pass
    with mlporter.open(plain_sqlite.tracking_uri) as registry:
        before = registry.count("tags")
        with sqlite_held(path, f"INSERT INTO tags VALUES ('new', 'x', '{run}')"):
            assert registry.count("tags") == len(registry.to_pandas("tags")) == before
    with mlporter.open(plain_sqlite.tracking_uri) as registry:
        assert registry.count("tags") == before + 1


def test_secret_columns_are_never_shown(place, rich_sqlite_template):
    webhooks = mlporter.show(place, "webhooks").read_all().to_pandas()
    assert len(webhooks) == 2
    assert webhooks["secret"].isna().all()
    with pytest.raises(UsageError, match=r"secrets holds secrets|no table 'secrets'"):
        mlporter.show(place, "secrets")


def test_a_wrong_table_or_column_is_named_with_what_there_is(place):
    with mlporter.open(place) as registry:
        with pytest.raises(UsageError, match="there is no table 'run'") as caught:
            registry.read("run")
        assert "runs" in caught.value.hint
        with pytest.raises(UsageError, match="no column run_id") as caught:
            registry.read("runs", ("run_id",))
        assert "run_uuid" in caught.value.hint


# --- inspect --------------------------------------------------------------------------------------


def test_inspect_counts_what_is_there(place, rich_sqlite_template):
    rich, inventory = rich_sqlite_template, mlporter.inspect(place)
    counts = {table.name: table.rows for table in inventory.tables}
    assert (counts["runs"], counts["model_versions"], counts["trace_info"]) == (24, 13, 7)
    experiments = {e.name: e for e in inventory.experiments}
    thrown_away = experiments["rich, thrown away"]
    assert (thrown_away.lifecycle_stage, thrown_away.runs, thrown_away.deleted_runs) == (
        "deleted",
        1,
        1,
    )
    models = {model.name: model for model in inventory.models}
    model = models[rich.models.name]
    assert model.aliases == {name: int(v) for name, v in rich.models.aliases.items()}
    assert {str(v.version): v.stage for v in model.versions if v.stage != "Deleted_Internal"} == (
        rich.models.stages
    )
    assert models[rich.models.empty_name].versions == ()
    assert models[rich.rest.prompt_name].is_prompt
    assert not model.is_prompt
    assert inventory.consistency == "snapshot"
    assert json.loads(json.dumps(inventory.as_dict()))["revision"] == inventory.revision


# --- unpack ---------------------------------------------------------------------------------------


def choices(models):
    """What people write for a version, and the versions it means."""
    return {
        "1": "1",
        "3": "3",
        "latest": "4",
        "@champion": "3",
        "@prod_2024-1": "3",
        "@challenger": "4",
        "Production": "3",
        "staging": "4",
        "Archived": "1",
    }


def test_every_way_to_name_a_version_unpacks_that_version(
    rich_bundle, rich_sqlite_template, tmp_path
):
    import mlflow  # noqa: PLC0415 -- seconds

    models = rich_sqlite_template.models
    for wish, version in choices(models).items():
        out = tmp_path / wish
        result = mlporter.unpack(str(rich_bundle), str(out), model=models.name, version=wish)
        assert result.exit_code == 0
        assert [path.name for path in (out / models.name).iterdir()] == [version]
        # Without any server or database.
        model = mlflow.pyfunc.load_model(str(out / models.name / version))
        expected = [VERSION_FACTORS[int(version)] * number for number in EXAMPLE_INPUT]
        assert list(model.predict(EXAMPLE_INPUT)) == expected


def test_all_versions_of_a_model_unpack(rich_bundle, rich_sqlite_template, tmp_path):
    models = rich_sqlite_template.models
    mlporter.unpack(str(rich_bundle), str(tmp_path / "out"), model=models.name)
    assert {path.name for path in (tmp_path / "out" / models.name).iterdir()} == {"1", "3", "4"}
    mlporter.unpack(str(rich_bundle), str(tmp_path / "own"), model=models.runless_name)
    assert len(list((tmp_path / "own").rglob("MLmodel"))) == 3
    # A name that is no good folder name.
    mlporter.unpack(str(rich_bundle), str(tmp_path / "odd"), model=models.awkward_name)
    assert len(list((tmp_path / "odd").rglob("MLmodel"))) == 1


def test_everything_unpacks_and_nothing_twice(rich_bundle, tmp_path):
    result = mlporter.unpack(str(rich_bundle), str(tmp_path / "out"))
    there = tree(tmp_path / "out")
    files = {name for name in there if not name.endswith("/")}
    assert len(files - {"names.jsonl"}) == result.files.files
    again = mlporter.unpack(str(rich_bundle), str(tmp_path / "out"))
    assert again.files.already_there == again.files.files
    assert tree(tmp_path / "out") == there


def test_unpack_never_overwrites(rich_bundle, rich_sqlite_template, tmp_path):
    run = rich_sqlite_template.runs.artifacts_id
    mine = tmp_path / "out" / "runs" / run / "plain.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(RefusedError, match="another file is already there"):
        mlporter.unpack(str(rich_bundle), str(tmp_path / "out"), run=run)
    assert mine.read_text() == "mine"


def test_a_version_without_files_says_so(rich_sqlite, rich_sqlite_template, tmp_path):
    mlporter.export(rich_sqlite.tracking_uri, str(tmp_path / "bundle"), artifacts="none")
    with pytest.raises(RefusedError) as caught:
        mlporter.unpack(
            str(tmp_path / "bundle"), str(tmp_path / "out"), model=rich_sqlite.models.name
        )
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wish", ["2", "5", "99", "@nobody", "Nowhere"])
def test_a_version_that_is_not_there_is_named_with_those_that_are(
    rich_bundle, rich_sqlite_template, tmp_path, wish
):
    name = rich_sqlite_template.models.name
    with pytest.raises(UsageError, match="has no version") as caught:
        mlporter.unpack(str(rich_bundle), str(tmp_path / "out"), model=name, version=wish)
    assert "1, 3, 4" in caught.value.hint
    with pytest.raises(UsageError, match="there is no registered model") as caught:
        mlporter.unpack(str(rich_bundle), str(tmp_path / "out"), model=name[:-1])
    assert name in caught.value.hint


# --- doctor ---------------------------------------------------------------------------------------


def test_doctor_finds_nothing_wrong_here(place):
    report = mlporter.doctor(place)
    assert report.exit_code == ExitCode.OK
    assert all(check.ok for check in report.checks), report.checks
    names = {check.name for check in report.checks}
    assert {"python", "mlflow", "pyarrow", "adbc-driver-sqlite", "catalogue"} <= names
    assert "24 runs" in report.checks[-1].value
    json.dumps(report.as_dict())


def test_doctor_never_shows_a_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:s3cret@host/db")
    report = mlporter.doctor("postgresql://me:s3cret@127.0.0.1:1/db")
    assert report.exit_code == ExitCode.UNREACHABLE
    assert "s3cret" not in json.dumps(report.as_dict())


# --- The result -----------------------------------------------------------------------------------


def test_progress_ends_with_all_rows_of_every_table(rich_sqlite_template, tmp_path):
    last = {}

    def note(step, done, total, unit="rows"):
        assert done >= last.get(step, (0, None))[0]
        if unit != PHASES:
            last[step] = (done, total)

    mlporter.export(
        rich_sqlite_template.tracking_uri, str(tmp_path / "b"), on_progress=note, workers=1
    )
    assert last["reading metrics"] == (34, 34)
    ends = {step: end for step, end in last.items() if end[1] is not None}
    assert ends == {step: (total, total) for step, (_, total) in ends.items()}


def test_a_result_counts_what_the_database_holds(rich_bundle, rich_sqlite_template, tmp_path):
    result = mlporter.export(rich_sqlite_template.tracking_uri, str(tmp_path / "bundle"))
    for table in result.tables:
        ((count,),) = rows(
            rich_sqlite_template.tracking_uri, f'SELECT count(*) FROM "{table.table}"'
        )
        assert table.copied + table.skipped == count
    assert result.rows == sum(table.copied for table in result.tables)
    assert json.loads(json.dumps(result.as_dict()))["exit_code"] == result.exit_code
    assert pd.DataFrame(result.as_dict()["tables"])["failed"].sum() == 0
    assert Path(result.target).name == "bundle"
