"""Small bundles for the tests, and the ways to break them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.bundle.documents.manifest_info import ManifestInfo
from mlporter.bundle.writer import BundleWriter
from mlporter.catalogue import BY_NAME
from mlporter.errors import LeftOut
from mlporter.stores.protocols import ArtifactFile, Description

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RUN = "0123456789abcdef0123456789abcdef"
DELETED_RUN = "f" * 32
SOURCE = Description("sqlite:///mlflow.db", "sqlite", "dc11669786a5", "snapshot")
INFO = ManifestInfo(SOURCE, mlporter="0.1.0", mlflow="3.17.2")

ROWS: dict[str, list[dict[str, object]]] = {
    "workspaces": [{"name": "default"}],
    "experiments": [
        {
            "experiment_id": 1,
            "name": "Ünïcode, with: colon",
            "workspace": "default",
            "artifact_location": "file:///old/1",
            "lifecycle_stage": "active",
            "creation_time": 1_700_000_000_000,
        },
        {
            "experiment_id": 2,
            "name": "gone",
            "workspace": "default",
            "lifecycle_stage": "deleted",
        },
    ],
    "experiment_tags": [{"experiment_id": 1, "key": "team", "value": "a\nb"}],
    "runs": [
        {"run_uuid": RUN, "experiment_id": 1, "lifecycle_stage": "active", "status": "FINISHED"},
        {"run_uuid": DELETED_RUN, "experiment_id": 1, "lifecycle_stage": "deleted"},
    ],
    "metrics": [
        {"run_uuid": RUN, "key": "loss", "step": step, "timestamp": 5, "value": 1 / (step + 1)}
        for step in range(20)
    ],
    "registered_models": [{"workspace": "default", "name": "wine"}],
    "registered_model_tags": [
        {"workspace": "default", "name": "wine", "key": "owner", "value": "me"}
    ],
    "model_versions": [
        {
            "workspace": "default",
            "name": "wine",
            "version": 1,
            "current_stage": "Production",
            "source": "s3://key:hunter2@bucket/wine",
            "status": "READY",
            "run_id": RUN,
        },
        {"workspace": "default", "name": "wine", "version": 2, "current_stage": "Deleted_Internal"},
    ],
    "registered_model_aliases": [
        {"workspace": "default", "name": "wine", "alias": "champion", "version": 1}
    ],
}
LARGE = bytes(range(256)) * 1024
"""Just as much as lies alone, as a blob."""
FILES: dict[tuple[str, str, str], bytes] = {
    ("model_version", "default/wine/1", "MLmodel"): b"flavors: {}\n",
    ("model_version", "default/wine/1", "data/model.bin"): LARGE,
    ("run", RUN, "copy of model.bin"): LARGE,
    ("run", RUN, "empty"): b"",
    ("run", RUN, "plots/ä b?.txt"): b"plot",
}
LEFT_OUT = (
    LeftOut("run", DELETED_RUN, "lost.txt", "missing", "no such file"),
    LeftOut("table", "jobs", "", "transient", "true of one server only", expected=True),
)


def batch_of(table: str, rows: list[dict[str, object]]) -> pa.RecordBatch:
    """Rows as a batch; what a row does not say is NULL, or what such columns mostly are."""
    schema = BY_NAME[table].schema
    usual = {pa.string(): "", pa.bool_(): False}
    blank = {field.name: None if field.nullable else usual.get(field.type, 0) for field in schema}
    return pa.RecordBatch.from_pylist([{**blank, **row} for row in rows], schema)


def artifact(key: tuple[str, str, str], content: bytes, stamp: str = "") -> ArtifactFile:
    return ArtifactFile(*key, size=len(content), stamp=stamp)


def fill(
    writer: BundleWriter,
    rows: Mapping[str, list[dict[str, object]]] = ROWS,
    files: Mapping[tuple[str, str, str], bytes] = FILES,
) -> None:
    """Write everything but the end."""
    for name, content in rows.items():
        writer.write_table(BY_NAME[name], [batch_of(name, content)] if content else [])
    for item in LEFT_OUT:
        writer.leave_out(item)
    writer.write_artifacts(
        writer.add_file(artifact(key, content), lambda content=content: io.BytesIO(content))
        for key, content in sorted(files.items())
    )


def make_bundle(
    path: Path,
    rows: Mapping[str, list[dict[str, object]]] = ROWS,
    files: Mapping[tuple[str, str, str], bytes] = FILES,
) -> Path:
    with BundleWriter.create(path) as writer:
        fill(writer, rows, files)
        writer.finish(INFO)
    return path


def snapshot(root: Path) -> dict[str, bytes]:
    """Every file below a directory, with its bytes."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
