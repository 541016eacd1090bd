# ruff: noqa: PLC0415 -- MLflow takes seconds to import, which most commands can do without
"""Opening the artifact URIs of one registry: here, behind a server, or in an object store."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mlporter.artifacts.absent_folders import AbsentFolders
from mlporter.artifacts.disk.presence import is_there
from mlporter.artifacts.failures import translated
from mlporter.artifacts.places import LocalPlace, Place, displayable
from mlporter.artifacts.uris.uri_text import UriMap, is_windows_path, local_path, scheme_of
from mlporter.errors import OutsideError, UnreachableError
from mlporter.redaction import redact, remember_password
from mlporter.stores.addresses.address import is_databricks
from mlporter.stores.addresses.environment import AZURE, GOOGLE, LOGIN, PROCESS, S3, Environment
from mlporter.stores.artifact_places.mlflow_place import MlflowPlace
from mlporter.stores.artifact_places.proxies import Proxies
from mlporter.stores.artifact_places.s3 import s3_repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from mlflow.store.artifact.artifact_repo import ArtifactRepository

    from mlporter.artifacts.disk.write_log import NotRemoved, WriteLog
    from mlporter.artifacts.uris.allowed_folders import Roots
    from mlporter.artifacts.uris.allowed_hosts import Hosts

__all__ = ["Places", "open_local", "open_place"]

_PLACES = 256
_STORES = frozenset({"s3", "r2", "b2", "gs", "wasbs", "abfss"})
"""Object stores, which any process reaches by its own environment."""


def open_place(  # noqa: PLR0913 -- what an address may need, by keyword
    uri: str,
    *,
    base: Path | None = None,
    uri_map: UriMap | None = None,
    tracking_uri: str | None = None,
    log: WriteLog | None = None,
    environment: Environment = PROCESS,
    roots: Roots | None = None,
    proxies: Proxies | None = None,
) -> Place:
    """The place that an artifact URI names.

    Args:
        uri: As recorded.
        base: What relative paths are relative to; None for the current directory.
        uri_map: Where to look instead.
        tracking_uri: The server behind ``mlflow-artifacts:`` URIs, if there is one.
        log: Notes what is written, for a rollback.
        environment: The variables by which stores are reached.
        roots: What of this machine may be read; None where nobody but the user names places.
        proxies: What other machines may be asked; None likewise.

    Raises:
        UnreachableError: nothing can be looked for there: no server, a Windows path, an unknown
            scheme, a driver that is not installed. The hint says what to do.
        OutsideError: it is of this machine, and may not be read; or its host may not be asked.
    """
    address = uri_map.apply(uri) if uri_map else uri
    path = local_path(address, base)
    if path is not None:
        return open_local(path, roots, log)
    # Drivers name parts of it as they understood them.
    remember_password(address)
    if proxies is not None:
        proxies.check(address)
        place = proxies.place(address) if log is None else None
        if place is not None:
            return place
    refusal = _why_not(address, tracking_uri)
    if refusal:
        raise UnreachableError(refusal[0], subject=redact(address), hint=refusal[1])
    repository = _repository(address, tracking_uri, environment)
    is_stored = scheme_of(address) in _STORES
    return MlflowPlace(address, repository, log, environment.for_others if is_stored else None)


def open_local(path: Path, roots: Roots | None, log: WriteLog | None = None) -> LocalPlace:
    """A folder of this machine.

    Raises:
        OutsideError: it may not be read.
    """
    real, may_be_read = roots.locate(path) if roots else ("", True)
    place = LocalPlace(path, log, roots, real)
    if not may_be_read:
        is_link = place.base != os.path.normpath(path)
        leads = f": it leads to {displayable(place.base)}" if is_link else ""
        raise OutsideError(
            f"lies outside of every artifact root{leads}",
            subject=place.uri,
            hint=f"--allow-root {shlex.quote(displayable(place.base))} takes its files",
            is_there=_may_be_there(place.base),
        )
    return place


def _may_be_there(real: str) -> bool:
    try:
        return is_there(real)
    except UnreachableError:
        return True


def _why_not(address: str, tracking_uri: str | None) -> tuple[str, str | None] | None:
    """Why an address that is not local cannot be looked at, and what to do; None if it can."""
    scheme = scheme_of(address)
    shown = redact(address)
    if is_windows_path(address):
        return "a Windows path, and this machine has none", f"--map-uri '{shown}=/folder/here'"
    if scheme == "mlflow-artifacts" and scheme_of(tracking_uri or "") not in ("http", "https"):
        host = urlsplit(address).netloc
        source = redact(f"mlflow-artifacts://{host}/") if host else "mlflow-artifacts:/"
        return (
            "files behind a tracking server, and no server was given",
            f"--map-uri {source}=FOLDER, which the server got as --artifacts-destination",
        )
    if scheme in ("http", "https") and "/mlflow-artifacts/artifacts" not in address:
        return "a web address, and no artifact store of an MLflow server", None
    # On Databricks, MLflow reads dbfs: below /dbfs of this machine.
    climbs = scheme == "dbfs" and ".." in unquote(urlsplit(address).path).split("/")
    if climbs or scheme in ("", "file"):
        return "not a usable local path", f"--map-uri '{shown}=/folder/here'"
    if scheme in ("runs", "models"):
        return "names a run or a model, and not a place of files", None
    return None


def _repository(
    address: str, tracking_uri: str | None, environment: Environment
) -> ArtifactRepository:
    scheme = scheme_of(address)
    own = environment.own & _VARIABLES_OF.get(scheme, frozenset())
    if own and scheme != "s3":
        name = environment.named(min(own))
        raise UnreachableError(
            f"MLflow's store for {scheme}: reads the variables of the process, and not {name}",
            subject=redact(address),
            hint=f"set {min(own)} itself, if both sides can use it; or move one side at a time",
        )
    with translated(address):
        if own:
            return s3_repository(address, environment)
        if scheme == "dbfs" and tracking_uri and is_databricks(tracking_uri):
            return _of_databricks(address, tracking_uri)
        from mlflow.store.artifact import artifact_repository_registry as registry

        if scheme in registry.get_registered_artifact_repositories():
            return registry.get_artifact_repository(address, tracking_uri=tracking_uri)
    raise UnreachableError(
        f"MLflow has no artifact store for {scheme}:",
        subject=redact(address),
        hint="install the MLflow plugin for it, or use --map-uri FROM=TO",
    )


def _of_databricks(address: str, tracking_uri: str) -> ArtifactRepository:
    """Files of a Databricks workspace, in the workspace that is meant.

    Where MLflow has the choice, it first tries Databricks' SDK with the settings of the default
    profile, which may be another workspace's; so it is not given the choice.
    """
    from mlflow.store.artifact import artifact_repository_registry as registry
    from mlflow.store.artifact.databricks_artifact_repo import DatabricksArtifactRepository
    from mlflow.utils import uri

    named = uri.add_databricks_profile_info_to_artifact_uri(address, tracking_uri)
    if uri.is_databricks_acled_artifacts_uri(named):
        return DatabricksArtifactRepository(named, tracking_uri)
    return registry.get_artifact_repository(named, tracking_uri=tracking_uri)


_VARIABLES_OF = {
    "s3": S3,
    "r2": S3,
    "b2": S3,
    "gs": GOOGLE,
    "wasbs": AZURE,
    "abfss": AZURE,
    "http": LOGIN,
    "https": LOGIN,
    "mlflow-artifacts": LOGIN,
}
"""By scheme the variables by which a store is reached."""


class Places:
    """Opens artifact URIs of one registry, and keeps the last few open. Thread-safe.

    Args:
        base: As for `open_place`, like all the others.
        roots: Asked at the first place that is opened: what rows record is not known before.
        hosts: Likewise; None where nobody but the user names places.
    """

    def __init__(  # noqa: PLR0913 -- as `open_place`
        self,
        *,
        base: Path | None = None,
        uri_map: UriMap | None = None,
        tracking_uri: str | None = None,
        log: WriteLog | None = None,
        environment: Environment = PROCESS,
        roots: Callable[[], Roots] | None = None,
        hosts: Callable[[], Hosts] | None = None,
    ) -> None:
        self._log = log
        proxies = Proxies(hosts, environment=environment) if hosts else None

        @lru_cache(_PLACES)
        def cached(uri: str) -> Place:
            return open_place(
                uri,
                base=base,
                uri_map=uri_map,
                tracking_uri=tracking_uri,
                log=log,
                environment=environment,
                roots=roots() if roots else None,
                proxies=proxies,
            )

        def check(uri: str) -> None:
            address = uri_map.apply(uri) if uri_map else uri
            path = local_path(address, base)
            if path is not None:
                open_local(path, roots() if roots else None)
            elif proxies is not None:
                proxies.check(address)

        def folder(address: str) -> LocalPlace | None:
            path = local_path(address, base)
            with suppress(OutsideError):
                place = None if path is None else open_local(path, roots() if roots else None)
                return None if place is None or place.has_private else place
            return None

        self._uri_map = uri_map
        self._folders = AbsentFolders(folder)
        self._open = cached
        self._check = check
        self._tracking_uri = tracking_uri
        self._environment = environment

    @classmethod
    def of(
        cls,
        base: Path | None,
        uri_map: Iterable[str] = (),
        log: WriteLog | None = None,
        tracking_uri: str | None = None,
    ) -> Places:
        """Places for ``FROM=TO`` strings as given to ``--map-uri``.

        Raises:
            UsageError: see `UriMap.parse`.
        """
        parsed = UriMap.parse(uri_map)
        return cls(base=base, uri_map=parsed, tracking_uri=tracking_uri, log=log)

    def open(self, uri: str) -> Place:
        """The place that an artifact URI names; see `open_place`."""
        return self._open(uri)

    def absent(self, uri: str) -> str | None:
        """What the place of a URI is called if it is a folder that is surely not there."""
        return self._folders.absent(self._uri_map.apply(uri) if self._uri_map else uri)

    def check(self, uri: str) -> None:
        """Refuse what `open` refuses to look at, without looking at anything else.

        Raises:
            OutsideError: it may not be looked at.
        """
        self._check(uri)

    def undo(self) -> list[NotRemoved]:
        """Remove what was written through these places; returns what could not be removed."""
        return self._log.undo(self._taker) if self._log else []

    def _taker(self, address: str) -> MlflowPlace:
        """The log holds addresses, to which the URI map was already applied."""
        repository = _repository(address, self._tracking_uri, self._environment)
        return MlflowPlace(address, repository)
