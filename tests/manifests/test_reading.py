"""Manifests as people write them: what they mean, and what is said of those that make no sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import mlporter
from mlporter.errors import UsageError
from mlporter.manifests.reading import parse_manifest, read_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlporter.manifests.reading import ReadManifest

COPY = "kind: copy\nsource: a.db\ntarget: b.db\n"


def read(text: str, given: Mapping[str, object] | None = None, **environment: str) -> ReadManifest:
    return parse_manifest(text.encode(), "m.yaml", given or {}, environment)


def said(text: str, given: Mapping[str, object] | None = None, **environment: str) -> list[str]:
    """What is wrong with it, a line for each."""
    with pytest.raises(UsageError) as caught:
        read(text, given, **environment)
    assert caught.value.subject == "m.yaml"
    return list(caught.value.reasons) or [caught.value.message]


def test_only_what_is_said_is_handed_to_the_verb() -> None:
    assert read(COPY).arguments == {"source": "a.db", "target": "b.db"}
    text = (
        COPY + "workers: 2\nselection:\n  model: churn\n  since: 2026-01-31\n  no-parents: true\n"
    )
    arguments = read(text).arguments
    assert arguments["workers"] == 2
    assert arguments["selection"] == mlporter.Selection.from_words(
        {"model": ["churn"], "since": "2026-01-31", "no-parents": True}
    )


@pytest.mark.parametrize(
    ("value", "environment", "meant"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("${A:-y}", {}, "y"),
        ("${A:-y}", {"A": ""}, "y"),
        ("${A:-}b", {}, "b"),
        ("sqlite:///${A}/${B:-x}.db", {"A": "dir"}, "sqlite:///dir/x.db"),
        ("$${A}", {"A": "x"}, "${A}"),
        ("$A", {"A": "x"}, "$A"),
        ("${A}", {"A": "${B}"}, "${B}"),
        ("${A:-http://x:5000}", {}, "http://x:5000"),
        ("${A}", {"A": "postgresql://me:secret@host/db"}, "postgresql://me:secret@host/db"),
        ("postgresql://me:${A}@host/db", {"A": "pw"}, "postgresql://me:pw@host/db"),
    ],
)
def test_variables(value: str, environment: dict[str, str], meant: str) -> None:
    assert read(COPY.replace("b.db", f'"{value}"'), **environment).arguments["target"] == meant


def test_a_variable_may_be_a_number_a_flag_or_a_word() -> None:
    text = COPY + "workers: ${N}\nretry_time: ${T}\nundelete: ${U}\non_conflict: ${C}\n"
    arguments = read(text, N="8", T="1.5", U="true", C="skip").arguments
    values = {key: arguments[key] for key in ("workers", "retry_time", "undelete", "on_conflict")}
    assert values == {"workers": 8, "retry_time": 1.5, "undelete": True, "on_conflict": "skip"}
    assert said(text, N="x", T="-1", U="yes", C="skp") == [
        "line 4: workers: expected a whole number",
        "line 5: retry_time: at least 0.0 is wanted",
        "line 6: undelete: expected true or false",
        "line 7: on_conflict: is none of its values; the nearest is 'skip'",
    ]


@pytest.mark.parametrize("reference", ["${}", "${A", "${A-b}", "${A:-${B}}", "${1}"])
def test_what_is_no_variable(reference: str) -> None:
    (why,) = said(COPY.replace("b.db", f'"{reference}"'))
    assert why.startswith("line 3: target: ")
    assert "${NAME:-default}" in why


def test_all_variables_that_are_not_set_are_named_with_their_lines() -> None:
    assert said("kind: copy\nsource: ${DEV}\n\ntarget: ${PROD}/x\n") == [
        "line 2: source: the variable DEV is not set, and has no default",
        "line 4: target: the variable PROD is not set, and has no default",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kind: copy\nsource: postgresql://me:s3cret@host/db\ntarget: b.db\n", 2),
        ("kind: copy\nsource: a.db\ntarget: ${T:-mysql://me:s3cret@host/db}\n", 3),
        (COPY + "uri_map:\n  - s3://a=s3://key:s3cret@b\n", 5),
        (COPY + "uri_map: wasbs://a=https://x.blob/b?sig=s3cret\n", 4),
        (COPY + "# was: http://me:s3cret@host:5000\n", 4),
        (COPY + "password: postgresql://me:s3cret@host/db\n", 4),
    ],
)
def test_a_secret_is_refused_wherever_it_stands_and_not_repeated(text: str, line: int) -> None:
    (why,) = said(text, T="sqlite:///x.db")
    assert why.startswith(f"line {line}: ")
    assert "s3cret" not in why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (COPY + "on_conflit: skip\n", "line 4: on_conflit: is no key of copy; the nearest is"),
        (COPY + "delete: true\n", "line 4: delete: is a key of sync, and not of copy"),
        (COPY + "selection:\n  models: a\n", "line 5: selection.models: is no word of a selection"),
        (COPY + "selection:\n  only: [runs, runz]\n", "line 5: selection.only: 'runz' is none"),
        (COPY + "selection:\n  version: latest\n", "line 4: selection: versions are those of a"),
        (
            COPY + "selection:\n  model: a\n  since: soon\n",
            "line 4: selection: 'soon' is not a date",
        ),
        (COPY + "selection:\n", "line 4: selection: has no value"),
        (COPY + "selection: {}\n", "line 4: selection: has no value"),
        (COPY + "selection:\n  model: []\n", "line 5: selection.model: is empty"),
        (COPY + "stage: no\n", "line 4: stage: is a key of promote"),
        (COPY + "rename:\n- a=b\n- c\n", "line 6: rename: expected two texts with ="),
        (COPY + "to_workspace: 007\n", "line 4: to_workspace: expected text: put it in quotes"),
        ("kind: copy\nsource: a.db\n", "line 1: target: is missing"),
        ("kind: cpy\nsource: a.db\n", "line 1: kind: is none that there is; the nearest is 'copy'"),
        ("source: a.db\n", "line 1: kind is missing"),
        ("- kind: copy\n", "is not a manifest"),
        ("", "is not a manifest"),
        ("kind: copy\nkind: sync\n", "line 2: key 'kind' is repeated"),
        ("kind: !!python/name:os.system\n", "line 1: tags are not allowed"),
        ("kind: [\n", "line 2"),
    ],
)
def test_what_is_wrong_is_said_with_line_key_and_nearest(text: str, why: str) -> None:
    (found,) = said(text)
    assert found.startswith(why)


def test_set_goes_before_the_file_and_needs_no_variables_of_it() -> None:
    text = "kind: copy\nsource: ${DEV}\ntarget: b.db\nselection:\n  model: a\n"
    given = {"source": "${x}", "workers": "3", "selection.model": ["b", "c"], "undelete": "true"}
    assert read(text, given).arguments == {
        "source": "${x}",
        "target": "b.db",
        "workers": 3,
        "undelete": True,
        "selection": mlporter.Selection(models=("b", "c")),
    }
    assert read(COPY, {"selection.model": "x", "workers": 5}).arguments["workers"] == 5


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"sorce": "x"}, "--set sorce: is no key of copy; the nearest is 'source'"),
        ({"source.x": "x"}, "--set source.x: source has no keys below it"),
        ({"workers": "many"}, "--set workers: expected a whole number"),
        ({"target": ["a", "b"]}, "--set target: expected text"),
        ({"selection.modle": "x"}, "--set selection.modle: is no word of a selection"),
    ],
)
def test_what_is_wrong_with_set(given: dict[str, Any], why: str) -> None:
    (found,) = said(COPY, given)
    assert found.startswith(why)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for place in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(mlporter.UnreachableError) as caught:
            read_manifest(str(place), {})
        assert caught.value.subject == str(place)
