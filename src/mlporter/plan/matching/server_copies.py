"""Copies on a server: known by the tags that say whose copies they are, or by what is said of them.

A copy is known by the id of what it was first copied from, so that a copy of a copy, and what comes
back to where it came from, are found as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue import source_tags
from mlporter.plan.deleted_rows import how_to_restore
from mlporter.plan.matching.natural_keys import tagged
from mlporter.plan.matching.strategies import SERVER, By
from mlporter.plan.side_reader import datasets_of
from mlporter.plan.units import EXPERIMENTS
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from mlporter.plan.matching.names import Match
    from mlporter.plan.policy import Policy
    from mlporter.plan.side_reader import Reader

    Ids = dict[str, dict[str, str]]
    Home = Callable[[int], int | None]

__all__ = ["by_source_tags", "datasets_there", "deleted_models", "numbered", "other_tags"]
__all__ += ["why_not"]

_TAGGED: Mapping[str, tuple[str, str, str]] = {
    "runs": ("run_uuid", "tags", source_tags.RUN),
    "logged_models": ("model_id", "logged_model_tags", source_tags.LOGGED_MODEL),
    "evaluation_datasets": ("dataset_id", "evaluation_dataset_tags", source_tags.DATASET),
}
"""By table, the column of its ids, the table of its tags, and the tag of its copies."""

_IN_EXPERIMENTS = frozenset({"runs", "logged_models"})


def numbered(reader: Reader) -> dict[int, str]:
    """Experiments that are copies, and the number that each has where it comes from."""
    found = tagged(reader, "experiment_tags", "experiment_id", source_tags.EXPERIMENT)
    return {int(number): value for number, value in found}


def by_source_tags(left: Reader, right: Reader, home: Home | None = None) -> Ids:
    """By table, the right side's ids of what is known by its tag (`By.TAG`).

    Args:
        left: One side.
        right: The other.
        home: The right side's experiment of one of the left side's: a copy counts in it alone. None
            where it does not matter.
    """
    tables = (name for name, by in SERVER.items() if By.TAG in by and name != EXPERIMENTS)
    return {table: _by_source_tag(left, right, table, home) for table in tables}


def _by_source_tag(left: Reader, right: Reader, table: str, home: Home | None) -> dict[str, str]:
    column, tags, key = _TAGGED[table]
    placed = home is not None and table in _IN_EXPERIMENTS
    columns = (column, "experiment_id") if placed else (column,)
    mine = list(rows_of(left, table, columns))
    if not mine:
        return {}  # what there is not, no server is asked for
    origin = dict(tagged(right, tags, column, key))
    there = {(*place, origin.get(id_, id_)): id_ for id_, *place in rows_of(right, table, columns)}
    origin = dict(tagged(left, tags, column, key))
    found = {}
    for id_, *place in mine:
        goes = [home(number) for number in place] if home is not None else []
        copy = there.get((*goes, origin.get(id_, id_)))
        if copy is not None:
            found[id_] = copy
    return found


def deleted_models(reader: Reader, experiments: Collection[int] | None = None) -> dict[str, str]:
    """Copies of logged models that were deleted, as their originals are: no server lists them.

    Args:
        reader: The side with the copies.
        experiments: Where to look; None is everywhere.
    """
    columns = ("experiment_id", "key", "value")
    return {
        key.removeprefix(source_tags.DELETED_MODEL): value
        for number, key, value in rows_of(reader, "experiment_tags", columns)
        if key.startswith(source_tags.DELETED_MODEL)
        and (experiments is None or number in experiments)
    }


def datasets_there(left: Reader, right: Reader, home: Home) -> dict[str, str]:
    """The left side's ids of datasets by the right side's: no server shows an id of its own."""
    there = {(d.experiment, d.name, d.digest): d.uuid for d in datasets_of(right)}
    found = {}
    for one in datasets_of(left):
        uuid = there.get((home(one.experiment), one.name, one.digest))  # type: ignore[arg-type]
        if uuid is not None:
            found[uuid] = one.uuid
    return found


# --- What is in the way ---------------------------------------------------------------------------


def why_not(matches: Mapping[int, Match], ours: Collection[int], policy: Policy) -> dict[int, str]:
    """Why experiments cannot be put into those of their names.

    Args:
        matches: Which is matched with which.
        ours: Experiments of the server that are copies.
        policy: Whether what is in its trash is restored.
    """
    found = {}
    for number, match in matches.items():
        if match.there is None or match.there.stage == match.source.stage:
            continue
        if match.there.stage == "deleted":
            if not policy.restores:
                number_there = str(match.there.number)
                how = how_to_restore(EXPERIMENTS, number_there, policy.way_to_restore)
                found[number] = f"{how}, or choose another name with --rename"
        elif match.there.number not in ours:
            found[number] = "it is active on the server, and deleted here"
    return found


def other_tags(
    source: Reader, server: Reader, matches: Mapping[int, Match], ours: Collection[int]
) -> dict[int, str]:
    """Experiments of others whose tags have other values, and which tag it is."""
    foreign = {
        match.there.number: number
        for number, match in matches.items()
        if match.there is not None and match.there.number not in ours
    }
    if not foreign:
        return {}
    columns = ("experiment_id", "key", "value")
    there = {
        (foreign[number], key): value
        for number, key, value in rows_of(server, "experiment_tags", columns)
        if number in foreign
    }
    found = {}
    for number, key, value in rows_of(source, "experiment_tags", columns):
        if there.get((number, key), value) != value and not key.startswith(source_tags.OURS):
            found[number] = f"its tag is different on the server: {key!r}"
    return found
