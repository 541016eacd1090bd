"""An earlier snapshot of a source taken as what was last sent of it to a server.

A base is kept in the source's terms there: tags of the copies say what they are copies of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.artifacts.disk.copying import hash_stream
from mlporter.execute.files.artifact_files import open_guarded
from mlporter.execute.server.shared.parts import Matched
from mlporter.plan.deleted_rows import tombstones
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.ids.id_strings import names_ids, with_new_ids
from mlporter.plan.ids.mapped_rows import MappedReader
from mlporter.plan.side_reader import Nothing, experiments_of, models_of
from mlporter.plan.three_sides.row import Sides
from mlporter.plan.three_sides.sent.base import remember
from mlporter.plan.three_sides.sent.digests import digested
from mlporter.plan.three_sides.sent.sent_files import remember_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.plan.three_sides.sent.memory import Memory
    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["recall_names", "recall_snapshot"]


def recall_names(memory: Memory) -> None:
    """Remember what experiments were called: they are matched before all else."""
    if memory.snapshot is not None:
        names = {str(one.number): one.name for one in experiments_of(memory.snapshot)}
        memory.base.note("experiment_names", names)


def recall_snapshot(
    context: ServerContext,
    memory: Memory,
) -> None:
    """Remember what is in a snapshot, as if it had been sent now; nothing else is remembered.

    Args:
        context: The import; all that is there already is matched.
        memory: Names the snapshot; if it names none, nothing is done.
    """
    snapshot, base = memory.snapshot, memory.base
    if snapshot is None:
        return
    memory.snapshot = None
    base.take_as_known()
    numbers = frozenset(one.number for one in experiments_of(snapshot))
    models = frozenset(models_of(snapshot))
    sent = MappedReader(Matched(snapshot, numbers, models, tombstones(snapshot)), IdMap())
    nothing = MappedReader(Nothing(context.source.tables), IdMap())
    for entry in snapshot.tables:
        if entry.name not in (context.can.told_to_change or ()):
            continue
        pair = context.pair_of(entry, context.can.of(entry.name).matched)
        if pair is not None and pair.table.key:
            normalisers = context.normalisers_of(entry)
            sides = Sides(pair, sent, nothing, (normalisers, ()))
            remember(base, pair.table, digested(pair.table, sides.of_source()), ())
    remember_files(base, snapshot, lambda _, owner: owner, _as_sent(context, snapshot))


def _as_sent(context: ServerContext, snapshot: Source) -> Callable[[ArtifactFile], tuple[str, int]]:
    """Files are sent with the ids of the server in them."""

    def content(file: ArtifactFile) -> tuple[str, int]:
        if not names_ids(file.path, file.size):
            return file.sha256 or "", file.size
        with open_guarded(snapshot, file) as stream:
            return hash_stream(with_new_ids(file.path, stream, context.ids))

    return content
