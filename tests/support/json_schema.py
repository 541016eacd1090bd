"""The JSON Schema of what ``--json`` prints, made from the results that are printed.

What a result's dataclass says is taken as it is; where its `as_dict` says it in another way, that
is written down here. A test holds real output against it, with no key more than it names.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from collections import abc
from typing import TYPE_CHECKING, Any, Literal

from mlporter.bundle.checks.findings import Finding
from mlporter.cli.json_output import JSON_VERSION
from mlporter.cli.terminal.failures import Failure
from mlporter.compare.report import DiffReport, TableCounts
from mlporter.errors import LeftOut
from mlporter.execute.files.orphans import Orphans
from mlporter.execute.result import FilesResult, LeftOutSummary, Result, TableResult
from mlporter.plan.policy import Conflict, Renamed, UnitCount
from mlporter.progress import ProgressEvent
from mlporter.promotion.checks.gates import GateResult
from mlporter.repository.documents import Snapshot
from mlporter.repository.prune import Pruned
from mlporter.repository.repository import DamagedSnapshot
from mlporter.stores.protocols import Description
from mlporter.verbs.backups.restore_test import RestoreTest
from mlporter.verbs.backups.snapshots import Found
from mlporter.verbs.promoting.history import PromotedVersion
from mlporter.verbs.reading.doctor import Check
from mlporter.verbs.reading.inspect import Inventory
from mlporter.verbs.reading.inspect_one import ExperimentDetails, RunDetails
from mlporter.verbs.relocate import Relocated

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
TEXT, NUMBER, YES_OR_NO = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
ANYTHING: Schema = {}
EXIT_CODE = {"type": "integer", "description": "What the process exits with."}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def mapping(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def or_null(value: Schema) -> Schema:
    return {"anyOf": [value, {"type": "null"}]}


def thing(
    said: str, properties: Mapping[str, Schema], optional: abc.Collection[str] = ()
) -> Schema:
    needed = [name for name in properties if name not in optional]
    return {
        "description": said,
        "type": "object",
        "required": needed,
        "properties": dict(properties),
    }


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


class _Definitions(dict[str, Schema]):
    """Schemas by name; those of dataclasses are made as they are asked for."""

    def of(self, kind: Any) -> Schema:
        """A reference to a dataclass, or what an annotation takes."""
        if dataclasses.is_dataclass(kind):
            name = kind.__name__
            if name not in self:
                self[name] = ANYTHING  # it may name itself
                self[name] = thing(first_line(kind), self.fields(kind))
            return ref(name)
        if kind in _PLAIN:
            return {"type": _PLAIN[kind]}
        return self._generic(kind, typing.get_origin(kind), typing.get_args(kind))

    def _generic(self, kind: Any, origin: Any, inner: tuple[Any, ...]) -> Schema:
        if origin is Literal:
            return {"enum": list(inner)}
        if origin in (typing.Union, types.UnionType):
            return {"anyOf": [self.of(one) for one in inner]}
        if origin in (list, tuple, abc.Sequence):
            return array(self.of(inner[0]))
        if origin in (dict, abc.Mapping):
            return mapping(self.of(inner[1]))
        assert kind in (object, Any), kind
        return ANYTHING

    def fields(self, kind: Any, **otherwise: Schema) -> dict[str, Schema]:
        """The fields of a dataclass that people see, some of them said in another way."""
        space = {**vars(typing), **vars(abc), **_names(), **vars(sys.modules[kind.__module__])}
        types_of = typing.get_type_hints(kind, space)
        shown = [one.name for one in dataclasses.fields(kind) if not one.name.startswith("_")]
        return {name: otherwise.get(name) or self.of(types_of[name]) for name in shown} | otherwise


def _names() -> dict[str, Any]:
    """What annotations name that are only imported for type checkers."""
    return {kind.__name__: kind for kind in (LeftOut, Conflict, Renamed, UnitCount, Orphans)}


def first_line(kind: Any) -> str:
    return (kind.__doc__ or "").partition("\n")[0].replace("`", "")


def beginning(items: Schema) -> Schema:
    return thing(
        "The first of a list, and how many there are.", {"total": NUMBER, "first": array(items)}
    )


# --- What each verb prints ------------------------------------------------------------------------


def schema() -> Schema:
    """The schema, as plain values."""
    made = _Definitions()
    _shared(made)
    kinds = {**_transfers(made), **_checks(made), **_lookings(made), **_others(made)}
    assert not kinds.keys() & made.keys()
    for one in kinds.values():
        one["properties"] = {"json_version": {"const": JSON_VERSION}, **one["properties"]}
        one["required"] = ["json_version", *one["required"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What mlporter --json prints",
        "description": f"Version {JSON_VERSION}: keys are added; none goes or changes its meaning.",
        "anyOf": [ref(name) for name in kinds],
        "$defs": {**kinds, **dict(sorted(made.items()))},
    }


def schema_text() -> str:
    """The schema as the file that is published."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _shared(made: _Definitions) -> None:
    change = {"field": TEXT, "old": ANYTHING, "new": ANYTHING, "sent": ANYTHING}
    action = {"action": TEXT, "unit": TEXT, "id": TEXT, "why": TEXT}
    changes = array(thing("A field: what the target has, and what it gets.", change, ["sent"]))
    made["Action"] = thing("What becomes of one thing.", {**action, "changes": changes})
    made["Error"] = thing(first_line(Failure), made.fields(Failure))
    for kind in (LeftOut, TableResult, FilesResult, LeftOutSummary, Description, Snapshot):
        if dataclasses.is_dataclass(kind):
            made.of(kind)
    made["Snapshot"] = _without_titles(Snapshot.model_json_schema(mode="serialization"), made)


