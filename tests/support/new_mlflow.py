"""What a release of MLflow has that the catalogue has not, and a draft of the entries for it.

    python -m tests.support.new_mlflow 3.18.0

The wheel is downloaded and put before the installed MLflow, whose dependencies it runs on: nothing
is installed. Without a version, the installed MLflow is looked at. docs/architecture.md says what
to do with the draft.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.catalogue import BOOKKEEPING_TABLES, BY_NAME, RETIRED_COLUMNS, REVISIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlporter.catalogue.types import Column, Table

Description = dict[str, Any]
"""Of an MLflow: ``version``, ``revisions`` (oldest first), ``tables``, ``messages``."""

IN_MODELS = {
    ("runs", "status"): {"cap": 20},
    ("assessments", "assessment_type"): {"cap": 50},
}
"""Where MLflow's models and MLflow's migrations disagree, the catalogue follows the migrations, for
a database is what rows must fit into."""
FOREIGN_KEYS_IN_MODELS_ONLY = {("input_tags", ("input_uuid",), "inputs", ("input_uuid",))}

_WORDS = {
    pa.bool_(): "boolean",
    pa.int64(): "bigint",
    pa.int32(): "integer",
    pa.float64(): "double",
    pa.date32(): "date",
    pa.binary(): "blob",
    pa.string(): "text",
}


# --- What an MLflow has ---------------------------------------------------------------------------


def describe() -> Description:
    """What the MLflow has that is imported here."""
    import mlflow  # noqa: PLC0415 -- seconds, and maybe another one

    base = importlib.import_module("mlflow.store.db.base_sql_model").Base
    for package in ("tracking", "model_registry", "workspace"):
        with contextlib.suppress(ModuleNotFoundError):  # older releases have no workspaces
            importlib.import_module(f"mlflow.store.{package}.dbmodels.models")
    return {
        "version": mlflow.__version__,
        "revisions": _revisions(),
        "tables": {
            name: _table(table)
            for name, table in base.metadata.tables.items()
            if name not in BOOKKEEPING_TABLES
        },
        "messages": dict(_messages()),
    }


def _revisions() -> list[str]:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 -- comes with MLflow

    package = importlib.import_module("mlflow.store.db_migrations")
    scripts = ScriptDirectory(str(Path(str(package.__file__)).parent))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def _table(table: Any) -> dict[str, Any]:
    import sqlalchemy as sa  # noqa: PLC0415 -- comes with MLflow

    unique = [c for c in table.constraints if isinstance(c, sa.UniqueConstraint)]
    unique += [index for index in table.indexes if index.unique]
    return {
        "columns": {column.name: _column(column) for column in table.columns},
        "key": [column.name for column in table.primary_key],
        "unique": sorted(sorted(column.name for column in found.columns) for found in unique),
        "foreign_keys": sorted(
            [
                [element.parent.name for element in key.elements],
                key.referred_table.name,
                [element.column.name for element in key.elements],
            ]
            for key in table.foreign_key_constraints
        ),
    }


def _column(column: Any) -> dict[str, Any]:
    import sqlalchemy as sa  # noqa: PLC0415 -- comes with MLflow

    kind = column.type.impl if isinstance(column.type, sa.TypeDecorator) else column.type
    words = (
        (sa.Boolean, "boolean"),
        (sa.BigInteger, "bigint"),
        (sa.Integer, "integer"),
        (sa.Float, "double"),
        (sa.Date, "date"),
        (sa.LargeBinary, "blob"),
        (sa.JSON, "json"),
        (sa.String, "text"),
    )
    return {
        "type": next((word for found, word in words if isinstance(kind, found)), repr(kind)),
        "null": bool(column.nullable),
        "cap": getattr(kind, "length", None) if isinstance(kind, sa.String) else None,
        "generated": column.computed is not None,
    }


def _messages() -> Iterator[tuple[str, list[str]]]:
    """Fields of what MLflow's REST API takes and answers, as far as it is declared as messages."""
    protos = importlib.import_module("mlflow.protos")
    for module in pkgutil.iter_modules(protos.__path__):
        if not module.name.endswith("_pb2"):
            continue
        with contextlib.suppress(ImportError):
            found = importlib.import_module(f"mlflow.protos.{module.name}")
            for message in found.DESCRIPTOR.message_types_by_name.values():
                yield message.full_name, sorted(field.name for field in message.fields)


