from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mlporter.catalogue.types import Column, Kind, Place, Table
from mlporter.compare.diff import diff_sources
from mlporter.compare.report import TableCounts
from mlporter.compare.scope import CompareOptions
from mlporter.errors import UsageError
from tests.compare.memory_source import METRICS, MIXED, TAGS, MemorySource, derived

TAG = {"run_uuid": "r", "key": "k", "value": "v"}
RUNS = Table(
    name="runs",
    key=("run_uuid",),
    columns=(
        Column("run_uuid", pa.string(), nullable=False),
        Column("status", pa.string()),
        Column("artifact_uri", pa.string()),
    ),
    places=(Place("artifact_uri"),),
)
MODELS = Table(
    name="logged_models",
    key=("model_id",),
    columns=(
        Column("model_id", pa.string(), nullable=False),
        Column("artifact_location", pa.string()),
    ),
    places=(Place("artifact_location"),),
)
VERSIONS = Table(
    name="model_versions",
    key=("workspace", "name", "version"),
    columns=(
        Column("workspace", pa.string(), nullable=False),
        Column("name", pa.string(), nullable=False),
        Column("version", pa.int32(), nullable=False),
        Column("source", pa.string()),
        Column("storage_location", pa.string()),
    ),
    places=(Place("source"), Place("storage_location")),
)
TRACE_TAGS = Table(
    name="trace_tags",
    key=("request_id", "key"),
    columns=(
        Column("request_id", pa.string(), nullable=False),
        Column("key", pa.string(), nullable=False),
        Column("value", pa.string()),
    ),
    places=(Place("value", ("key", "mlflow.artifactLocation")),),
)
WEBHOOKS = Table(
    name="webhooks",
    key=("webhook_id",),
    columns=(
        Column("webhook_id", pa.string(), nullable=False),
        Column("secret", pa.string(), secret=True),
    ),
)


def diff(left, right, **options):
    hooks = {name: options.pop(name) for name in list(options) if name.startswith("normalise")}
    return diff_sources(left, right, CompareOptions(**options), **hooks)


def test_the_same_is_identical():
    rows = [(TAGS, [TAG]), (MIXED, [])]
    report = diff(MemorySource(rows), MemorySource(rows))
    assert report.identical
    assert report.exit_code == 0
    assert report.tables["tags"] == TableCounts(same=1)
    assert report.differences == []


def test_every_outcome_has_its_sigil():
    other = {**TAG, "key": "z"}
    left = MemorySource([(TAGS, [TAG, {**TAG, "key": "a"}])])
    right = MemorySource([(TAGS, [{**TAG, "value": "w"}, other])])
    report = diff(left, right)
    assert [(d.sigil, d.key["key"], d.columns) for d in report.differences] == [
        ("+", "a", {}),
        ("*", "k", {"value": ("v", "w")}),
        ("-", "z", {}),
    ]
    assert report.exit_code == 1


def test_the_limit_keeps_the_first_over_all_tables_and_counts_the_rest():
    rows = [{**TAG, "key": f"k{i}"} for i in range(8)]
    other = replace(TAGS, name="params")
    report = diff(MemorySource([(TAGS, rows), (other, rows)]), MemorySource(), limit=10)
    assert [d.table for d in report.differences] == ["tags"] * 8 + ["params"] * 2
    assert report.truncated == 6
    assert not diff(MemorySource([(TAGS, rows)]), MemorySource(), limit=0).identical


def test_a_table_that_one_side_lacks_is_all_one_sided():
    report = diff(MemorySource(), MemorySource([(TAGS, [TAG]), (METRICS, [])]))
    assert report.tables == {
        "tags": TableCounts(only_right=1),
        "metrics": TableCounts(),
        "artifacts": TableCounts(),
    }


def test_places_are_left_out_unless_strict():
    def source(root):
        row = {"run_uuid": "r", "status": "FINISHED", "artifact_uri": f"{root}/r/artifacts"}
        return MemorySource([(RUNS, [row])])

    left, right = source("s3://a"), source("/srv/b")
    report = diff(left, right)
    assert report.identical
    assert any("runs.artifact_uri" in sentence for sentence in report.ignored)
    assert list(diff(left, right, strict=True).differences[0].columns) == ["artifact_uri"]


def test_places_in_some_rows_only_are_blanked_in_those():
    def source(place, name):
        tags = [("mlflow.artifactLocation", place), ("mlflow.traceName", name)]
        rows = [{"request_id": "t", "key": key, "value": value} for key, value in tags]
        return MemorySource([(TRACE_TAGS, rows)])

    assert diff(source("s3://a", "n"), source("/b", "n")).identical
    report = diff(source("s3://a", "n"), source("/b", "m"))
    assert [d.key["key"] for d in report.differences] == ["mlflow.traceName"]
    assert report.tables["trace_tags"].same == 1
    assert not diff(source("s3://a", "n"), source("/b", "n"), strict=True).identical


