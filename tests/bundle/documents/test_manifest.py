from __future__ import annotations

import copy

import pytest

from mlporter.bundle.documents.manifest import load_manifest, manifest_bytes, parse_manifest
from mlporter.bundle.documents.manifest_entries import table_entry
from mlporter.bundle.folder.layout import MANIFEST
from mlporter.bundle.tables.parts import Part
from mlporter.catalogue import BY_NAME, TABLES
from mlporter.catalogue.types import Column, Kind
from mlporter.errors import BundleDamagedError, UnsupportedError
from tests.bundle.forging import read_yaml, to_yaml

SHA = "0" * 64
METRICS_PART = ("tables", "metrics", "parts", 0)


@pytest.fixture
def value(pristine):
    return read_yaml((pristine / MANIFEST).read_text())


def changed(value, path, new):
    value = copy.deepcopy(value)
    target = value
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = new
    return to_yaml(value).encode()


def test_it_comes_back_as_it_was_written(pristine):
    manifest = load_manifest(pristine)
    assert manifest_bytes(manifest) == (pristine / MANIFEST).read_bytes()


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ((*METRICS_PART, "path"), "../../etc/passwd"),
        ((*METRICS_PART, "path"), "/etc/passwd"),
        ((*METRICS_PART, "path"), "tables/metrics/../../../x/00000.parquet"),
        ((*METRICS_PART, "path"), "tables/runs/00000.parquet"),
        ((*METRICS_PART, "path"), "tables/metrics/00001.parquet"),
        ((*METRICS_PART, "path"), "tables\\metrics\\00000.parquet"),
        ((*METRICS_PART, "path"), "tables/metrics/00000.parquet\n"),
        ((*METRICS_PART, "rows"), -1),
        ((*METRICS_PART, "rows"), 0),
        ((*METRICS_PART, "rows"), 2**64),
        ((*METRICS_PART, "rows"), 21),
        ((*METRICS_PART, "rows"), "20"),
        ((*METRICS_PART, "rows"), 20.0),
        ((*METRICS_PART, "rows"), True),
        ((*METRICS_PART, "bytes"), 10**400),
        ((*METRICS_PART, "bytes"), -5),
        ((*METRICS_PART, "sha256"), SHA.upper() + "0"),
        ((*METRICS_PART, "sha256"), "A" * 64),
        ((*METRICS_PART, "sha256"), SHA + "\n"),
        (("tables", "metrics", "rows"), 7),
        (("tables", "metrics", "bytes"), 7),
        (("tables", "metrics", "key"), ["nothing"]),
        (("tables", "metrics", "key"), ["step", "step"]),
        (("tables", "metrics", "columns", 0, "type"), "object"),
        (("tables", "metrics", "columns", 0, "name"), "step"),
        (("tables", "metrics", "parts"), {}),
        (("tables", "artifacts", "key"), ["path"]),
        (("tables", "left_out", "columns", 5, "type"), "int64"),
        (("tables",), {}),
        (("summaries",), []),
        (("summaries", 0, "path"), "/etc/passwd"),
        (("artifacts", "blobs"), -1),
        (("artifacts", "mode"), "steal"),
        (("bundle_id",), "../.."),
        (("started",), "yesterday"),
        (("format",), "something-else"),
        (("format_version",), "1"),
        (("format_version",), True),
        (("format_version",), 0),
    ],
)
def test_what_the_format_does_not_allow_is_refused(value, path, new):
    with pytest.raises(BundleDamagedError) as caught:
        parse_manifest(changed(value, path, new))
    assert caught.value.subject == MANIFEST


def test_the_field_that_is_wrong_is_named(value):
    with pytest.raises(BundleDamagedError) as caught:
        parse_manifest(changed(value, (*METRICS_PART, "rows"), -1))
    assert "tables.metrics.parts.0.rows: " in str(caught.value)


@pytest.mark.parametrize("missing", ["tables", "artifacts", "bundle_id", "source", "summaries"])
def test_a_missing_field_is_refused(value, missing):
    del value[missing]
    with pytest.raises(BundleDamagedError, match=f"{missing}: Field required"):
        parse_manifest(to_yaml(value).encode())


def test_a_later_format_is_refused_naming_who_reads_it(value):
    value["created_by"]["mlporter"] = "9.1.0"
    with pytest.raises(UnsupportedError) as caught:
        parse_manifest(changed(value, ("format_version",), 3))
    assert "bundle format 3; this release reads formats up to 2" in str(caught.value)
    assert caught.value.hint is not None
    assert "mlporter 9.1.0" in caught.value.hint
    assert caught.value.exit_code == 4


def test_the_maker_of_a_later_format_is_not_trusted(value):
    value["created_by"]["mlporter"] = "\x1b[2J rm -rf"
    with pytest.raises(UnsupportedError) as caught:
        parse_manifest(changed(value, ("format_version",), 3))
    assert caught.value.hint is not None
    assert "\x1b" not in caught.value.hint


def test_unknown_fields_are_kept_and_ignored(value):
    value["later"] = {"a": [1]}
    value["tables"]["metrics"]["parts"][0]["zone_map"] = "x"
    manifest = parse_manifest(to_yaml(value).encode())
    again = read_yaml(manifest_bytes(manifest))
    assert again["later"] == {"a": [1]}
    assert again["tables"]["metrics"]["parts"][0]["zone_map"] == "x"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_of_the_catalogue_comes_back_as_that(table):
    assert table_entry(table, []).table(table.name) == table


def test_columns_that_an_old_revision_lacks_stay_lacking():
    older = BY_NAME["trace_info"].only(frozenset({"request_id", "experiment_id", "status"}))
    back = table_entry(older, []).table("trace_info")
    assert back == older


def test_what_the_catalogue_does_not_know_is_marked_and_comes_back():
    runs = BY_NAME["runs"]
    older = runs.only(frozenset(runs.by_name) - {"deleted_time"})
    columns = (*older.columns, Column("site_cost", older.columns[0].type))
    entry = table_entry(older.__class__("runs", runs.key, columns), [])
    assert [column.name for column in entry.columns if column.unknown] == ["site_cost"]
    assert entry.table("runs").by_name["site_cost"].nullable
    unknown = table_entry(older.__class__("site_table", ("run_uuid",), columns, Kind.UNKNOWN), [])
    assert unknown.unknown
    assert unknown.table("site_table").kind is Kind.UNKNOWN


def test_a_type_that_the_catalogue_has_otherwise_stays_as_written():
    entry = table_entry(BY_NAME["runs"], [])
    column = entry.columns[0].model_copy(update={"nullable": True})
    entry = entry.model_copy(update={"columns": (column, *entry.columns[1:])})
    assert entry.table("runs").schema.field(0).nullable


def test_it_stays_small_however_large_the_registry(value):
    manifest = parse_manifest(to_yaml(value).encode())
    parts = {
        name: [
            Part(f"tables/{name}/{i:05}.parquet", 10**9, 10**11, "a1" * 32) for i in range(count)
        ]
        for name, count in (("metrics", 130), ("spans", 130), ("params", 40), ("tags", 40))
    }
    tables = {t.name: table_entry(t, parts.get(t.name, [])) for t in TABLES}
    assert len(manifest_bytes(manifest.model_copy(update={"tables": tables}))) < 100_000
