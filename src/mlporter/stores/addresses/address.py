"""Addresses: one syntax for every place a registry can live in."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from enum import Enum
from importlib import metadata
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Union
from urllib.parse import parse_qsl, quote_plus, unquote, urlsplit

from mlporter.artifacts.disk.presence import is_file, is_seen, is_there
from mlporter.artifacts.uris.uri_text import local_path
from mlporter.bundle.folder.layout import MANIFEST
from mlporter.errors import UnsupportedError, UsageError
from mlporter.redaction import (
    needs_encoding,
    redact,
    redact_address,
    redact_argument,
    remember_password,
)
from mlporter.stores.addresses.environment import PROCESS, Environment
from mlporter.stores.addresses.file_store_folders import is_file_store
from mlporter.stores.addresses.mistypings import mistyped

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Address", "AddressKind", "Place", "is_databricks", "parse_address"]
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
    REPOSITORY = "repository"
    """Many snapshots, in a folder or in object storage; there it may be a bundle instead, which
    only the place can tell."""
    SNAPSHOT = "snapshot"
    """One of them: ``backups/@latest``."""
    SERVER = "server"
    """A tracking server, by its web address or as ``databricks``."""


@dataclass(frozen=True)
class Address:
    """A parsed address.

    Attributes:
        kind: What it names.
        text: As given; may hold a password, so it is never shown.
        path: The directory of a bundle or a file store, or the file of an SQLite database.
        environment: The variables by which it is reached; they are no part of what it is.
        typed: As the user would type it, where that is another text: the name of a place.
        snapshot: Which snapshot of a repository, as the user said it.
        artifact_root: Where a database keeps files, as the config file says; or "".
        uri_map: ``FROM=TO`` pairs of the config file: where its files are really found.
    """

    kind: AddressKind
    text: str
    path: Path | None = None
    environment: Environment = field(default=PROCESS, repr=False, compare=False)
    typed: str = field(default="", compare=False)
    snapshot: str = ""
    artifact_root: str = field(default="", compare=False)
    uri_map: tuple[str, ...] = field(default=(), compare=False)

    def map_or(self, said: Sequence[str]) -> tuple[str, ...]:
        """Where its files are really found: as the caller said, or else as the config file does."""
        return tuple(said) or self.uri_map

    @property
    def repository(self) -> str:
        """The place of a repository, also of the one that a snapshot is in."""
        return str(self.path) if self.path is not None else self.text

    @property
    def is_in_object_storage(self) -> bool:
        """Whether it is a repository, a snapshot or a bundle that is in no folder."""
        kinds = {AddressKind.BUNDLE, AddressKind.REPOSITORY, AddressKind.SNAPSHOT}
        return self.path is None and self.kind in kinds

    def __str__(self) -> str:
        return redact_address(self.text)

    def __repr__(self) -> str:
        return f"Address({self})"

    @property
    def as_typed(self) -> str:
        """What a user types to name it again; redacted."""
        if self.kind is AddressKind.BUNDLE and self.path is not None and not self.typed:
            return str(self.path)
        return self.typed or str(self)

    @property
    def libpq(self) -> str:
        """The connection string that PostgreSQL's own client library takes."""
        url = "postgresql://" + self.text.partition("://")[2]
        said = "&".join(f"{word}={_encoded(value)}" for word, value in self.libpq_words.items())
        if not said:
            return url
        return f"{url}{'&' if '?' in url else '?'}{said}"

    @property
    def libpq_words(self) -> dict[str, str]:
        """What the side's own variables say of a PostgreSQL database, and the address does not."""
        told = self.environment.libpq()
        if not told:
            return {}
        parts = urlsplit(self.text)
        userinfo, _, place = parts.netloc.rpartition("@")
        user, colon, _password = userinfo.partition(":")
        host = place.partition(":")[0]
        has = {
            "user": user,
            "password": colon,
            "host": host,
            "hostaddr": host,
            "port": ":" in place.rpartition("]")[2],
            "dbname": parts.path.strip("/"),
        }
        words = dict(parse_qsl(parts.query, keep_blank_values=True))
        return {w: value for w, value in told.items() if not has.get(w) and w not in words}

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


def _encoded(value: str) -> str:
    return quote_plus(value).replace("+", "%20")


def parse_address(text: str, environment: Environment = PROCESS) -> Address:
    """Tell what an address names.

    Args:
        text: The address.
        environment: The variables by which it is reached.

    Raises:
        UsageError: it is no address at all.
        UnsupportedError: it names a kind of place that this release does not know.
    """
    text = _without_margins(text)
    if not text:
        raise UsageError("an address is empty", hint="name a bundle directory or a database URL")
    return replace(_parsed(text), environment=environment)


def _without_margins(text: str) -> str:
    """Without white space around it, as it comes out of a clipboard; a folder's may be its own."""
    stripped = text.strip()
    return text if stripped and stripped != text and is_seen(text) else stripped