def registry(root, place, source="models:/m-1"):
    """A run and two logged models, and a version whose files lie at `place`."""
    run = {"run_uuid": "r1", "status": "FINISHED", "artifact_uri": f"{root}/1/r1/artifacts"}
    models = [
        {"model_id": f"m-{n}", "artifact_location": f"{root}/1/models/m-{n}/artifacts"}
        for n in (1, 2)
    ]
    version = {"workspace": "default", "name": "iris", "version": 1}
    version |= {"source": source, "storage_location": place and f"{root}{place}"}
    return MemorySource([(RUNS, [run]), (MODELS, models), (VERSIONS, [version])])


@pytest.mark.parametrize(
    "place", ["/1/models/m-1/artifacts", "/1/r1/artifacts/model", "/elsewhere/model", None]
)
def test_versions_that_point_at_the_same_files_are_the_same(place):
    report = diff(registry("s3://bucket/x", place), registry("/srv/art", place))
    assert report.differences == []
    assert any("model_versions.source" in sentence for sentence in report.ignored)


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("/1/models/m-2/artifacts", "logged_model:m-2/"),
        ("/1/r1/artifacts/model", "run:r1/model"),
        ("/elsewhere/model", "(files of its own)"),
        (None, None),
    ],
)
def test_a_version_that_points_at_the_wrong_files_is_found(place, shown):
    right = registry("/srv/art", place)
    report = diff(registry("s3://bucket/x", "/1/models/m-1/artifacts"), right)
    assert [d.columns for d in report.differences] == [
        {"storage_location": ("logged_model:m-1/", shown)}
    ]


def test_a_version_of_another_logged_model_by_name_is_found():
    place = "/1/models/m-1/artifacts"
    report = diff(registry("/a", place), registry("/b", place, source="models:/m-2"))
    assert report.differences[0].columns == {"source": ("models:/m-1", "models:/m-2")}
    report = diff(registry("/a", None, "dummy-source"), registry("/b", None, "prompt-template"))
    assert report.differences[0].columns == {"source": ("dummy-source", "prompt-template")}


def test_secrets_are_neither_compared_nor_read():
    def source(secret):
        return MemorySource([(WEBHOOKS, [{"webhook_id": "w", "secret": secret}])])

    left, right = source("one"), source("two")
    for strict in (False, True):
        report = diff(left, right, strict=strict)
        assert report.identical
        assert "Secrets: webhooks.secret." in report.ignored
    assert all(columns == ("webhook_id",) for _, columns in left.reads + right.reads)


def test_derived_tables_are_compared_only_if_strict_and_not_of_a_bundle():
    table = derived(TAGS)
    left = MemorySource([(table, [TAG])])
    right = MemorySource([(table, [])])
    assert diff(left, right).identical
    assert not diff(left, right, strict=True).identical
    right.kind = "bundle"
    report = diff(left, right, strict=True)
    assert report.identical
    assert any("tags" in sentence for sentence in report.ignored)


@pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.SECRET, Kind.OWN])
def test_transient_and_secret_tables_are_never_compared(kind):
    source = MemorySource([(replace(TAGS, kind=kind), [TAG])])
    for strict in (False, True):
        report = diff(source, MemorySource(), strict=strict)
        assert report.identical
        assert any("tags" in sentence for sentence in report.ignored)


def test_unknown_tables_are_compared():
    left = MemorySource([(replace(TAGS, kind=Kind.UNKNOWN), [TAG])])
    right = MemorySource([(replace(TAGS, kind=Kind.UNKNOWN), [{**TAG, "value": "w"}])])
    assert diff(left, right).tables["tags"] == TableCounts(differs=1)


class TestColumnsOfOneSideOnly:
    older = TAGS.only(frozenset({"run_uuid", "key"}))

    def test_empty_is_the_same_and_said(self):
        left = MemorySource([(self.older, [{"run_uuid": "r", "key": "k"}])])
        right = MemorySource([(TAGS, [{**TAG, "value": None}])])
        report = diff(left, right)
        assert report.identical
        assert "Columns that only B has, all empty: tags.value." in report.ignored

    def test_filled_differs(self):
        left = MemorySource([(TAGS, [TAG, {**TAG, "key": "l", "value": None}])])
        right = MemorySource([(self.older, [{"run_uuid": "r", "key": k} for k in "kl"])])
        report = diff(left, right)
        assert report.tables["tags"] == TableCounts(same=1, differs=1)
        assert report.differences[0].columns == {"value": ("v", None)}

    def test_a_key_without_workspace_is_of_the_default_one(self):
        older = VERSIONS.only(frozenset({"name", "version", "source"}))
        rows = [{"name": "iris", "version": n, "source": "runs:/r/m"} for n in (1, 2, 10)]
        newer = [{**row, "workspace": "default"} for row in rows]
        left = MemorySource([(older, rows)])
        report = diff(left, MemorySource([(VERSIONS, newer)]))
        assert report.identical
        newer[1]["workspace"] = "other"
        report = diff(left, MemorySource([(VERSIONS, newer)]))
        assert [(d.sigil, d.key["workspace"]) for d in report.differences] == [
            ("+", "default"),
            ("-", "other"),
        ]


