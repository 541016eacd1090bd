"""docs/json-schema.json is made from the results, and what ``--json`` prints is as it says.

After a change of results: MLPORTER_UPDATE_DOCS=1 pytest -n 0 tests/docs/test_json_schema.py
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from mlporter.progress import ProgressEvent, ProgressEvents
from tests.support.command_line import command_line
from tests.support.json_schema import schema, schema_text

if TYPE_CHECKING:
    from tests.support.plain_registry import PlainRegistry

DOCS = Path(__file__).parents[2] / "docs"
FILE, PAGE = DOCS / "json-schema.json", DOCS / "json.md"


def test_the_file_is_what_the_results_say() -> None:
    if "MLPORTER_UPDATE_DOCS" in os.environ:
        FILE.write_text(schema_text(), encoding="utf-8")
    assert FILE.read_text(encoding="utf-8") == schema_text()
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_page_names_every_object() -> None:
    said = PAGE.read_text(encoding="utf-8")
    made = schema()
    objects = [one["$ref"].rpartition("/")[2] for one in made["anyOf"]]
    assert [name for name in objects if f"`{name}`" not in said] == []


def closed(value: Any) -> Any:
    """The same schema, which takes no key that it does not name."""
    if isinstance(value, list):
        return [closed(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: closed(one) for key, one in value.items()}
    if "properties" in value and value.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    definitions = closed(schema()["$defs"])
    definitions["Plan"].pop("additionalProperties")  # the arguments of whatever verb it is of
    return jsonschema.Draft202012Validator({"$defs": definitions, "$ref": f"#/$defs/{name}"})


def check(name: str, said: Any) -> None:
    validator(name).validate(said)


PROMOTE = "promote models:/plain-model/1 --from {source} --to sqlite:///prod.db"
SESSION = [
    ("Transfer", 0, "export {source} bundle"),
    ("Transfer", 0, "import bundle sqlite:///one.db --artifact-root one"),
    ("Transfer", 0, "sync {source} sqlite:///one.db --artifact-root one --plan-out plan.json"),
    ("Plan", 0, "show plan.json"),
    ("Transfer", 0, "unpack bundle folders"),
    ("Backup", 0, "backup {source} backups --tag nightly"),
    ("Snapshots", 0, "snapshots backups"),
    ("Findings", 0, "find backups plain*"),
    ("Forgotten", 0, "forget backups --keep-last 1 --prune"),
    ("Verification", 0, "verify bundle --against {source}"),
    ("Verification", 0, "verify backups"),
    ("Inventory", 0, "inspect {source}"),
    ("Experiments", 0, "inspect {source} --experiment *"),
    ("RunDetails", 0, "inspect {source} --run {run}"),
    ("Rows", 0, "show {source} metrics"),
    ("File", 0, "cat {source} models:/plain-model/1/MLmodel"),
    ("Doctor", 0, "doctor {source}"),
    ("Promotion", 0, f"{PROMOTE} --artifact-root prod --alias champion --receipt receipt.yaml"),
    ("Diff", 1, "diff {source} sqlite:///prod.db"),
    ("History", 0, "history models:/plain-model --at sqlite:///prod.db"),
    ("Promotion", 0, "promote --undo receipt.yaml"),
    ("Relocated", 0, "relocate sqlite:///one.db --map-uri {here}/one=/two --dry-run --no-check"),
    ("Run", 0, "run verify.yaml"),
    ("Failed", 6, "inspect sqlite:///nothing.db"),
    ("Failed", 2, "export"),
]


def test_what_verbs_print_is_as_it_says(
    plain_sqlite: PlainRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("verify.yaml").write_text("kind: verify\nbundle: bundle\n", encoding="utf-8")
    mlporter = command_line(capsys, monkeypatch)
    names = {
        "source": plain_sqlite.tracking_uri,
        "run": plain_sqlite.model_run_id,
        "here": tmp_path,
    }
    for name, code, line in SESSION:
        done = mlporter(*line.format(**names).split(), "--json")
        assert done.code == code, f"{line}: {done.out}{done.err}"
        check(name, done.json)


def test_events_of_progress_are_as_it_says() -> None:
    events: list[ProgressEvent] = []
    tell = ProgressEvents(events.append)
    tell("copying", 1, 2, "phases")
    tell("rows", 5, None, "rows")
    tell("rows", 9, 9, "rows")
    tell.close()
    assert {event.event for event in events} >= {"phase", "step", "done"}
    for event in events:
        check("ProgressEvent", json.loads(json.dumps(event.as_dict())))


def test_a_key_that_is_not_named_is_found() -> None:
    said = {"json_version": 1, "uri": "runs:/a/b", "size": 1, "sha256": "0"}
    check("File", said)
    with pytest.raises(jsonschema.ValidationError):
        check("File", {**said, "etag": ""})
    with pytest.raises(jsonschema.ValidationError):
        check("File", {**said, "size": "1"})
    assert json.loads(FILE.read_text(encoding="utf-8"))["$defs"]["File"]["properties"]["size"]
