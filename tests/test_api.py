"""The API as programs use it: paths, plain words, errors and the version."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import pytest

import mlporter
from mlporter import errors
from mlporter.selection import as_selection


def test_every_error_can_be_caught_by_its_name_and_the_version_is_the_package_s():
    for name in errors.__all__:
        assert getattr(mlporter, name) is getattr(errors, name)
        assert name in mlporter.__all__
    assert mlporter.__version__ == version("mlporter")
    assert set(mlporter.__all__) <= set(dir(mlporter))
    with pytest.raises(AttributeError, match="no_such_name"):
        mlporter.no_such_name  # noqa: B018 -- looking is the test


def test_a_path_is_as_good_as_a_text_wherever_a_place_is_named(
    plain_sqlite, mlflow_sqlite, tmp_path
):
    source, bundle = plain_sqlite.tracking_uri, tmp_path / "backup"
    part = {"model": plain_sqlite.model_name, "version": ["latest"]}
    exported = mlporter.export(source, bundle, selection=part)
    assert (exported.exit_code, exported.target) == (0, str(bundle))
    assert mlporter.verify(bundle).exit_code == 0
    assert mlporter.verify(bundle, against=bundle).exit_code == 0
    assert mlporter.inspect(bundle).models[0].name == plain_sqlite.model_name
    assert mlporter.show(bundle, "model_versions").read_all().num_rows == 1
    assert mlporter.doctor(bundle).exit_code == 0
    assert mlporter.unpack(bundle, tmp_path / "plain").exit_code == 0
    root, target = tmp_path / "files", f"sqlite:///{mlflow_sqlite}"
    assert mlporter.import_(bundle, target, artifact_root=root).exit_code == 0
    assert mlporter.copy(bundle, target, artifact_root=root, selection=part).rows == 0
    assert mlporter.diff(bundle, target).identical
    with mlporter.open(bundle) as registry:
        assert registry.count("model_versions") == 1


def test_what_is_neither_a_text_nor_a_path_is_refused_with_an_example():
    for place in (5, None, b"backup", os.fsencode("x")):
        with pytest.raises(mlporter.UsageError, match="text or a path") as caught:
            mlporter.inspect(place)
        assert caught.value.hint


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ({"models": ["a", "b"], "versions": "latest"}, "--model a --model b --version latest"),
        ({"model": ["a"], "version": ["latest"]}, "--model a --version latest"),
        ({"experiments": "x y"}, "--experiment 'x y'"),
        ({"exclude_deleted": True}, "--exclude-deleted"),
        ({"exclude-deleted": True}, "--exclude-deleted"),
        ({"runs": ["r"], "parents": False}, "--run r --no-parents"),
        ({"since": 0}, "--since 1970-01-01T00:00:00.000Z"),
        (
            {"until": datetime(1970, 1, 2, tzinfo=timezone.utc)},
            "--until 1970-01-02T00:00:00.000Z",
        ),
        ({"since": "1970-01-02", "filter": None}, "--since 1970-01-02T00:00:00.000Z"),
        ({"experiments": None, "runs": ()}, ""),
    ],
)
def test_a_selection_in_plain_words(words, options):
    assert as_selection(words).options() == options


@pytest.mark.parametrize(
    "words",
    [
        {"modles": ["a"]},
        {"model": ["a"], "models": ["b"]},
        {"models": [1]},
        {"models": 5},
        ["models"],
        "churn",
    ],
)
def test_a_selection_that_makes_no_sense_is_refused_and_nothing_is_made(words, tmp_path):
    with pytest.raises(mlporter.UsageError):
        mlporter.export("sqlite:///not-there.db", Path(tmp_path) / "b", selection=words)
    assert not (tmp_path / "b").exists()
