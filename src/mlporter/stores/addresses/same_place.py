"""Whether two addresses name one place, however they are spelt. No place is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from mlporter.stores.addresses.address import AddressKind, is_databricks

if TYPE_CHECKING:
    from pathlib import Path

    from mlporter.stores.addresses.address import Address

__all__ = ["identity_text", "is_same_place"]

_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}
_HERE = ("", "localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 -- to compare, not to listen
"""Ways to name this machine. A server that listens on one of them and another program that has the
same port on the next are not told apart: one has to be named otherwise then."""
_ELSEWHERE = ("host", "hostaddr", "port", "dbname", "options", "service", "unix_socket")
"""Words of a database's query that say which one it is."""


def is_same_place(one: Address, other: Address) -> bool:
    """Whether two addresses surely name one place.

    Passwords, default ports, drivers, upper case in host names and the slash at the end make no
    difference, and neither do the names of this machine.
    """
    if one.kind is not other.kind:
        return False
    try:
        return _identity(one) == _identity(other)
    except ValueError:
        # No port, or no host, that a parser would understand.
        return one.text == other.text


def identity_text(address: Address) -> str:
    """What tells a place from every other, as a text without secrets; the same however it is spelt.

    Of files it is the path, links followed: what is at that path may have been made anew.
    """
    if address.path is not None:
        return f"{address.kind.value} {address.path.resolve()}"
    try:
        return f"{address.kind.value} {_identity(address)}"
    except ValueError:
        return f"{address.kind.value} {address}"


def _identity(address: Address) -> tuple[object, ...]:
    if address.path is not None:
        return _real(address.path)
    if is_databricks(address.text):
        return (address.text,)
    if address.kind is AddressKind.SERVER:
        return _server(address)
    if address.is_in_object_storage:
        parts = urlsplit(address.text)
        return (parts.netloc, parts.path.strip("/"))
    return _database(address)


def _real(path: Path) -> tuple[object, ...]:
    resolved = path.resolve()
    try:
        found = resolved.stat()
    except OSError:
        return (str(resolved),)
    return (found.st_dev, found.st_ino)


def _server(address: Address) -> tuple[object, ...]:
    parts = urlsplit(address.text)
    scheme = parts.scheme.lower()
    return scheme, _host(parts.hostname), parts.port or _PORTS[scheme], parts.path.rstrip("/")


def _database(address: Address) -> tuple[object, ...]:
    """Host, port and name; of PostgreSQL the user too, as the schema may be called like him."""
    scheme = "mysql" if address.kind is AddressKind.MYSQL else "postgresql"
    parts = urlsplit(address.text)
    words = dict(parse_qsl(parts.query, keep_blank_values=True)) | address.libpq_words
    place = parts.netloc.rpartition("@")[2]
    host, port = (place, "") if "," in place else (parts.hostname or "", str(parts.port or ""))
    user = unquote(parts.username or words.get("user", "")) if scheme == "postgresql" else ""
    rest = {word: words.get(word, "") for word in _ELSEWHERE}
    host = host or rest.pop("host")
    port = port or rest.pop("port") or str(_PORTS[scheme])
    name = unquote(parts.path.strip("/")) or rest.pop("dbname")
    return (_host(host), port, name, user, *(rest.get(word, "") for word in _ELSEWHERE))


def _host(name: str | None) -> str:
    plain = (name or "").lower().rstrip(".")
    return "localhost" if plain in _HERE else plain
