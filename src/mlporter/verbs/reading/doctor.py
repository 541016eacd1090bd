"""`doctor`: what is installed here, and whether a place can be used."""

from __future__ import annotations

import platform
import sqlite3
from dataclasses import asdict, dataclass
from importlib import metadata
from os import environ
from typing import TYPE_CHECKING, Any

from mlporter.catalogue import HEAD_REVISION, release_of
from mlporter.errors import ExitCode, MlporterError
from mlporter.notebooks import Shown
from mlporter.redaction import redact_address
from mlporter.stores.addresses.locating import locate
from mlporter.stores.database.history.shape import shape_for
from mlporter.stores.database.schema.scripts import installed_head
from mlporter.stores.opening import open_source
from mlporter.stores.protocols import remote_source
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.wording import NEWER, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.addresses.address import Address, Place

__all__ = ["Check", "DoctorReport", "doctor"]

_PACKAGES = (
    ("mlporter", True, ""),
    ("mlflow", False, "needed to create databases and to reach remote artifacts"),
    ("pyarrow", True, ""),
    ("adbc-driver-sqlite", True, ""),
    ("adbc-driver-postgresql", True, ""),
    ("sqlalchemy", False, "needed by MLflow to create databases"),
    ("psycopg2-binary", False, "needed by MLflow to create PostgreSQL databases"),
    ("pymysql", False, "needed for MySQL and MariaDB: pip install 'mlporter[mysql]'"),
    ("boto3", False, "needed for s3:// artifacts: pip install 'mlporter[s3]'"),
)
_SETTINGS = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_S3_ENDPOINT_URL",
    "AWS_PROFILE",
    "NO_COLOR",
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``hint`` says what to do where it is not ``ok``."""

    name: str
    value: str
    ok: bool = True
    hint: str = ""


@dataclass(frozen=True)
class DoctorReport(Shown):
    """Everything that was looked at."""

    checks: tuple[Check, ...]
    failure: ExitCode = ExitCode.OK

    @property
    def exit_code(self) -> ExitCode:
        """0, or the exit code of what makes the place unusable."""
        return self.failure

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        checks = [asdict(check) for check in self.checks]
        return {"checks": checks, "exit_code": int(self.exit_code)}


def doctor(
    address: Place | None = None,
    *,
    retry_time: float = RETRY_TIME,
    source_env: str | None = None,
) -> DoctorReport:
    """Say which versions, drivers and settings are here; open a place if one is named.

    Nothing is changed, neither here nor there. Settings that may hold secrets are not shown.
    """
    checks = [
        Check("python", platform.python_version()),
        *(_package(*entry) for entry in _PACKAGES),
        Check("sqlite", sqlite3.sqlite_version),
        Check("catalogue", f"{HEAD_REVISION} (MLflow {release_of(HEAD_REVISION)})"),
        _schema(),
        *_settings(),
    ]
    failure = ExitCode.OK
    if address is not None:
        place, failure = _place(locate(address, source_env), retry_time)
        checks += place
    return DoctorReport(tuple(checks), failure)


def _package(name: str, needed: bool, hint: str) -> Check:  # noqa: FBT001 -- a row of _PACKAGES
    try:
        return Check(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, "not installed", not needed, hint or f"pip install {name}")


def _schema() -> Check:
    head = installed_head()
    if head is None:
        return Check("installed schema", "MLflow is not installed")
    release = release_of(head)
    if release is None:
        return Check("installed schema", f"{head}, {NEWER}: what it finds is read as it is")
    old = "; new databases are of it, and hold no more" if shape_for(head) != head else ""
    return Check("installed schema", f"{head} (MLflow {release}{old})")


def _settings() -> Iterator[Check]:
    for name in _SETTINGS:
        if name in environ:
            yield Check(name, redact_address(environ[name]))


def _place(address: Address, retry_time: float) -> tuple[list[Check], ExitCode]:
    shown = str(address)
    try:
        source = open_source(address, retry_time=retry_time)
    except MlporterError as error:
        return [Check(shown, error.message, ok=False, hint=error.hint or "")], ExitCode(
            error.exit_code
        )
    try:
        server = remote_source(source)
        if server is not None:  # its runs are counted by fetching them all
            said = [Check(f"  {name}", value) for name, value in server.says()]
            return [Check(shown, "tracking server"), *said], ExitCode.OK
        place = source.description
        runs = source.count("runs")
        revision = place.stored_revision or place.revision
        value = f"{place.kind}, revision {revision}, {plural(runs, 'run')}"
        return [Check(shown, value)], ExitCode.OK
    finally:
        source.close()