def with_type(table, name, dtype):
    return replace(
        table,
        columns=tuple(replace(c, type=dtype) if c.name == name else c for c in table.columns),
    )


def test_types_of_one_kind_are_brought_together_and_others_said_to_clash():
    row = {"id": 1, "name": "n", "number": 1.5}
    wide = with_type(MIXED, "id", pa.int64())
    assert diff(MemorySource([(MIXED, [row])]), MemorySource([(wide, [row])])).identical
    text = with_type(MIXED, "number", pa.string())
    report = diff(
        MemorySource([(MIXED, [row])]), MemorySource([(text, [{**row, "number": "1.5"}])])
    )
    assert report.tables["mixed"] == TableCounts(same=1, unreadable=1)
    assert report.differences[0].sigil == "!"
    assert "number" in report.differences[0].detail


@pytest.mark.parametrize("key", [("key", "run_uuid"), ()])
def test_tables_in_another_order_are_not_compared_and_that_is_a_difference(key):
    other = replace(TAGS, key=key)
    report = diff(MemorySource([(TAGS, [TAG])]), MemorySource([(other, [TAG])]))
    assert report.tables["tags"] == TableCounts(unreadable=1)
    assert report.exit_code == 1
    assert diff(MemorySource([(TAGS, [])]), MemorySource([(other, [])])).identical


def test_only_the_tables_asked_for():
    left = MemorySource([(TAGS, [TAG]), (METRICS, [])], contents={("run", "r", "f"): b""})
    report = diff(left, MemorySource([(TAGS, [])]), tables=("metrics",))
    assert list(report.tables) == ["metrics"]
    assert list(diff(left, MemorySource(), tables=("artifacts",)).tables) == ["artifacts"]
    with pytest.raises(UsageError, match="neither side"):
        diff(left, left, tables=("metrics", "nonsense"))


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(UsageError):
        CompareOptions(artifacts="bytes")
    with pytest.raises(UsageError):
        CompareOptions(limit=-1)


def test_a_hook_maps_ids_before_rows_are_compared():
    def rename(table, batch):
        index = batch.schema.get_field_index("run_uuid")
        mapped = pc.if_else(pc.equal(batch.column(index), "old"), "new", batch.column(index))
        return batch.set_column(index, batch.schema.field(index), mapped)

    left = MemorySource([(TAGS, [{**TAG, "run_uuid": "old"}])])
    right = MemorySource([(TAGS, [{**TAG, "run_uuid": "new"}])])
    assert not diff(left, right).identical
    assert diff(left, right, normalise_left=rename).identical
    assert diff(right, left, normalise_right=rename).identical


def test_progress_counts_the_rows_of_both_sides():
    told = []
    rows = [{**TAG, "key": f"k{i}"} for i in range(8)]
    source = MemorySource([(TAGS, rows)], contents={("run", "r", "f"): b""})
    diff_sources(source, source, None, lambda *call: told.append(call))
    assert [call for call in told if call[0] == "comparing tags"][-1][1:3] == (16, 16)
    assert told[-1] == ("comparing artifacts", 1, 1, "files")


def test_the_report_is_strict_json():
    left = MemorySource([(MIXED, [{"id": 1, "name": "n", "number": float("nan")}])])
    right = MemorySource([(MIXED, [{"id": 1, "name": "n", "number": None, "blob": b"\xff"}])])
    report = json.loads(json.dumps(diff(left, right).as_dict(), allow_nan=False))
    assert report["identical"] is False
    assert report["tables"]["mixed"]["differs"] == 1
    assert report["differences"][0]["columns"] == {
        "number": {"left": "NaN", "right": None},
        "blob": {"left": None, "right": "ff"},
    }
    assert report["left"]["kind"] == "sqlite"


def test_nothing_heavy_is_imported():
    code = (
        "import sys; import mlporter.compare.diff, mlporter.compare.rows.written_rows;"
        "heavy = {'mlflow', 'sqlalchemy', 'click', 'rich', 'adbc_driver_manager', 'pandas'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