def _without_titles(said: Any, made: _Definitions) -> Any:
    """What pydantic says, its definitions beside ours."""
    if isinstance(said, list):
        return [_without_titles(one, made) for one in said]
    if not isinstance(said, dict):
        return said
    for name, inner in said.pop("$defs", {}).items():
        made[name] = _without_titles(inner, made)
    said.pop("additionalProperties", None) if "properties" in said else None
    return {
        key: _without_titles(value, made)
        for key, value in said.items()
        if not (key == "title" and isinstance(value, str))
    }


def _transfers(made: _Definitions) -> dict[str, Schema]:
    counts = mapping(mapping(NUMBER))
    first = array(ref("Action"))
    done = made.fields(
        Result,
        actions=thing(
            "What becomes of what the target has: counts by unit and action.",
            {"counts": counts, "first": first, "digest": TEXT},
        ),
        renamed=beginning(made.of(Renamed)),
        conflicts=beginning(made.of(Conflict)),
    )
    done |= {"rows": NUMBER, "exit_code": EXIT_CODE}
    made["TransferDone"] = thing("As Transfer, inside another object.", done)
    moved = {"from": ANYTHING, "to": ANYTHING}
    version = {
        "source": TEXT,
        "target": TEXT,
        "status": TEXT,
        "files": NUMBER,
        "bytes": NUMBER,
        "gates": array(made.of(GateResult)),
        "load_check": ANYTHING,
        "aliases": array(thing("An alias that moved.", {"alias": TEXT, **moved})),
        "stages": array(thing("A stage that changed.", {"version": NUMBER, **moved})),
        "receipt": or_null({"type": "object"}),
        "stored": ANYTHING,
    }
    left = {"kind": TEXT, "id": TEXT, "path": TEXT, "detail": TEXT}
    promotion = {
        "verb": {"const": "promote"},
        "source": TEXT,
        "target": TEXT,
        "dry_run": YES_OR_NO,
        "undone": YES_OR_NO,
        "versions": array(thing("What became of a version.", version)),
        "transfers": array(ref("TransferDone")),
        "receipts": array(TEXT),
        "left_out": array(thing("What was not done beside.", left)),
        "next_command": TEXT,
        "exit_code": EXIT_CODE,
    }
    one = {"file": TEXT, "kind": TEXT, "error": ref("Error"), "result": {"type": "object"}}
    ran = thing("A manifest; its result is as of its verb.", one, ["error", "result"])
    ran["properties"]["exit_code"] = EXIT_CODE
    runs = {
        "verb": {"const": "run"},
        "dry_run": YES_OR_NO,
        "manifests": array(ran),
        "not_run": array(TEXT),
        "exit_code": EXIT_CODE,
    }
    plan = {"format": {"const": "mlporter-plan"}, "verb": TEXT, "counts": counts, "first": first}
    return {
        "Transfer": thing(
            "export, import, copy, sync, apply, unpack, rebuild; with --watch one a round.",
            {**done, "round": {"type": "string", "description": "Of --watch: a line for people."}},
            ["round"],
        ),
        "FailedRound": thing(
            "sync --watch: a round that failed; the next one follows.",
            {"round": TEXT, "exit_code": EXIT_CODE},
        ),
        "Backup": thing(
            "backup",
            {
                **done,
                "snapshot": or_null(ref("Snapshot")),
                "damaged": array(made.of(DamagedSnapshot)),
            },
        ),
        "Promotion": thing("promote, promote --undo", promotion),
        "Run": thing("run", runs),
        "Plan": thing("show PLAN", {**plan, "exit_code": EXIT_CODE}),
    }


