"""manifests/schema.json is what the models that read manifests say, and says what they say.

After a change of them: MLPORTER_UPDATE_DOCS=1 pytest tests/manifests tests/docs -n 0
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import mlporter
from mlporter.errors import UsageError
from mlporter.manifests.kinds import KINDS
from mlporter.manifests.reading import parse_manifest
from mlporter.manifests.schema import schema, schema_text

FOLDER = Path(__file__).parents[2] / "manifests"
NOT_IN_A_FILE = {"on_progress", "dry_run", "plan_out", "names"}


def test_the_file_is_what_the_models_say() -> None:
    file = FOLDER / "schema.json"
    if "MLPORTER_UPDATE_DOCS" in os.environ:
        file.write_text(schema_text(), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == schema_text()
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_the_arguments_of_its_verb_and_their_defaults(kind: str) -> None:
    function = getattr(mlporter, "import_" if kind == "import" else kind)
    taken = inspect.signature(function).parameters
    fields = KINDS[kind].model_fields  # type: ignore[index]
    assert set(fields) - {"kind"} == set(taken) - NOT_IN_A_FILE
    for name, parameter in taken.items():
        if name in NOT_IN_A_FILE:
            continue
        is_needed = parameter.default is parameter.empty
        assert fields[name].is_required() == is_needed, name
        assert is_needed or fields[name].default == parameter.default, name


MOVE = {"kind": "copy", "source": "a.db", "target": "b.db"}
PROMOTE = {"kind": "promote", "model": "models:/m/1", "source": "a.db", "target": "b.db"}


@pytest.mark.parametrize(
    "said",
    [
        {**MOVE, "selection": {"model": "churn", "version": ["3", "@champion"]}},
        {**MOVE, "selection": {"only": "runs", "exclude-deleted": True, "no-parents": False}},
        {**MOVE, "workers": "${WORKERS:-2}", "undelete": "${YES}", "on_conflict": "${HOW:-skip}"},
        {**MOVE, "rename": ["a=b", "${PAIR:-c=d}"], "retry_time": 1, "rename_prefix": ""},
        {**PROMOTE, "max_size": 500, "require_tag": "a=b", "alias": ["x", "y"]},
        {**PROMOTE, "max_size": "500MB", "model": ["models:/m/1", "models:/m/2"]},
        {"kind": "verify", "bundle": "b", "sample": 0.5},
        {"kind": "backup", "source": "a.db", "repository": "s3://b/r", "tags": "nightly"},
        {"kind": "forget", "repository": "r", "keep_within": "${DAYS:-30d}", "grace": 60},
        {"kind": "diff", "a": "x", "b": "y", "artifacts": "listing", "limit": 0},
    ],
)
def test_what_the_schema_takes_is_read(said: dict[str, Any]) -> None:
    jsonschema.validate(said, schema(), jsonschema.Draft202012Validator)
    read = parse_manifest(yaml.safe_dump(said).encode(), "x.yaml", {}, {"YES": "true"})
    assert set(read.arguments) == set(said) - {"kind"}


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"kind": "move"},
        {"kind": "copy", "source": "a.db"},
        {**MOVE, "sorce": "x"},
        {**MOVE, "delete": True},
        {**MOVE, "on_conflict": "skp"},
        {**MOVE, "workers": 0},
        {**MOVE, "workers": "4"},
        {**MOVE, "undelete": "yes"},
        {**MOVE, "rename": "a"},
        {**MOVE, "allow_root": []},
        {**MOVE, "selection": {}},
        {**MOVE, "selection": None},
        {**MOVE, "selection": {"model": []}},
        {**MOVE, "selection": {"version": [3]}},
        {**MOVE, "selection": {"only": ["runz"]}},
        {**MOVE, "selection": {"models": "a"}},
        {**MOVE, "target": ""},
        {**MOVE, "target": 5},
        {"kind": "verify", "bundle": "b", "sample": 0},
        {"kind": "backup", "source": "a.db", "repository": "r", "tags": []},
        {"kind": "forget", "repository": "r", "keep_within": "a week"},
        {"kind": "forget", "repository": "r", "keep_last": "${N:-7}", "names": "1a2b"},
    ],
)
def test_what_the_schema_refuses_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(said, schema(), jsonschema.Draft202012Validator)
    with pytest.raises(UsageError):
        parse_manifest(yaml.safe_dump(said).encode(), "x.yaml", {}, {})


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
def test_an_example_is_as_the_schema_says_and_names_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    jsonschema.validate(yaml.safe_load(text), schema(), jsonschema.Draft202012Validator)