def _parsed(text: str) -> Address:  # noqa: C901, PLR0911 -- one for each kind
    remember_password(text)
    if needs_encoding(text):
        raise UsageError(
            "the password in the address contains characters that would end it",
            subject=redact_address(text),
            hint="percent-encode them: @ is %40, : is %3A, / is %2F, # is %23, ? is %3F, % is %25, "
            "a space is %20",
        )
    scheme, separator, rest = text.partition("://")
    if is_databricks(text):
        return Address(AddressKind.SERVER, text)
    if found := _snapshot(text):
        return found
    if not separator or scheme.lower() == "file":
        return _directory(text)
    if not _SCHEME.fullmatch(scheme):
        raise UsageError(
            f"{scheme!r} is not a scheme of an address", subject=redact_address(text), hint=_KNOWN
        )
    dialect = scheme.partition("+")[0].lower()
    if dialect in {"http", "https"}:
        return _server(text)
    if dialect == "sqlite":
        return _sqlite(text, rest)
    if dialect in {"postgresql", "postgres"}:
        return Address(AddressKind.POSTGRESQL, text)
    if dialect in {"mysql", "mariadb"}:
        return Address(AddressKind.MYSQL, text)
    if dialect in REMOTE:
        return Address(AddressKind.REPOSITORY, text.rstrip("/"))
    raise UnsupportedError(
        f"mlporter does not know this kind of place: {scheme!r}",
        subject=redact(text),
        hint=_hint_for(dialect, text),
    )


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_KNOWN = f"this release knows {_KINDS}"
REPOSITORY = "repository.yaml"
REMOTE = frozenset({"s3", "gs", "gcs", "abfs", "abfss", "az"})
"""Schemes of object storage in which bundles and backups lie."""
_ACCOUNTS = (".windows.net", ".azure.cn", ".azure.us", ".usgovcloudapi.net", ".chinacloudapi.cn")
"""How an address ends that names an account of Azure's after the ``@``, and no snapshot."""
_OBJECT_STORES = ("s3", "gs", "wasbs", "abfss", "r2", "b2", "dbfs", "hdfs")


def _hint_for(dialect: str, text: str) -> str:
    """What to do about a kind of place that is none."""
    if dialect in _OBJECT_STORES:
        return (
            "it holds artifacts and no registry: name the database or the server; where only the "
            f"artifacts are left, mlporter rebuild {quote(redact_address(text))} TARGET"
        )
    return _KNOWN


def _file_uri(text: str) -> Address:
    path = local_path(text)
    if path is None:
        raise UnsupportedError(
            "names a file of another machine",
            subject=redact(text),
            hint=_without_host(text),
        )
    if is_file(path):
        return _directory(str(path))
    kind = AddressKind.BUNDLE if is_there(path / MANIFEST) else AddressKind.FILESTORE
    return Address(kind, text, path)


def _without_host(text: str) -> str:
    """What is meant by ``file://folder``, whose folder is a host to everybody else."""
    folder = Path(text.partition("://")[2])
    if is_seen(folder):
        return folder.absolute().as_uri()
    return "file:///folder/mlruns, or just the folder"


def is_databricks(text: str) -> bool:
    """Whether an address is MLflow's name for a Databricks workspace."""
    return text == "databricks" or text.startswith("databricks://")


def _server(text: str) -> Address:
    hint = "http://host:5000 or https://host/prefix"
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        host = None
    if not host:
        raise UsageError("names no host", subject=redact_address(text), hint=hint)
    try:
        _ = parts.port
    except ValueError:
        raise UsageError(
            "its port is not a number up to 65535", subject=redact_address(text), hint=hint
        ) from None
    return Address(AddressKind.SERVER, text)


def _snapshot(text: str) -> Address | None:
    """A snapshot, if a text names one: a repository, ``@``, and which."""
    place, at, wanted = text.rpartition("@")
    scheme, separator, _ = text.partition("://")
    if not at or "/" in wanted or (separator and scheme.lower() not in REMOTE):
        return None
    if separator and wanted.endswith(_ACCOUNTS):
        return None
    if separator:
        return Address(AddressKind.SNAPSHOT, place.rstrip("/"), snapshot=wanted or "latest")
    folder = Path(place or ".")
    if is_seen(Path(text)) or not (place.endswith("/") or is_there(folder / REPOSITORY)):
        return None
    return Address(AddressKind.SNAPSHOT, text, folder, snapshot=wanted or "latest")


def _directory(text: str) -> Address:
    path = Path(text)
    if text.startswith("file:"):
        return _file_uri(text)
    if text == "databricks-uc":
        raise UnsupportedError(
            "this release cannot read that kind of place",
            subject=redact(text),
            hint=f"it knows {_KINDS}",
        )
    found = mistyped(text)
    if found:
        raise UsageError(found[0], subject=redact_argument(text), hint=found[1])
    if is_there(path / REPOSITORY):
        return Address(AddressKind.REPOSITORY, text, path)
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
            hint=f"sqlite:///{rest}" if rest else "sqlite:///mlflow.db or sqlite:////srv/mlflow.db",
        )
    name = rest[1:].partition("?")[0]
    if name in {"", ":memory:"}:
        raise UsageError("an in-memory database has nothing to move", subject=text)
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