def _checks(made: _Definitions) -> dict[str, Schema]:
    two = {"left": ANYTHING, "right": ANYTHING}
    difference = {
        "table": TEXT,
        "sigil": {"enum": ["+", "-", "*", "!"]},
        "key": {"type": "object"},
        "columns": mapping(thing("What A and B have.", two)),
        "detail": TEXT,
    }
    left_out = array(made.of(LeftOut))
    compared = {
        "identical": YES_OR_NO,
        "left": made.of(Description),
        "right": made.of(Description),
        "tables": mapping(made.of(TableCounts)),
        "differences": array(thing("A row or file that is not the same.", difference)),
        "truncated": NUMBER,
        "ignored": array(TEXT),
        "not_compared": mapping(NUMBER),
        "left_out": thing(
            "What the places themselves did not give.",
            {"left": left_out, "right": left_out, "truncated": NUMBER, "not_given": array(NUMBER)},
        ),
    }
    made["Compared"] = thing(first_line(DiffReport), compared)
    names = ["tables", "parts", "rows", "own_rows", "files", "blobs", "blobs_read", "bytes_read"]
    rare = ["packs", "snapshots"]
    check = {
        "address": TEXT,
        "mode": TEXT,
        "bundle_id": or_null(TEXT),
        "ok": YES_OR_NO,
        "problems": array(made.of(Finding)),
        "more": NUMBER,
        "told": beginning(TEXT),
        "checked": thing("What was looked at.", dict.fromkeys(names + rare, NUMBER), rare),
        "unreferenced": NUMBER,
    }
    verified = {
        "check": thing("What was found wrong.", check, ["unreferenced"]),
        "diff": or_null(ref("Compared")),
        "restore": made.of(RestoreTest),
        "exit_code": EXIT_CODE,
    }
    return {
        "Diff": thing("diff", {**compared, "exit_code": EXIT_CODE}),
        "Verification": thing("verify", verified, ["restore"]),
        "Doctor": thing("doctor", {"checks": array(made.of(Check)), "exit_code": EXIT_CODE}),
    }


def _lookings(made: _Definitions) -> dict[str, Schema]:
    damaged = array(made.of(DamagedSnapshot))
    found = {"repository": TEXT, "pattern": TEXT, "found": array(made.of(Found))}
    found["damaged"] = damaged
    history = {
        "verb": {"const": "history"},
        "address": TEXT,
        "model": TEXT,
        "promotions": array(made.of(PromotedVersion)),
        "unfinished": array(NUMBER),
    }
    rows = {
        "address": TEXT,
        "table": TEXT,
        "columns": array(TEXT),
        "rows": array({"type": "object"}),
    }
    kept = {"repository": TEXT, "snapshots": array(ref("Snapshot")), "damaged": damaged}
    made.of(ProgressEvent)  # of --progress json, on stderr
    made.of(RunDetails)
    made["LastMetric"]["properties"]["value"] = {"type": ["number", "string"]}  # "nan", "inf"
    return {
        "Inventory": thing("inspect", made.fields(Inventory)),
        "Experiments": thing("inspect --experiment", made.fields(ExperimentDetails)),
        "RunDetails": made.pop("RunDetails") | {"description": "inspect --run"},
        "Rows": thing("show ADDRESS TABLE", rows),
        "File": thing("cat", {"uri": TEXT, "size": NUMBER, "sha256": TEXT}),
        "Snapshots": thing("snapshots", kept),
        "Findings": thing("find", found),
        "History": thing("history", history),
    }


def _others(made: _Definitions) -> dict[str, Schema]:
    forgot = {
        "repository": TEXT,
        "dry_run": YES_OR_NO,
        "kept": mapping(array(TEXT)),
        "forgotten": array(TEXT),
        "pruned": or_null(made.of(Pruned)),
        "next_command": or_null(TEXT),
    }
    browsing = {"verb": {"const": "browse"}, "address": TEXT, "url": TEXT, "notes": array(TEXT)}
    numbers = array({"type": "number"})
    demo = {
        "directory": TEXT,
        "commands": array({"type": "object"}),
        "source_predictions": numbers,
        "target_predictions": numbers,
        "seconds": {"type": "number"},
        "equal": YES_OR_NO,
        "exit_code": EXIT_CODE,
    }
    relocated = {**made.fields(Relocated), "exit_code": EXIT_CODE}
    return {
        "Forgotten": thing("forget", forgot),
        "Relocated": thing("relocate", relocated),
        "Browsing": thing("browse", {**browsing, "seconds": {"type": "number"}}),
        "Demo": thing("demo", demo),
        "Failed": thing("Any verb that failed.", {"error": ref("Error")}),
    }
