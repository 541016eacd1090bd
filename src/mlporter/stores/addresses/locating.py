"""From what a caller names to an address: a text, a path, or the name of a place."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.presence import is_seen
from mlporter.errors import UsageError
from mlporter.stores.addresses.address import parse_address, place_text
from mlporter.stores.addresses.credentials import values_of
from mlporter.stores.addresses.environment import TRACKING_URI, environment_of
from mlporter.stores.addresses.named_places import is_name, named_places

if TYPE_CHECKING:
    from mlporter.stores.addresses.address import Address, Place
    from mlporter.stores.addresses.environment import Environment
    from mlporter.stores.addresses.named_places import NamedPlace

__all__ = ["address_text", "asks_for_secrets", "locate", "locate_users", "tracking_uri"]


def locate(place: Place, env: str | None = None) -> Address:
    """The address of a place, with the variables by which it is reached.

    Args:
        place: The text of an address, a path, or the name of a place in the config file.
        env: What the names of this side's own variables begin with, such as ``DEV_``; None for
            what the config file says of a named place.

    Raises:
        UsageError: it is no address; or there is no variable with the prefix.
        UnsupportedError: it names a kind of place that this release does not know.
        UnreachableError: a secret cannot be had from where the config file says that it is.
    """
    text, named = _named(place)
    return _reached(text, named, _environment(named) if env is None else environment_of(env))


def locate_users(place: Place, registry: Address) -> Address:
    """The address of a database of users, reached as the registry that they are of.

    A named place with variables of its own is reached by these.

    Raises:
        UsageError, UnsupportedError, UnreachableError: as `locate`.
    """
    text, named = _named(place)
    has_own = named is not None and (named.env or named.variables)
    return _reached(text, named, _environment(named) if has_own else registry.environment)


def address_text(place: Place) -> str:
    """The text of the address of a place, whatever is known of how it is reached.

    For a look at what kind of place it is; nothing is raised that `locate` would raise later.
    """
    try:
        text, named = _named(place)
    except UsageError:
        return ""
    return text if named is None else named.address


def asks_for_secrets(place: Place) -> bool:
    """Whether a program or the keyring is asked where a place is located.

    Raises:
        UsageError: the config file says what it must not.
    """
    _, named = _named(place)
    return named is not None and any(not isinstance(v, str) for v in named.variables.values())


def tracking_uri(env: str | None) -> str | None:
    """The address that MLflow's own variable names for a side, or None."""
    return environment_of(env or "").get(TRACKING_URI)


def _environment(named: NamedPlace | None) -> Environment:
    if named is None:
        return environment_of("")
    said = partial(values_of, named.variables) if named.variables else None
    return environment_of(named.env, said=said)


def _reached(text: str, named: NamedPlace | None, environment: Environment) -> Address:
    if named is None:
        return parse_address(text, environment)
    return replace(
        parse_address(named.address, environment),
        typed=text,
        artifact_root=named.artifact_root,
        uri_map=named.uri_map,
    )


def _named(place: Place) -> tuple[str, NamedPlace | None]:
    """The text of a place, and what it is the name of."""
    text = place_text(place)
    if isinstance(place, os.PathLike) or not is_name(text):
        return text, None
    named = named_places().get(text)
    if named is not None and is_seen(text):
        raise UsageError(
            f"is the name of a place in {named.file}, and a folder here",
            subject=text,
            hint=f"./{text} is the folder; for the place, give it another name in {named.file}",
        )
    return text, named
