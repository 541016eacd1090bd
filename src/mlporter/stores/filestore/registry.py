"""The model registry of a file store: models and prompts, versions, tags, aliases, stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.stores.addresses.file_store_folders import META, MODELS
from mlporter.stores.filestore.notes import Spot
from mlporter.stores.filestore.tree import valid_name
from mlporter.stores.filestore.values import read_meta, text_of, texts_below, whole

if TYPE_CHECKING:
    from mlporter.stores.filestore.notes import Notes
    from mlporter.stores.filestore.reading import Rows
    from mlporter.stores.filestore.tree import Entry, Tree
    from mlporter.stores.filestore.values import Meta

__all__ = ["read_registry"]

_VERSION = "version-"
_WORKSPACE = {"workspace": "default"}


def read_registry(tree: Tree, notes: Notes, rows: Rows) -> None:
    """Read all registered models."""
    top = Spot(notes, "registered_models", MODELS, MODELS)
    for entry in tree.folders(f"{tree.root}/{MODELS}", top):
        spot = Spot(notes, "registered_models", entry.name, f"{MODELS}/{entry.name}")
        _model(tree, entry, spot, rows)


def _model(tree: Tree, entry: Entry, spot: Spot, rows: Rows) -> None:
    entries = {one.name: one for one in tree.entries(entry.path, spot)}
    versions = [one for name, one in entries.items() if name.startswith(_VERSION) and one.is_dir]
    if META not in entries and not versions:
        spot.told(f"is not a registered model: it has no {META}", "foreign")
        return
    meta = read_meta(tree, f"{entry.path}/{META}", spot.at(META))
    folder = valid_name(entry.name, spot)
    # Versions of a model that cannot be described need a model to be of.
    name = (meta.text("name") if meta is not None else None) or folder
    if not rows.claim("registered_models", name, spot):
        return
    rows.add("registered_models", _model_row(meta, name))
    for key, value in texts_below(
        tree, f"{entry.path}/tags", spot.at("tags", "registered_model_tags")
    ):
        row = {**_WORKSPACE, "name": name, "key": key, "value": value}
        rows.add("registered_model_tags", row)
    for version in versions:
        _version(tree, version, name, spot.at(version.name, "model_versions"), rows)
    _aliases(tree, f"{entry.path}/aliases", name, spot.at("aliases"), rows)


def _aliases(tree: Tree, path: str, name: str, spot: Spot, rows: Rows) -> None:
    spot = spot.of("registered_model_aliases", name)
    for alias, file in tree.files_below(path, spot):
        here = spot.at(alias)
        data = tree.read(file, here)
        if data is None:
            continue
        version = whole(text_of(data, here).strip())
        if version is None:
            here.lost(f"line 1: {data[:80]!r} is not a version")
            continue
        row = {**_WORKSPACE, "name": name, "alias": alias, "version": version}
        rows.add("registered_model_aliases", row)


def _model_row(meta: Meta | None, name: str) -> dict[str, object]:
    if meta is None:
        return {**_WORKSPACE, "name": name}
    return {
        **_WORKSPACE,
        "name": name,
        "creation_time": meta.number("creation_timestamp"),
        "last_updated_time": meta.number("last_updated_timestamp"),
        "description": meta.text("description"),
    }


def _version(tree: Tree, entry: Entry, name: str, spot: Spot, rows: Rows) -> None:
    meta = read_meta(tree, f"{entry.path}/{META}", spot.at(META))
    if meta is None:
        return
    number = whole(meta.fields.get("version"))
    if number is None:
        number = whole(entry.name.removeprefix(_VERSION))
    if number is None:
        spot.at(META).lost("the version has no number")
        return
    if not rows.claim("model_versions", f"{name}/{number}", spot):
        return
    rows.add("model_versions", _version_row(meta, name, number))
    tags = spot.at("tags", "model_version_tags")
    for key, value in texts_below(tree, f"{entry.path}/tags", tags):
        row = {**_WORKSPACE, "name": name, "version": number, "key": key, "value": value}
        rows.add("model_version_tags", row)


def _version_row(meta: Meta, name: str, number: int) -> dict[str, object]:
    return {
        **_WORKSPACE,
        "name": name,
        "version": number,
        "creation_time": meta.number("creation_timestamp"),
        "last_updated_time": meta.number("last_updated_timestamp"),
        "description": meta.text("description"),
        "user_id": meta.text("user_id"),
        "current_stage": meta.text("current_stage", "None"),
        "source": meta.text("source"),
        "storage_location": meta.text("storage_location"),
        "run_id": meta.text("run_id"),
        "run_link": meta.text("run_link"),
        "status": meta.text("status", "READY"),
        "status_message": meta.text("status_message"),
    }
