"""Datasets of an experiment, which runs name as their inputs by folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.stores.addresses.file_store_folders import META
from mlporter.stores.filestore.runs.run_folders import made_id
from mlporter.stores.filestore.values import read_meta

if TYPE_CHECKING:
    from mlporter.stores.filestore.notes import Spot
    from mlporter.stores.filestore.tree import Tree
    from mlporter.stores.filestore.values import Meta

__all__ = ["read_datasets"]


def read_datasets(
    tree: Tree, path: str, number: int, spot: Spot
) -> tuple[dict[str, str], list[dict[str, object]]]:
    """The ids of an experiment's datasets by folder, and their rows."""
    ids: dict[str, str] = {}
    rows: dict[tuple[object, object], dict[str, object]] = {}
    for entry in tree.folders(path, spot):
        here = spot.at(f"{entry.name}/{META}")
        meta = read_meta(tree, f"{entry.path}/{META}", here)
        if meta is None:
            continue
        row = _row(meta, number, entry.name)
        there = rows.setdefault((row["name"], row["digest"]), row)
        if there is not row:
            here.told(
                "another dataset has the same name and digest: they are taken as one", "duplicate"
            )
        ids[entry.name] = str(there["dataset_uuid"])
    return ids, list(rows.values())


def _row(meta: Meta, number: int, folder: str) -> dict[str, object]:
    return {
        "experiment_id": number,
        "name": meta.text("name") or "",
        "digest": meta.text("digest") or "",
        "dataset_uuid": meta.text("dataset_uuid") or made_id("dataset", str(number), folder),
        "dataset_source_type": meta.text("source_type") or "",
        "dataset_source": meta.text("source") or "",
        "dataset_schema": meta.text("schema"),
        "dataset_profile": meta.text("profile"),
    }
