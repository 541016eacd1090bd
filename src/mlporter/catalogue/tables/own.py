"""The tables that are ours: what a bundle says of files, of what it lacks, of unknown fields."""

from __future__ import annotations

import pyarrow as pa

from mlporter.catalogue.types import Column, Kind, Table

__all__ = ["ARTIFACTS", "LEFT_OUT", "OWNER_KINDS", "OWNER_TABLES", "UNKNOWN_FIELDS"]
__all__ += ["CONTENTS", "FILE_STAMPS", "POINT_MARKS", "REPLACED", "owner_key", "skill_owner_id"]

OWNER_KINDS = (
    "logged_model",
    "model_version",
    "orphan",
    "other",
    "run",
    "skill_version",
    "trace",
    "trace_archive",
)
"""What can own artifacts, in sort order.

The id of a model version is ``workspace/name/version``. So is that of a version of a skill; of one
of an organization it is ``workspace/@organization/name/version``. A ``trace_archive`` is the
payload of an archived trace, whose spans MLflow has moved out of the database; its id is the
trace's. An ``orphan`` is nobody: files that no row points to, by the folder that they lie in. An
``other`` is a row of a table that the catalogue does not know, or that has a column that it does
not know: ``table/column/key``, each part percent-encoded.
"""

OWNER_TABLES = {
    "logged_model": "logged_models",
    "model_version": "model_versions",
    "run": "runs",
    "skill_version": "skill_versions",
    "trace": "trace_info",
    "trace_archive": "trace_info",
}
"""The table that an owner is a row of; an ``orphan`` is a row of none, an ``other`` of any."""


def owner_key(kind: str, owner: str) -> tuple[str, ...]:
    """The key of the row that an owner is, in the order of its table's key, as texts.

    >>> owner_key("run", "ab"), owner_key("model_version", "default/a/b/3")
    (('ab',), ('default', 'a/b', '3'))
    >>> owner_key("skill_version", "default/@acme/review/3")
    ('default', 'acme', 'review', '3')
    """
    if kind not in {"model_version", "skill_version"}:
        return (owner,)
    workspace, _, rest = owner.partition("/")
    organization = ""
    if kind == "skill_version" and rest.startswith("@"):
        organization, _, rest = rest[1:].partition("/")
    name, _, version = rest.rpartition("/")
    if kind == "model_version":
        return (workspace, name, version)
    return (workspace, organization, name, version)


def skill_owner_id(workspace: str, organization: str, name: str, version: object) -> str:
    """The owner id of a version of a skill."""
    whose = f"@{organization}/{name}" if organization else name
    return f"{workspace}/{whose}/{version}"


ARTIFACTS = Table(
    name="artifacts",
    kind=Kind.OWN,
    key=("owner_kind", "owner_id", "path"),
    columns=(
        Column("owner_kind", pa.string(), nullable=False),
        Column("owner_id", pa.string(), nullable=False),
        Column("path", pa.string(), nullable=False),
        Column("size", pa.int64(), nullable=False),
        Column("sha256", pa.string(), nullable=False),
    ),
)
"""Every artifact file: whose it is, its path below the owner's root, bytes, and SHA-256 (hex)."""

LEFT_OUT = Table(
    name="left_out",
    kind=Kind.OWN,
    key=("kind", "id", "path", "reason"),
    columns=(
        Column("kind", pa.string(), nullable=False),
        Column("id", pa.string(), nullable=False),
        Column("path", pa.string(), nullable=False),
        Column("reason", pa.string(), nullable=False),
        Column("detail", pa.string(), nullable=False),
        Column("expected", pa.bool_(), nullable=False),
    ),
)
"""Everything that was not copied, as `mlporter.errors.LeftOut`."""

UNKNOWN_FIELDS = Table(
    name="unknown_fields",
    kind=Kind.OWN,
    key=("table", "key", "field"),
    columns=(
        Column("table", pa.string(), nullable=False),
        Column("key", pa.string(), nullable=False),
        Column("field", pa.string(), nullable=False),
        Column("value", pa.string(), nullable=False, json=True),
    ),
)
"""Fields that came in a server's answers and that no release so far knew, as they came.

The row is named by its table and its key (a JSON list), the field by its path in the answer, such
as ``info.priority``; inside of lists, the element in brackets: ``data.params[lr].unit``.
"""

CONTENTS = Table(
    name="contents",
    kind=Kind.OWN,
    key=("sha256",),
    columns=(
        Column("sha256", pa.string(), nullable=False),
        Column("pack", pa.string(), nullable=False),
        Column("offset", pa.int64(), nullable=False),
        Column("size", pa.int64(), nullable=False),
    ),
)
"""Where file contents lie: the SHA-256 (hex) of each, that of its pack ("" for a blob of its own),
where its bytes begin there, and how many they are."""

FILE_STAMPS = Table(
    name="file_stamps",
    kind=Kind.OWN,
    key=("owner_kind", "owner_id", "path"),
    columns=(
        Column("owner_kind", pa.string(), nullable=False),
        Column("owner_id", pa.string(), nullable=False),
        Column("path", pa.string(), nullable=False),
        Column("stamp", pa.string(), nullable=False),
    ),
)
"""By what an artifact file is known again at the source without being read: an ETag, or its size
and its time of change."""

POINT_MARKS = Table(
    name="point_marks",
    kind=Kind.OWN,
    key=("run_uuid",),
    columns=(
        Column("run_uuid", pa.string(), nullable=False),
        Column("points", pa.int64(), nullable=False),
        Column("latest", pa.uint64(), nullable=False),
    ),
)
"""By what the metric points of a run are known again without being read: how many there are, and a
digest of the latest of each metric, as the source told."""

REPLACED = Table(
    name="replaced",
    kind=Kind.OWN,
    key=("table", "layer", "owner"),
    columns=(
        Column("table", pa.string(), nullable=False),
        Column("layer", pa.int64(), nullable=False),
        Column("owner", pa.string(), nullable=False),
    ),
)
"""Whose rows a layer of a table replaces: those of the layers below it count no more."""