def describe_release(version: str) -> Description:
    """What a release has: its wheel, on the dependencies that are installed here."""
    with TemporaryDirectory() as scratch:
        words = ("download", "--quiet", "--no-deps", "--dest", scratch, f"mlflow=={version}")
        subprocess.run([sys.executable, "-m", "pip", *words], check=True)
        (wheel,) = Path(scratch).glob("mlflow-*.whl")
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(Path(scratch, "wheel"))
        before = [str(Path(scratch, "wheel")), *filter(None, sys.path)]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", __spec__.name, "--describe"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(before)},
        )
    description: Description = json.loads(done.stdout.splitlines()[-1])
    return description


# --- What the catalogue lacks ---------------------------------------------------------------------


def differences(found: Description) -> list[str]:
    """A line for everything in which the catalogue and an MLflow differ."""
    return [*_of_revisions(found), *_of_tables(found)]


def _of_revisions(found: Description) -> Iterator[str]:
    known = [revision for revision, _ in REVISIONS]
    for revision in found["revisions"]:
        if revision not in known:
            yield f"new revision {revision}"
    theirs = [revision for revision in found["revisions"] if revision in known]
    if theirs != known[: len(theirs)]:
        yield "the revisions are in another order, or not all of them are there"


def _of_tables(found: Description) -> Iterator[str]:
    for name, table in found["tables"].items():
        if name not in BY_NAME:
            yield f"new table {name}: {', '.join(table['columns'])}"
        else:
            yield from _of_table(name, table, BY_NAME[name])
    if found["revisions"][-1] == REVISIONS[-1][0] or len(found["revisions"]) > len(REVISIONS):
        for name in BY_NAME.keys() - found["tables"].keys():
            yield f"removed table {name}"


def _of_table(name: str, theirs: dict[str, Any], ours: Table) -> Iterator[str]:
    for column, declared in theirs["columns"].items():
        if (name, column) in RETIRED_COLUMNS:
            continue
        if column not in ours.by_name:
            yield f"new column {name}.{column}: {_text_of(declared)}"
            continue
        known = _catalogued(ours.by_name[column], declared) | IN_MODELS.get((name, column), {})
        if known != declared:
            yield f"changed column {name}.{column}: {_text_of(known)} -> {_text_of(declared)}"
    if set(theirs["key"]) != set(ours.key):
        yield f"changed key of {name}: {', '.join(ours.key)} -> {', '.join(theirs['key'])}"
    if theirs["unique"] != sorted(sorted(columns) for columns in ours.unique):
        yield f"changed unique columns of {name}: {theirs['unique']}"
    enforced = {(r.columns, r.table, r.targets) for r in ours.references if r.enforced}
    for columns, table, targets in theirs["foreign_keys"]:
        reference = (tuple(columns), table, tuple(targets))
        if reference not in enforced and (name, *reference) not in FOREIGN_KEYS_IN_MODELS_ONLY:
            yield f"new reference {name} ({', '.join(columns)}) -> {table} ({', '.join(targets)})"


def _catalogued(column: Column, declared: dict[str, Any]) -> dict[str, Any]:
    word = _WORDS[column.declared or column.type]
    is_json = declared["type"] == "json" and column.json
    return {
        "type": "json" if is_json else word,
        "null": column.nullable,
        "cap": column.cap,
        "generated": column.generated,
    }


def _text_of(declared: dict[str, Any]) -> str:
    cap = f"({declared['cap']})" if declared["cap"] else ""
    null = "" if declared["null"] else " NOT NULL"
    return f"{declared['type']}{cap}{null}{' GENERATED' if declared['generated'] else ''}"


def of_messages(found: Description, installed: Description) -> Iterator[str]:
    """A line for each field of the REST API that the installed MLflow does not declare."""
    for name, fields in found["messages"].items():
        before = installed["messages"].get(name)
        if before is None:
            yield f"new message {name}: {', '.join(fields)}"
        elif new := sorted(set(fields) - set(before)):
            yield f"new fields of {name}: {', '.join(new)}"


# --- Entries to begin with ------------------------------------------------------------------------


