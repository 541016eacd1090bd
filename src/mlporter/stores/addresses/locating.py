"""From what a caller names to an address: a text, a path, or the name of a place."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.presence import is_seen
from mlporter.errors import UsageError
from mlporter.stores.addresses.address import parse_address, place_text
from mlporter.stores.addresses.environment import TRACKING_URI, environment_of
from mlporter.stores.addresses.named_places import is_name, named_places

if TYPE_CHECKING:
    from mlporter.stores.addresses.address import Address, Place

__all__ = ["address_text", "locate", "locate_users", "tracking_uri"]


def locate(place: Place, env: str | None = None) -> Address:
    """The address of a place, with the variables by which it is reached.

    Args:
        place: The text of an address, a path, or the name of a place in the config file.
        env: What the names of this side's own variables begin with, such as ``DEV_``; None for
            what the config file says of a named place.

    Raises:
        UsageError: it is no address; or there is no variable with the prefix.
        UnsupportedError: it names a kind of place that this release does not know.
    """
    address, typed, said = _named(place)
    found = parse_address(address, environment_of(said if env is None else env))
    return _typed(found, typed)


def locate_users(place: Place, registry: Address) -> Address:
    """The address of a database of users, reached as the registry that they are of.

    A named place with variables of its own is reached by these.

    Raises:
        UsageError, UnsupportedError: as `locate`.
    """
    address, typed, said = _named(place)
    environment = environment_of(said) if said else registry.environment
    return _typed(parse_address(address, environment), typed)


def address_text(place: Place) -> str:
    """The text of the address of a place, whatever is known of how it is reached.

    For a look at what kind of place it is; nothing is raised that `locate` would raise later.
    """
    try:
        return _named(place)[0]
    except UsageError:
        return ""


def tracking_uri(env: str | None) -> str | None:
    """The address that MLflow's own variable names for a side, or None."""
    return environment_of(env or "").get(TRACKING_URI)


def _typed(address: Address, typed: str) -> Address:
    return replace(address, typed=typed) if typed else address


def _named(place: Place) -> tuple[str, str, str]:
    """Address, name ("" if it was not a name) and prefix of variables of a place."""
    text = place_text(place)
    if isinstance(place, os.PathLike) or not is_name(text):
        return text, "", ""
    named = named_places().get(text)
    if named is None:
        return text, "", ""
    if is_seen(text):
        raise UsageError(
            f"is the name of a place in {named.file}, and a folder here",
            subject=text,
            hint=f"./{text} is the folder; for the place, give it another name in {named.file}",
        )
    return named.address, text, named.env
