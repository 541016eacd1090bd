"""A source as the target will see it: ids mapped, and without what is not to be copied."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from mlporter.catalogue import BY_NAME
from mlporter.catalogue.tables.own import OWNER_TABLES, owner_key, skill_owner_id
from mlporter.plan.ids.id_strings import names_ids, with_new_ids
from mlporter.plan.ids.mapped_fields import mapped_fields
from mlporter.plan.ids.mapped_rows import MappedReader, map_batch
from mlporter.plan.ids.resorting import resorted_files
from mlporter.plan.units import OWNED, key_text
from mlporter.stores.protocols import elsewhere, read_elsewhere
from mlporter.stores.rows.other_places import OTHER, new_places, other_owner, parts_of_owner
from mlporter.stores.rows.unknown_fields import field_rows, sorted_fields, unknown_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut
    from mlporter.plan.ids.id_map import IdMap
    from mlporter.plan.units import Choice
    from mlporter.stores.protocols import (
        ArtifactFile,
        Description,
        Keep,
        Openable,
        Report,
        Source,
    )

__all__ = ["MappedSource"]


class MappedSource(MappedReader):
    """`mlporter.stores.protocols.Source` over another one."""

    def __init__(self, inner: Source, ids: IdMap, choice: Choice | None = None) -> None:
        super().__init__(inner, ids, choice)
        self._inner = inner
        self._counts: dict[str, int] = {}

    @property
    def description(self) -> Description:
        """What and where the source is."""
        return self._inner.description

    def count(self, table: str) -> int:
        """Rows of a table that are copied."""
        if not self.drops(table):
            return self._inner.count(table)
        if table not in self._counts:
            self._counts[table] = self._count(self._by_name[table])
        return self._counts[table]

    def _count(self, entry: Table) -> int:
        alone = entry.name in self._choice.rows or entry.name in self._choice.besides
        if alone or entry.name not in OWNED:
            return sum(batch.num_rows for batch in self.read(entry.name, entry.order))
        owned = OWNED[entry.name]
        chosen = self._choice.units[owned.entity]
        if not chosen.keys:
            return self._inner.count(entry.name) if chosen.without else 0
        batches = self._inner.read(entry.name, owned.columns, self._pushed(entry))
        return sum(batch.num_rows for batch in self._carried(entry, batches))

    # --- Files --------------------------------------------------------------------------------

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """The files of what is copied, by the target's ids."""

        def kept(kind: str, owner: str) -> bool:
            return self._keeps(kind, owner) and (keep is None or keep(kind, owner))

        found = self._inner.files(report, None if self._choice.is_all and keep is None else kept)
        if self.ids.is_identity:
            yield from found
            return
        changed = self._with_new_owners(found)
        kept_order = all(e in self.ids.ordered for e in OWNER_TABLES.values() if self.ids.of(e))
        has_others = any(new_places(table) for table in self.tables)
        kept_order = kept_order and not has_others
        yield from changed if kept_order and not self.ids.models else resorted_files(changed)

    def _with_new_owners(self, files: Iterator[ArtifactFile]) -> Iterator[ArtifactFile]:
        for file in files:
            owner = self._owner(file.owner_kind, file.owner_id)
            changed = replace(file, owner_id=owner)
            if self._renames(changed) and file.sha256 is not None:
                # Its sum will be another; where to find it is in the token too.
                changed = replace(changed, sha256=None)
            yield changed

    def _renames(self, file: ArtifactFile) -> bool:
        """Whether ids in a file change."""
        ids = self.ids
        changed = ids.of("runs") or ids.of("logged_models") or ids.of("trace_info")
        return bool(changed) and names_ids(file.path, file.size)

    def _keeps(self, kind: str, owner: str) -> bool:
        if kind == "orphan":
            return True
        if kind == OTHER:
            return self._keeps_other(owner)
        table = OWNER_TABLES[kind]
        parts = dict(zip(BY_NAME[table].key, owner_key(kind, owner), strict=True))
        unit = OWNED[table]
        chosen = self._choice.units.get(unit.entity)
        return chosen is None or chosen.has(key_text(parts[name] for name in unit.columns))

    def _owner(self, kind: str, owner: str) -> str:
        if kind == "orphan":
            return owner
        if kind == OTHER:
            return self._other(owner)[1]
        if kind == "skill_version":
            workspace, *rest = owner_key(kind, owner)
            return skill_owner_id(self.ids.workspace(workspace), *rest)
        if kind != "model_version":
            return self.ids.of(OWNER_TABLES[kind]).get(owner, owner)
        workspace, name, version = owner_key(kind, owner)
        new = self.ids.model(workspace, name)
        return f"{self.ids.workspace(workspace)}/{new}/{version}"

    def _other(self, owner: str) -> tuple[pa.RecordBatch, str]:
        """The key of a row that owns files: in the source's terms, and as an owner in the target's.

        A column that is not of the key says nothing here.
        """
        table, column, key = parts_of_owner(owner)
        entry = self._by_name[table]
        fields = [entry.schema.field(name) for name in entry.order]
        arrays = [pa.array([p]).cast(f.type) for p, f in zip(key, fields, strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
        (row,) = map_batch(entry, batch, self.ids).to_pylist()
        return batch, other_owner(table, column, row.values())

    def _keeps_other(self, owner: str) -> bool:
        """Whether a row that owns files is copied."""
        table, _, _ = parts_of_owner(owner)
        if not self.drops(table):
            return True
        entry = self._by_name[table]
        if table in OWNED and not set(OWNED[table].columns) <= set(entry.order):
            return True  # Whose it is stands elsewhere in the row.
        batch, _ = self._other(owner)
        kept = [b for b in self._carried(entry, iter([batch])) if b.num_rows]
        mapped = (map_batch(entry, b, self.ids) for b in kept)
        return any(self._left(entry, b).num_rows for b in mapped)

    @contextmanager
    def open_file(self, file: ArtifactFile) -> Iterator[BinaryIO]:
        """The bytes of a file, which names the ids that its owner has in the target."""
        with self._inner.open_file(file) as stream:
            yield with_new_ids(file.path, stream, self.ids) if self._renames(file) else stream

    def elsewhere(self, file: ArtifactFile) -> Openable | None:
        """Where other processes find them, unless they name ids."""
        return None if self._renames(file) else elsewhere(self._inner, file)

    def read_elsewhere(self, file: ArtifactFile, sha256: str) -> None:
        """Hear of a file that another process read."""
        read_elsewhere(self._inner, file, sha256)

    def unknown_fields(self) -> Iterator[pa.RecordBatch]:
        """Fields of a newer server, by the target's ids."""
        if self.ids.is_identity:
            return unknown_fields(self._inner)
        return sorted_fields(mapped_fields(field_rows(self._inner), self.ids))

    def losses(self) -> Iterator[LeftOut]:
        """What its tables hold and cannot be read."""
        return self._inner.losses()

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of how it was read."""
        return self._inner.notes

    def close(self) -> None:
        """End the snapshot."""
        self._inner.close()
