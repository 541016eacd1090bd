"""Experiments: which folders are some, live and in the trash, and what each is copied as.

MLflow's database has each id and each name once. In a file store both may come twice, as what is
in the trash is looked at by nobody; then one of them gets another id or name here, as is reported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlporter.stores.addresses.file_store_folders import META, MODELS, TRASH, is_file_store
from mlporter.stores.filestore.notes import Spot
from mlporter.stores.filestore.tree import valid_name
from mlporter.stores.filestore.values import read_meta, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.stores.filestore.notes import Notes
    from mlporter.stores.filestore.tree import Tree
    from mlporter.stores.filestore.values import Meta

__all__ = ["Experiment", "find_experiments", "settle"]

_ACTIVE, _DELETED = "active", "deleted"


@dataclass(frozen=True)
class Experiment:
    """An experiment's folder, and what it is copied as.

    Attributes:
        path: The folder.
        place: The same below the root of the store.
        trashed: Whether it lies in the trash.
        number: Its id.
        name: Its name.
    """

    path: str
    place: str
    trashed: bool
    number: int
    name: str
    artifact_location: str | None = None
    lifecycle_stage: str | None = _ACTIVE
    creation_time: int | None = None
    last_update_time: int | None = None

    def row(self) -> dict[str, object]:
        """Its row of `experiments`."""
        return {
            "experiment_id": self.number,
            "name": self.name,
            "workspace": "default",
            "artifact_location": self.artifact_location,
            "lifecycle_stage": _DELETED if self.trashed else self.lifecycle_stage,
            "creation_time": self.creation_time,
            "last_update_time": self.last_update_time,
        }


def find_experiments(tree: Tree, notes: Notes) -> list[Experiment]:
    """All experiments of a store: the live ones first, then those in the trash."""
    found = [*_in_folder(tree, tree.root, "", notes, trashed=False)]
    trash = f"{tree.root}/{TRASH}"
    return [*found, *_in_folder(tree, trash, f"{TRASH}/", notes, trashed=True)]


def _in_folder(
    tree: Tree, path: str, prefix: str, notes: Notes, *, trashed: bool
) -> Iterator[Experiment]:
    for entry in tree.folders(path, Spot(notes, "experiments", "", prefix.rstrip("/") or ".")):
        if entry.name == TRASH or (not trashed and entry.name == MODELS):
            continue
        place = f"{prefix}{entry.name}"
        spot = Spot(notes, "experiments", entry.name, place)
        found = _experiment(tree, entry.path, spot, trashed=trashed)
        if found is not None:
            yield found


def _experiment(tree: Tree, path: str, spot: Spot, *, trashed: bool) -> Experiment | None:
    name = spot.id
    number = whole(name) if name.isascii() and name.isdigit() else None
    files = {entry.name for entry in tree.entries(path, spot) if not entry.is_dir}
    if META in files:
        meta = read_meta(tree, f"{path}/{META}", spot.at(META))
        if meta is not None:
            return _described(meta, path, number, spot, trashed=trashed)
    elif number is None:
        _say_what_it_is(path, spot)
        return None
    else:
        spot.lost(f"has no {META}: the experiment's name is not known", "missing")
    if number is None or not tree.folders(path, spot):
        return None
    # What is in it is there all the same, and needs an experiment to be in.
    name = valid_name(f"experiment_{name}", spot)
    return Experiment(path, spot.path, trashed, number, name)


def _described(
    meta: Meta, path: str, number: int | None, spot: Spot, *, trashed: bool
) -> Experiment | None:
    written = whole(meta.fields.get("experiment_id"))
    if number is None and written is None:
        meta.spot.lost("neither the folder nor the description has an experiment's id")
        return None
    if number is not None and written not in {None, number}:
        meta.spot.told(f"says experiment_id {written}; the folder's is used", "renamed")
    chosen = number if number is not None else written
    if chosen is None:
        return None
    return Experiment(
        path,
        spot.path,
        trashed,
        chosen,
        meta.text("name") or f"experiment_{chosen}",
        meta.text("artifact_location"),
        meta.text("lifecycle_stage", _ACTIVE),
        meta.number("creation_time"),
        meta.number("last_update_time"),
    )


def _say_what_it_is(path: str, spot: Spot) -> None:
    """A folder that is no experiment: a store of its own, or somebody else's."""
    if is_file_store(path):
        spot.told("is a file store of its own, not read: name it as the address", "nested")
    else:
        spot.told("is not an experiment: a folder without a number and a description", "foreign")


def settle(experiments: Iterable[Experiment], notes: Notes) -> list[Experiment]:
    """Give every experiment an id and a name of its own: the first keeps what two have."""
    found = list(experiments)
    taken = {one.number for one in found}
    names = {one.name for one in found}
    free = max(taken, default=0)
    numbers_seen: set[int] = set()
    names_seen: set[str] = set()
    settled = []
    for one in found:
        spot = Spot(notes, "experiments", str(one.number), one.place)
        number, name = one.number, one.name
        if number in numbers_seen:
            free += 1
            number = free
            spot.told(f"another experiment has the id {one.number}: copied as {number}", "renamed")
        if name in names_seen:
            name = _free_name(name, number, names)
            names.add(name)
            spot.told(
                f"another experiment has the name {one.name!r}: copied as {name!r}", "renamed"
            )
        numbers_seen.add(number)
        names_seen.add(name)
        settled.append(replace(one, number=number, name=name))
    return settled


def _free_name(name: str, number: int, taken: set[str]) -> str:
    candidate = f"{name} ({number})"
    while candidate in taken:
        candidate += "'"
    return candidate
