"""Addresses: one syntax for every place a registry can live in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path
from shlex import quote
from typing import Union
from urllib.parse import unquote, urlsplit

from mlporter.artifacts.looking import is_file, is_there
from mlporter.artifacts.uris import local_path
from mlporter.bundle.layout import MANIFEST
from mlporter.errors import UnsupportedError, UsageError
from mlporter.redaction import needs_encoding, redact, redact_address, remember_password
from mlporter.stores.filestore.folders import is_file_store

__all__ = ["Address", "AddressKind", "Place", "is_databricks", "is_same_place", "parse_address"]
__all__ += ["place_text"]

Place = Union[str, "os.PathLike[str]"]
"""What the functions of the API take for a place: an address, or the path of a folder."""

_KINDS = (
    "bundle directories, mlruns folders, sqlite:///, postgresql:// and mysql:// databases, http:// "
    "and https:// tracking servers, and databricks"
)


class AddressKind(str, Enum):
    """What an address names."""

    BUNDLE = "bundle"
    FILESTORE = "filestore"
    """A folder such as `mlruns`, whatever it is called."""
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    """MySQL and MariaDB."""
    SERVER = "server"
    """A tracking server, by its web address or as ``databricks``."""


@dataclass(frozen=True)
class Address:
    """A parsed address.

    Attributes:
        kind: What it names.
        text: As given; may hold a password, so it is never shown.
        path: The directory of a bundle or a file store, or the file of an SQLite database.
    """

    kind: AddressKind
    text: str
    path: Path | None = None

    def __str__(self) -> str:
        return redact_address(self.text)

    def __repr__(self) -> str:
        return f"Address({self})"

    @property
    def libpq(self) -> str:
        """The connection string that PostgreSQL's own client library takes."""
        return "postgresql://" + self.text.partition("://")[2]

    @property
    def upgrade_command(self) -> str:
        """The command by which MLflow brings this database to its newest schema; redacted."""
        url = str(self) if self.kind is AddressKind.SQLITE else redact(self.sqlalchemy)
        return f"mlflow db upgrade {quote(url)}"

    @property
    def sqlalchemy(self) -> str:
        """The URL that MLflow takes: psycopg2 or PyMySQL, whatever SQLAlchemy's default is."""
        if self.kind is AddressKind.SQLITE:
            return f"sqlite:///{self.path}"
        driver = "mysql+pymysql" if self.kind is AddressKind.MYSQL else "postgresql+psycopg2"
        return f"{driver}://" + self.text.partition("://")[2]


def is_same_place(one: Address, other: Address) -> bool:
    """Whether two addresses name the same file, or are the same text."""
    if one.path is not None and other.path is not None:
        return one.path.resolve() == other.path.resolve()
    return one.text == other.text


def place_text(place: Place) -> str:
    """A place as the text of its address.

    Raises:
        UsageError: it is neither a text nor a path.
    """
    try:
        text = os.fspath(place)
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise UsageError(
            f"an address is a text or a path, not {type(place).__name__}",
            hint="such as 'sqlite:///mlflow.db', 'http://host:5000' or Path('backup')",
        )
    return text


def parse_address(text: str) -> Address:
    """Tell what an address names.

    Raises:
        UsageError: it is no address at all.
        UnsupportedError: it names a kind of place that this release does not know.
    """
    if not text.strip():
        raise UsageError("an address is empty", hint="name a bundle directory or a database URL")
    remember_password(text)
    if needs_encoding(text):
        raise UsageError(
            "the password in the address has signs that end it",
            subject=redact_address(text),
            hint="percent-encode them: @ is %40, : is %3A, / is %2F, # is %23, ? is %3F, % is %25, "
            "a space is %20",
        )
    scheme, separator, rest = text.partition("://")
    if is_databricks(text):
        return Address(AddressKind.SERVER, text)
    if not separator or scheme.lower() == "file":
        return _directory(text)
    dialect = scheme.partition("+")[0].lower()
    if dialect in {"http", "https"}:
        return _server(text)
    if dialect == "sqlite":
        return _sqlite(text, rest)
    if dialect in {"postgresql", "postgres"}:
        return Address(AddressKind.POSTGRESQL, text)
    if dialect in {"mysql", "mariadb"}:
        return Address(AddressKind.MYSQL, text)
    raise UnsupportedError(
        f"mlporter does not know places of the kind {scheme!r}",
        subject=redact(text),
        hint=f"this release knows {_KINDS}",
    )


def _file_uri(text: str) -> Address:
    path = local_path(text)
    if path is None:
        raise UnsupportedError(
            "names a file of another machine",
            subject=redact(text),
            hint="file:///folder/mlruns, or just the folder",
        )
    kind = AddressKind.BUNDLE if is_there(path / MANIFEST) else AddressKind.FILESTORE
    return Address(kind, text, path)


def is_databricks(text: str) -> bool:
    """Whether an address is MLflow's name for a Databricks workspace."""
    return text == "databricks" or text.startswith("databricks://")


def _server(text: str) -> Address:
    try:
        host = urlsplit(text).hostname
    except ValueError:
        host = None
    if not host:
        raise UsageError(
            "names no host", subject=redact(text), hint="http://host:5000 or https://host/prefix"
        )
    return Address(AddressKind.SERVER, text)


def _directory(text: str) -> Address:
    path = Path(text)
    if text.startswith("file:"):
        return _file_uri(text)
    if text == "databricks-uc":
        raise UnsupportedError(
            "this release does not read that kind of place",
            subject=redact(text),
            hint=f"it knows {_KINDS}",
        )
    if is_file(path):
        raise UsageError(
            "is a file, not a bundle directory",
            subject=text,
            hint=f"if it is an SQLite database, its address is sqlite:///{text}",
        )
    if not is_there(path / MANIFEST) and is_file_store(path):
        return Address(AddressKind.FILESTORE, text, path)
    return Address(AddressKind.BUNDLE, text, path)


def _sqlite(text: str, rest: str) -> Address:
    # As in SQLAlchemy: sqlite:///relative.db, sqlite:////absolute.db; a query string is options.
    if not rest.startswith("/"):
        raise UsageError(
            "an SQLite address needs three slashes before a relative path and four before an "
            "absolute one",
            subject=redact(text),
            hint="sqlite:///mlflow.db or sqlite:////srv/mlflow.db",
        )
    name = rest[1:].partition("?")[0]
    if name in {"", ":memory:"}:
        raise UsageError("an in-memory database holds nothing to move", subject=text)
    return Address(AddressKind.SQLITE, text, _file(name))


def _file(name: str) -> Path:
    """The file that MLflow would open: SQLAlchemy decodes ``%20`` in its name since release 2.1."""
    path = Path(name)
    if "%" in name and not is_there(path) and _sqlalchemy() >= (2, 1):
        return Path(unquote(name))
    return path


def _sqlalchemy() -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in metadata.version("sqlalchemy").split(".")[:2])
    except (metadata.PackageNotFoundError, ValueError):
        return (2, 1)
