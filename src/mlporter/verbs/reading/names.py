"""Names of a place's experiments and models, for a shell that completes a word: at once or not."""

from __future__ import annotations

from contextlib import closing
from threading import Thread
from typing import TYPE_CHECKING

from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.addresses.locating import asks_for_secrets, locate
from mlporter.stores.opening import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlporter.stores.addresses.address import Address, Place

    _Read = Callable[[Address, str, list[str]], None]

__all__ = ["quick_names_of"]

_PATIENCE = 1.0
"""Seconds that somebody who pressed the tabulator waits for another machine."""
_AT_HOME = 5.0
"""Seconds for this one, which answers at once, as a rule."""
_MOST = 200


def quick_names_of(
    place: Place, table: str, beginning: str = "", source_env: str | None = None
) -> Sequence[str]:
    """Names that begin with a text, sorted; none where they cannot be had within a second.

    Nobody is asked for a secret: a place whose secrets a program prints has none to show.

    Args:
        place: The place.
        table: ``experiments`` or ``registered_models``.
        beginning: What they begin with.
        source_env: What the names of the place's own variables begin with.

    Raises:
        MlporterError: it is no place.
    """
    if asks_for_secrets(place) and source_env is None:
        return ()
    address = locate(place, source_env)
    found: list[str] = []
    read, patience = _way(address)
    # What hangs is left behind: the process ends with the answer.
    worker = Thread(target=_quietly, args=(read, address, table, found), daemon=True)
    worker.start()
    worker.join(patience)
    names = {name for name in tuple(found) if name.startswith(beginning)}
    return sorted(names)[:_MOST]


def _way(place: Address) -> tuple[_Read, float]:
    """What reads a place, and how long it may take; what it imports is loaded before."""
    if place.kind is AddressKind.SERVER:
        from mlporter.stores.rest.quick_names import quick_names  # noqa: PLC0415 -- servers only

        def ask(place: Address, table: str, found: list[str]) -> None:
            found.extend(quick_names(place, table, _PATIENCE))

        return ask, _PATIENCE
    if place.kind in {AddressKind.POSTGRESQL, AddressKind.MYSQL}:
        from mlporter.stores.database import source  # noqa: F401, PLC0415 -- loaded for others

        return _reading, _PATIENCE
    return _reading, _PATIENCE if place.is_in_object_storage else _AT_HOME


def _reading(place: Address, table: str, found: list[str]) -> None:
    with closing(open_source(place)) as source:
        for batch in source.read(table, ("name",)):
            found.extend(str(name) for name in batch.column("name").to_pylist())


def _quietly(read: _Read, place: Address, table: str, found: list[str]) -> None:
    try:
        read(place, table, found)
    except Exception:  # noqa: BLE001 -- whatever it is, it is said by the command that is typed
        found.clear()
