"""The catalogue by itself: it is complete, in order, and refers to nothing that is not there."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

import mlporter.catalogue
from mlporter.catalogue import (
    AUTH_TABLES,
    BOOKKEEPING_TABLES,
    BY_NAME,
    HEAD_REVISION,
    REVISIONS,
    TABLES,
    USER_TABLES,
    is_older,
    known_table,
    release_of,
    table,
)
from mlporter.catalogue.types import Form, Kind

EVERY_TABLE = pytest.mark.parametrize("entry", TABLES, ids=lambda entry: entry.name)

#: Columns that are referred to, and unique though not declared so: MLflow makes up UUIDs for them.
UNIQUE_BY_MAKING = {("datasets", ("dataset_uuid",)), ("inputs", ("input_uuid",))}


def test_it_has_every_table_once():
    assert len(TABLES) == 70
    assert [name for name, n in Counter(entry.name for entry in TABLES).items() if n > 1] == []
    assert list(BY_NAME) == [entry.name for entry in TABLES]
    assert table("runs") is BY_NAME["runs"]


def test_no_other_table_is_in_it():
    with pytest.raises(KeyError):
        table("users")
    assert not (AUTH_TABLES | BOOKKEEPING_TABLES) & set(BY_NAME)
    assert {entry.name for entry in USER_TABLES} < AUTH_TABLES
    assert {entry.kind for entry in USER_TABLES} == {Kind.USERS}
    assert known_table("users", "users") is USER_TABLES[0]
    assert known_table("users", "unknown") is None


def test_kinds():
    others = {entry.name: entry.kind for entry in TABLES if entry.kind is not Kind.KEPT}

    assert others == {
        "latest_metrics": Kind.DERIVED,
        "sql_trace_metric_daily_rollups": Kind.DERIVED,
        "sql_span_cost_daily_rollups": Kind.DERIVED,
        "sql_assessment_daily_rollups": Kind.DERIVED,
        "issue_categories": Kind.DERIVED,
        "sql_trace_rollup_rebuild_queue": Kind.TRANSIENT,
        "jobs": Kind.TRANSIENT,
        "job_locks": Kind.TRANSIENT,
        "scheduler_leases": Kind.TRANSIENT,
        "secrets": Kind.SECRET,
    }


def test_whatever_a_table_refers_to_comes_before_it():
    seen = set()
    for entry in TABLES:
        needed = {reference.table for reference in entry.references}
        needed |= {entry.parent} if entry.parent else set()
        assert needed - seen <= {entry.name}, entry.name
        seen.add(entry.name)


def test_a_kept_row_needs_no_row_that_is_left_out():
    for entry in TABLES:
        for reference in entry.references:
            if entry.kind is Kind.KEPT and BY_NAME[reference.table].kind is not Kind.KEPT:
                left_out = [entry.by_name[name] for name in reference.columns]
                assert all(column.secret for column in left_out), entry.name


@EVERY_TABLE
def test_columns(entry):
    names = [column.name for column in entry.columns]

    assert len(set(names)) == len(names)
    assert tuple(names[: len(entry.key)]) == entry.key
    for column in entry.columns:
        assert column.cap is None or column.type == pa.string()
        assert not column.json or column.type == pa.string()
        assert not column.secret or column.nullable, "a secret is left out by writing NULL"
        assert column.name not in entry.key or not column.nullable


@EVERY_TABLE
def test_flags_follow_from_the_columns(entry):
    texts = [column for column in entry.columns if column.type in (pa.string(), pa.binary())]

    assert entry.workspace == ("workspace" in entry.by_name)
    assert entry.bulky == any(column.cap is None or column.cap >= 5000 for column in texts)


@EVERY_TABLE
def test_a_table_refers_to_its_parent(entry):
    if entry.parent is not None:
        assert entry.parent in {reference.table for reference in entry.references}


@EVERY_TABLE
def test_references_point_at_one_row_that_can_be_there(entry):
    for reference in entry.references:
        target = BY_NAME[reference.table]
        assert len(reference.columns) == len(reference.targets)
        assert _is_unique(target, reference.targets), reference
        for name, target_name in zip(reference.columns, reference.targets, strict=True):
            assert entry.by_name[name].type == target.by_name[target_name].type, reference
        assert reference.where is None or reference.where[0] in entry.by_name
        assert not (reference.enforced and (reference.may_dangle or reference.where))


def _is_unique(target, columns):
    candidates = [set(target.key), *map(set, target.unique)]
    return set(columns) in candidates or (target.name, columns) in UNIQUE_BY_MAKING


@EVERY_TABLE
def test_hidden_references_and_places_are_in_text_columns(entry):
    for hidden in entry.hidden:
        assert hidden.table in BY_NAME
        assert bool(hidden.fields) == (hidden.form is Form.JSON)
    for spot in (*entry.hidden, *entry.places):
        assert entry.by_name[spot.column].type == pa.string()
        assert spot.where is None or spot.where[0] in entry.by_name


def test_every_column_that_holds_an_experiment_id_says_so():
    holders = {entry.name for entry in TABLES if "experiment_id" in entry.by_name}
    referring = {
        entry.name
        for entry in TABLES
        for reference in entry.references
        if reference.columns == ("experiment_id",) and reference.table == "experiments"
    }

    assert referring == holders - {"experiments"}
    assert len(referring) == 20


def test_generated_columns_are_not_in_the_schema():
    generated = [(t.name, c.name) for t in TABLES for c in t.columns if c.generated]

    assert generated == [("spans", "duration_ns")]
    assert "duration_ns" not in table("spans").schema.names


def test_secrets_outside_the_secret_table():
    secret = {(t.name, c.name) for t in TABLES for c in t.columns if c.secret}

    assert secret == {("webhooks", "secret"), ("model_definitions", "secret_id"),
                      ("jobs", "token_hash")}  # fmt: skip


# --- revisions ------------------------------------------------------------------------------------


def test_revisions_are_known_once_and_releases_never_go_back():
    assert len({revision for revision, _ in REVISIONS}) == len(REVISIONS)
    releases = [tuple(map(int, release.split("."))) for _, release in REVISIONS]
    assert releases == sorted(releases)


@pytest.mark.parametrize(
    ("revision", "release", "older"),
    [
        ("451aebb31d03", "1.9.0", True),
        ("0584bdc529eb", "2.18.0", True),
        ("75868b020152", "3.17.0", True),
        ("dc11669786a5", "3.17.0", True),
        ("8b6ad64cb8f5", "3.18.0", True),
        (HEAD_REVISION, "3.18.0", False),
        ("ffffffffffff", None, None),
    ],
)
def test_a_revision_is_placed(revision, release, older):
    assert release_of(revision) == release
    assert is_older(revision) is older


# --- imports --------------------------------------------------------------------------------------


def test_its_modules_import_nothing_but_pyarrow_and_the_standard_library():
    allowed = {"pyarrow", *sys.stdlib_module_names}
    for path in Path(mlporter.catalogue.__file__).parent.rglob("*.py"):
        for name in _imports(path):
            assert name.split(".")[0] in allowed or name.startswith("mlporter.catalogue"), path


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_importing_it_imports_no_mlflow():
    code = "import sys, mlporter.catalogue; print({'mlflow', 'sqlalchemy'} & set(sys.modules))"

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "set()"