def draft(found: Description) -> str:
    """The entries that the catalogue lacks, as Python."""
    known = {revision for revision, _ in REVISIONS}
    new = [revision for revision in found["revisions"] if revision not in known]
    release = ".".join(found["version"].split(".")[:2])
    lines = ["# catalogue/revisions.py"]
    lines += [f'("{revision}", "{release}.0"),' for revision in new]
    lines += [f'HEAD_REVISION = "{new[-1]}"'] if new else []
    tables = {n: table for n, table in found["tables"].items() if n not in BY_NAME}
    columns = {
        name: added
        for name, table in found["tables"].items()
        if name in BY_NAME and (added := [c for c in table["columns"] if _is_new(name, c)])
    }
    for name, table in tables.items():
        lines += ["", "# catalogue/tables/", *_drafted(name, table)]
    for name, added in columns.items():
        lines += ["", f"# catalogue/tables/, in {name}"]
        lines += [
            _constructor(column, found["tables"][name]["columns"][column]) for column in added
        ]
    if new:
        lines += ["", "# stores/database/history/changes.py: split by revision, with their values"]
        brought = {name: dict.fromkeys(added, "NULL") for name, added in columns.items()}
        lines += [f'Change("{new[-1]}", {tuple(tables)!r}, {brought!r}),']
    return "\n".join(lines)


def _is_new(table: str, column: str) -> bool:
    return column not in BY_NAME[table].by_name and (table, column) not in RETIRED_COLUMNS


def _drafted(name: str, table: dict[str, Any]) -> Iterator[str]:
    columns, key = table["columns"], table["key"]
    rest = [column for column in columns if column not in key]
    texts = [c for c in columns.values() if c["type"] in {"text", "json", "blob"}]
    long = 5000  # as tests/catalogue holds it
    yield f"{name.upper()} = Table("
    yield f'    name="{name}",'
    yield f"    key={_tuple(key)},"
    yield "    columns=("
    yield from (f"        {_constructor(column, columns[column])}" for column in (*key, *rest))
    yield "    ),"
    if table["foreign_keys"]:
        yield f'    parent="{table["foreign_keys"][0][1]}",  # if its rows are owned by that'
        yield "    references=("
        for ours, other, theirs in table["foreign_keys"]:
            targets = "" if ours == theirs else f", {_tuple(theirs)}"
            yield f'        foreign_key({_tuple(ours)}, "{other}"{targets}),'
        yield "    ),  # and those that no foreign key says: ids in other columns, hidden, places"
    elif "workspace" in columns:
        yield "    references=(WORKSPACE,),"
    if table["unique"]:
        yield f"    unique=({', '.join(_tuple(found) for found in table['unique'])},),"
    if any(c["cap"] is None or c["cap"] >= long for c in texts):
        yield "    bulky=True,"
    if "workspace" in columns:
        yield "    workspace=True,"
    yield ")"


def _constructor(name: str, declared: dict[str, Any]) -> str:
    if name == "experiment_id" and declared["type"] == "integer":
        return "experiment_id()," if declared["null"] else "experiment_id(null=False),"
    cap = f", {declared['cap']}" if declared["cap"] else ""
    null = "" if declared["null"] else ", null=False"
    generated = ", generated=True" if declared["generated"] else ""
    return f'{declared["type"]}("{name}"{cap}{null}{generated}),'


def _tuple(names: Sequence[str]) -> str:
    return f"({', '.join(json.dumps(name) for name in names)}{',' if len(names) == 1 else ''})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is new, and the draft; the exit code says whether anything is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("version", nargs="?", help="of MLflow; the installed one by default")
    parser.add_argument("--describe", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    installed = describe()
    if chosen.describe:
        print(json.dumps(installed))
        return 0
    found = installed if chosen.version is None else describe_release(chosen.version)
    lines = differences(found)
    print(f"MLflow {found['version']}, revision {found['revisions'][-1]}:")
    print(*(lines or ["nothing that the catalogue has not"]), sep="\n")
    fields = list(of_messages(found, installed))
    if fields:
        print(f"\nREST, since the installed MLflow {installed['version']}:", *fields, sep="\n")
    if lines:
        print(f"\n{draft(found)}")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
