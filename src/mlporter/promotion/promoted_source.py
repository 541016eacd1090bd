"""A source that reads as if the version were already called what it will be in the target.

So a promotion is a transfer like any other: what the planner and the executors do for a copy holds
for it too. Only names and numbers of registered models differ, stages and aliases are left behind
(they move last), and of the rest of the registry nothing comes.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pyarrow as pa

from mlporter.artifacts.uris.uri_text import uri_below
from mlporter.catalogue.source_tags import OF_VERSIONS
from mlporter.execute.server.registry.version_sources import names_version
from mlporter.stores.protocols import Wrapped, elsewhere
from mlporter.stores.rows.version_locations import owner_roots, version_owner_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlporter.artifacts.uris.ownership import VersionKey
    from mlporter.promotion.checks.facts import VersionFacts
    from mlporter.stores.protocols import Among, ArtifactFile, Keep, Openable, Report, Source

__all__ = ["Move", "PromotedSource"]

_OF_VERSION = "model_version"
_OUTPUT = "RUN_OUTPUT"
_LOGGED_MODELS = ("logged_models", "logged_model_params", "logged_model_metrics")


@dataclass(frozen=True)
class Move:
    """A version, and what it is in the target.

    Attributes:
        facts: The version at the source.
        name: The registered model's name in the target.
        number: The version's number there.
        tags: Tags that the version gets beside its own.
        description: The version's description there; None for its own.
        stage: The stage that it has there already.
    """

    facts: VersionFacts
    name: str
    number: int
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    stage: str = "None"

    @property
    def key(self) -> VersionKey:
        """Workspace, name and number in the target."""
        return (self.facts.key[0], self.name, self.number)


class PromotedSource(Wrapped):
    """The versions of some moves and what they depend on, under their new names.

    Args:
        inner: A selection of these versions.
        moves: The versions.
        model: The target's row of the registered model, if it has one: it stays.
        listed: Of logged models that the target has, the lists of their versions there: they stay.
        model_only: Leave the run's files and logged models that are not the model's.
    """

    def __init__(
        self,
        inner: Source,
        moves: tuple[Move, ...],
        model: Mapping[str, Any] | None,
        *,
        listed: Mapping[str, str],
        model_only: bool = False,
    ) -> None:
        super().__init__(inner)
        self._moves = {move.facts.key: move for move in moves}
        self._model = model
        self._listed = listed
        self.sums: dict[tuple[str, str, str], str] = {}
        """SHA-256 (hex) of files that were read to their end: by owner kind and id, and path."""
        self._model_only = model_only
        self._owners = {
            version_owner_id(key): version_owner_id(move.key) for key, move in self._moves.items()
        }
        self._back = {new: old for old, new in self._owners.items()}
        self._change: Mapping[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = {
            "registered_models": self._models,
            "registered_model_tags": self._model_tags,
            "registered_model_aliases": lambda _rows: [],
            "model_versions": self._versions,
            "model_version_tags": lambda _rows: self._version_tags(),
            "logged_model_tags": self._logged_model_tags,
        }
        if model_only:
            of_models = dict.fromkeys(_LOGGED_MODELS, self._of_models)
            self._change = {**of_models, **self._change, "inputs": self._edges}

    # --- Rows -------------------------------------------------------------------------------------

    def count(self, table: str) -> int:
        """Rows of a table."""
        if table in self._change:
            return sum(batch.num_rows for batch in self.read(table))
        return self.inner.count(table)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key, under the new names."""
        change = self._change.get(table)
        entry = next((one for one in self.inner.tables if one.name == table), None)
        if change is None or entry is None:
            return self.inner.read(table, columns, among)
        rows = [row for batch in self.inner.read(table) for row in batch.to_pylist()]
        rows = change(rows)
        if among is not None:
            wanted = set(among.values)
            rows = [row for row in rows if row[among.column] in wanted]
        rows.sort(key=lambda row: [_order(row[name]) for name in entry.key])
        whole = pa.RecordBatch.from_pylist(rows, schema=entry.schema)
        return iter([whole if columns is None else whole.select(list(columns))] if rows else [])

    def _move_of(self, row: Mapping[str, Any]) -> Move | None:
        return self._moves.get((row.get("workspace") or "default", row["name"], row["version"]))

    def _models(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A model that the target has keeps its description."""
        said = {} if self._model is None else {"description": self._model["description"]}
        return [{**row, **said} for row in self._renamed(rows)]

    def _model_tags(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Tags of a model that the target has are the target's."""
        return [] if self._model is not None else self._renamed(rows)

    def _renamed(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows of the models whose versions come, under their new names."""
        names = {key[:2]: move.name for key, move in self._moves.items()}
        return [
            {**row, "name": names[key]}
            for row in rows
            if (key := (row.get("workspace") or "default", row["name"])) in names
        ]

    def _versions(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = []
        for row in rows:
            move = self._move_of(row)
            if move is not None:
                said = row["description"] if move.description is None else move.description
                place = self._places.get(move.facts.key, row["source"])
                found.append(
                    {
                        **row,
                        "name": move.name,
                        "version": move.number,
                        "description": said,
                        "current_stage": move.stage,
                        "source": place,
                    }
                )
        return found

    @cached_property
    def _places(self) -> dict[VersionKey, str]:
        """Where the files of copies of other versions are: these others do not come."""
        copies = {
            key: move.facts.owner
            for key, move in self._moves.items()
            if names_version(move.facts.row["source"] or "") and move.facts.owner is not None
        }
        if not copies:
            return {}
        roots = {(kind, id_): uri for kind, id_, uri in owner_roots(self.inner)}
        return {
            key: uri_below(root, owner.rest) if owner.rest else root
            for key, owner in copies.items()
            if (root := roots.get((owner.owner_kind, owner.owner_id)))
        }

    def _version_tags(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for move in self._moves.values():
            more = {"workspace": move.facts.key[0]} if "workspace" in self._columns else {}
            tags = {**move.facts.tags, **move.tags}
            found += [
                {**more, "name": move.name, "version": move.number, "key": key, "value": value}
                for key, value in tags.items()
            ]
        return found

    @cached_property
    def _columns(self) -> frozenset[str]:
        tables = (one for one in self.inner.tables if one.name == "model_version_tags")
        return frozenset(next(tables).by_name)

    def _logged_model_tags(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Without the list of versions of the source: the target has its own."""
        found = [row for row in rows if row["tag_key"] != OF_VERSIONS]
        homes = {row["model_id"]: row["experiment_id"] for row in rows}
        found += [
            {"model_id": model, "experiment_id": homes[model], "tag_key": OF_VERSIONS,
             "tag_value": value}
            for model, value in self._listed.items() if model in homes
        ]  # fmt: skip
        return self._of_models(found)

    def _of_models(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows of logged models that come."""
        return [row for row in rows if self._is_wanted(row["model_id"])]

    def _edges(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Inputs, and outputs of runs that come."""
        return [
            row
            for row in rows
            if row["source_type"] != _OUTPUT or self._is_wanted(row["destination_id"])
        ]

    def _is_wanted(self, model: str) -> bool:
        """Whether a logged model comes: without the run's others, only those of the versions."""
        return not self._model_only or model in {m.facts.model_id for m in self._moves.values()}

    # --- Files ------------------------------------------------------------------------------------

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """The files, by the owners that they will have."""

        def is_kept(kind: str, owner: str) -> bool:
            if kind == _OF_VERSION:
                if owner not in self._owners:
                    return False
                owner = self._owners[owner]
            return keep is None or keep(kind, owner)

        own: list[ArtifactFile] = []
        for file in self.inner.files(report, is_kept):
            if file.owner_kind == _OF_VERSION:
                own.append(replace(file, owner_id=self._owners[file.owner_id]))
            elif self._comes(file):
                # Versions sort after logged models, and before runs.
                if own and file.owner_kind > _OF_VERSION:
                    yield from _in_order(own)
                    own = []
                yield file
        yield from _in_order(own)

    def _comes(self, file: ArtifactFile) -> bool:
        """Whether a file is wanted: of a run, all or only the model's."""
        if file.owner_kind == "logged_model":
            return self._is_wanted(file.owner_id)
        if not self._model_only or file.owner_kind != "run":
            return True
        below = (
            move.facts.owner.rest
            for move in self._moves.values()
            if move.facts.owner is not None
            and (move.facts.owner.owner_kind, move.facts.owner.owner_id) == ("run", file.owner_id)
        )
        return any(not rest or file.path.startswith(f"{rest}/") for rest in below)

    @contextmanager
    def open_file(self, file: ArtifactFile) -> Iterator[BinaryIO]:
        """The bytes of a file, whose sum is noted as they are read."""
        file = self._at_source(file)
        with self.inner.open_file(file) as stream:
            hashed = _Hashed(stream)
            yield cast("BinaryIO", hashed)
        if hashed.size == file.size:
            self.sums[file.owner_kind, file.owner_id, file.path] = hashed.digest.hexdigest()

    def _at_source(self, file: ArtifactFile) -> ArtifactFile:
        """A file by the owner that it has at the source."""
        if file.owner_kind == _OF_VERSION:
            return replace(file, owner_id=self._back[file.owner_id])
        return file

    def elsewhere(self, file: ArtifactFile) -> Openable | None:
        """Where other processes find them."""
        return elsewhere(self.inner, self._at_source(file))

    def read_elsewhere(self, file: ArtifactFile, sha256: str) -> None:
        """Note the sum of a file that another process read."""
        file = self._at_source(file)
        self.sums[file.owner_kind, file.owner_id, file.path] = sha256


class _Hashed:
    """A stream that hashes what is read of it, from its beginning on."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        """Read like the stream itself."""
        block = self._stream.read(size)
        self.digest.update(block)
        self.size += len(block)
        return block


def _in_order(files: list[ArtifactFile]) -> list[ArtifactFile]:
    return sorted(files, key=lambda file: (file.owner_id.encode(), file.path.encode()))


def _order(value: object) -> tuple[int, Any]:
    """Nothing before texts, by their bytes; numbers by size."""
    if value is None:
        return (0, 0)
    return (1, value.encode() if isinstance(value, str) else value)


def listed_versions(before: str | None, moves: tuple[Move, ...]) -> str:
    """The list of a logged model's versions in the target, with new ones; as MLflow writes it."""
    try:
        found = json.loads(before or "[]")
    except ValueError:
        found = []
    there = {(str(one.get("name")), str(one.get("version"))) for one in found}
    new = [move for move in moves if (move.name, str(move.number)) not in there]
    found += [{"name": move.name, "version": move.number} for move in new]
    return json.dumps(found)
