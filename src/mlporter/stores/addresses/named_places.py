"""Places that have a name: what the config file says of them."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.uris.uri_text import UriMap
from mlporter.errors import UsageError
from mlporter.redaction import has_password, redact_address
from mlporter.stores.addresses.credentials import (
    Variable,
    kind_of_address,
    password_variable,
    read_variables,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["LOCAL", "NamedPlace", "is_name", "named_places", "names_hint", "users_file"]

LOCAL = "mlporter.toml"
"""The config file of the working folder."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_TAKEN = ("databricks", "databricks-uc")
_TEXTS = ("address", "env", "artifact_root")
_CREDENTIALS = ("password_command", "password_keyring", "variables")
_KEYS = (*_TEXTS, "map_uri", *_CREDENTIALS)
_HINT = (
    'a place reads [places.prod], and below it address = "https://mlflow.example.com" and, where '
    'it has variables of its own, env = "PROD_"'
)
_DATABASES = ("sqlite", "postgresql", "postgres", "mysql", "mariadb")


@dataclass(frozen=True, slots=True)
class NamedPlace:
    """What a name stands for.

    Attributes:
        address: The place.
        env: What the names of its own variables begin with; "" where it has none.
        file: Where that is said.
        artifact_root: Where it keeps files, as a target; "" where that is not said.
        uri_map: ``FROM=TO`` pairs: where its files are really found.
        variables: What the file says of its own variables, by their names without a prefix.
    """

    address: str
    env: str
    file: Path
    artifact_root: str = ""
    uri_map: tuple[str, ...] = ()
    variables: Mapping[str, Variable] = field(default_factory=dict, repr=False)


def is_name(text: str) -> bool:
    """Whether a text can be the name of a place: a word, and neither a path nor an address."""
    return _NAME.fullmatch(text) is not None and text not in _TAKEN


def named_places() -> dict[str, NamedPlace]:
    """All places that have a name: of the working folder's file, and else of the user's.

    Raises:
        UsageError: a file cannot be read, or says what it must not.
    """
    found: dict[str, NamedPlace] = {}
    for file in (users_file(), Path(LOCAL)):
        found |= dict(_read(file))
    return found


def names_hint(text: str) -> str | None:
    """The names that there are, for a word that is none of them and no folder; None without any."""
    names = sorted(named_places()) if is_name(text) else []
    return f"the names of places are {', '.join(names)}" if names else None


def users_file() -> Path:
    """The config file of the user, which may be missing."""
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "mlporter" / "config.toml"


def _read(file: Path) -> Iterator[tuple[str, NamedPlace]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"cannot be read: {reason}", subject=str(file)) from error
    content = _parsed(text, file)
    places = content.pop("places", {})
    if content or not isinstance(places, dict):
        raise _wrong(file, f"{next(iter(content), 'places')!r} is not a setting")
    for name, said in places.items():
        yield name, _place(name, said, file)


def _parsed(text: str, file: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 -- most commands name no place
    else:
        import tomli as tomllib  # noqa: PLC0415 -- as above
    try:
        content: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        # What the parser says may quote the line, and a secret with it.
        raise _wrong(file, "is no TOML") from None
    return content


def _place(name: str, said: object, file: Path) -> NamedPlace:
    if not is_name(name):
        raise _wrong(
            file, f"{name!r} is not a name for a place: a name is a word, without dots or /"
        )
    if not isinstance(said, dict):
        raise _wrong(file, f"places.{name} is not a table")
    for key, value in said.items():
        if key not in _KEYS:
            raise _wrong(file, f"places.{name} has {key!r}, and can have: {', '.join(_KEYS)}")
        if key in _TEXTS and not isinstance(value, str):
            raise _wrong(file, f"places.{name}.{key} is not a text")
    address, env = said.get("address", ""), said.get("env", "")
    if not address:
        raise _wrong(file, f"places.{name} has no address")
    _check_without_password(name, address, env, file)
    _check_trusted(name, said, file)
    return NamedPlace(
        address,
        env,
        file,
        _artifact_root(name, address, said.get("artifact_root", ""), file),
        _uri_map(name, said.get("map_uri", []), file),
        read_variables(said, address, f"places.{name}", file),
    )


def _wrong(file: Path, what: str, hint: str = _HINT) -> UsageError:
    return UsageError(what, subject=str(file), hint=hint)


def _check_without_password(name: str, address: str, env: str, file: Path) -> None:
    """A file is read by others, backed up and committed: no place for a password."""
    if not has_password(address):
        return
    prefix = env or "PROD_"
    variable = password_variable(address) or "MLFLOW_TRACKING_PASSWORD"
    user = " (with MLFLOW_TRACKING_USERNAME)" if variable.startswith("MLFLOW") else ""
    also = "" if env else f', and add env = "{prefix}"'
    raise UsageError(
        f"places.{name} has a password in its address {redact_address(address)}",
        subject=str(file),
        hint=f"take it out and set {prefix}{variable}{user} instead{also}; or let "
        f"password_command print it, in {users_file()}",
    )


def _check_trusted(name: str, said: Mapping[str, object], file: Path) -> None:
    """A folder's file may be somebody else's: it runs no program, and asks for no password."""
    for key in _CREDENTIALS:
        if key in said and file != users_file():
            raise _wrong(
                file,
                f"places.{name} has {key!r}, which the file of a folder cannot have: the folder "
                "may be somebody else's",
                f"move [places.{name}] to {users_file()}; or set its variables, and name what "
                "they begin with by env",
            )


_NO_PASSWORDS = "take it out, and set the variables of the store, such as AWS_SECRET_ACCESS_KEY"
_SUCH_AS = 'map_uri = ["/srv/mlruns=/mnt/mlruns"]'


def _artifact_root(name: str, address: str, root: str, file: Path) -> str:
    if root and kind_of_address(address) not in _DATABASES:
        raise _wrong(
            file,
            f"places.{name} has an artifact_root, and is no database",
            "leave it out: a server decides where it keeps files, and a bundle holds them",
        )
    if has_password(root):
        raise _wrong(
            file,
            f"places.{name}.artifact_root has a password in it",
            _NO_PASSWORDS,
        )
    return root


def _uri_map(name: str, said: object, file: Path) -> tuple[str, ...]:
    if not isinstance(said, list) or not all(isinstance(pair, str) for pair in said):
        raise _wrong(
            file,
            f"places.{name}.map_uri is not a list of texts",
            _SUCH_AS,
        )
    if any(has_password(side) for pair in said for side in (pair, *pair.split("="))):
        raise _wrong(
            file,
            f"places.{name}.map_uri has a password in it",
            _NO_PASSWORDS,
        )
    try:
        UriMap.parse(said)
    except UsageError as error:
        raise _wrong(
            file,
            f"places.{name}.map_uri: {error.message}",
            _SUCH_AS,
        ) from error
    return tuple(said)
