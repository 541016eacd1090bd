"""Places that have a name: what the config file says of them."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlporter.errors import UsageError
from mlporter.redaction import has_password, redact_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["LOCAL", "NamedPlace", "is_name", "named_places", "names_hint"]

LOCAL = "mlporter.toml"
"""The config file of the working folder."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_TAKEN = ("databricks", "databricks-uc")
_KEYS = ("address", "env")
_HINT = (
    'a place reads [places.prod], and below it address = "https://mlflow.example.com" and, where '
    'it has variables of its own, env = "PROD_"'
)


@dataclass(frozen=True, slots=True)
class NamedPlace:
    """What a name stands for.

    Attributes:
        address: The place.
        env: What the names of its own variables begin with; "" where it has none.
        file: Where that is said.
    """

    address: str
    env: str
    file: Path


def is_name(text: str) -> bool:
    """Whether a text can be the name of a place: a word, and neither a path nor an address."""
    return _NAME.fullmatch(text) is not None and text not in _TAKEN


def named_places() -> dict[str, NamedPlace]:
    """All places that have a name: of the working folder's file, and else of the user's.

    Raises:
        UsageError: a file cannot be read, or says what it must not.
    """
    found: dict[str, NamedPlace] = {}
    for file in (_users_file(), Path(LOCAL)):
        found |= dict(_read(file))
    return found


def names_hint(text: str) -> str | None:
    """The names that there are, for a word that is none of them and no folder; None without any."""
    names = sorted(named_places()) if is_name(text) else []
    return f"the names of places are {', '.join(names)}" if names else None


def _users_file() -> Path:
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
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise _wrong(file, f"places.{name} is not a table of texts")
    for key in said:
        if key not in _KEYS:
            raise _wrong(file, f"places.{name} has {key!r}, and can have: {', '.join(_KEYS)}")
    address, env = said.get("address", ""), said.get("env", "")
    if not address:
        raise _wrong(file, f"places.{name} has no address")
    _check_without_password(name, address, env, file)
    return NamedPlace(address, env, file)


def _wrong(file: Path, what: str) -> UsageError:
    return UsageError(what, subject=str(file), hint=_HINT)


def _check_without_password(name: str, address: str, env: str, file: Path) -> None:
    """A file is read by others, backed up and committed: no place for a password."""
    if not has_password(address):
        return
    prefix = env or "PROD_"
    variable = f"{prefix}{_VARIABLES.get(urlsplit(address).scheme.partition('+')[0], _WEB)}"
    also = "" if env else f', and add env = "{prefix}"'
    raise UsageError(
        f"places.{name} has a password in its address {redact_address(address)}",
        subject=str(file),
        hint=f"take it out and set {variable} instead{also}",
    )


_WEB = "MLFLOW_TRACKING_PASSWORD (with MLFLOW_TRACKING_USERNAME)"
_VARIABLES: Mapping[str, str] = {
    "postgresql": "PGPASSWORD",
    "postgres": "PGPASSWORD",
    "mysql": "MYSQL_PWD",
    "mariadb": "MYSQL_PWD",
}
