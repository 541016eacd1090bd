"""From the address of a repository, a snapshot or a remote bundle to its storage."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlporter.bundle.folder.layout import MANIFEST
from mlporter.bundle.storage.bundle_place import is_bundle
from mlporter.bundle.storage.encrypted import IDENTITY
from mlporter.bundle.storage.local import LocalStorage
from mlporter.errors import UnreachableError, UsageError
from mlporter.redaction import redact_address
from mlporter.repository.repository import Repository, is_repository
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.addresses.environment import AZURE, GOOGLE
from mlporter.stores.addresses.locating import locate

if TYPE_CHECKING:
    from mlporter.bundle.storage.protocol import Storage
    from mlporter.bundle.storage.remote import RemoteStorage
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.addresses.environment import Environment

__all__ = ["identity_of", "is_stored_bundle", "open_repository", "repository_storage"]
__all__ += ["storage_of"]

_ENDPOINTS = ("MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_ATTEMPTS = 8
_STORAGES = 16
"""Places that a worker keeps open."""
_CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
_GOOGLE_KEY = "GOOGLE_APPLICATION_CREDENTIALS"


def storage_of(place: Address) -> Storage:
    """Where the objects of a repository, or of a bundle in object storage, lie.

    Raises:
        UnsupportedError: the package for its scheme is not installed.
        UnreachableError: it is not told how to log in there as this side.
    """
    if place.path is not None:
        return LocalStorage(place.path)
    from mlporter.bundle.storage.remote import SCHEMES, open_remote  # noqa: PLC0415 -- brings fsspec

    options = _OPTIONS[SCHEMES[place.text.partition("://")[0].lower()][1]](place.environment)
    shown = redact_address(place.text)
    storage = open_remote(place.text, shown, options)
    prefix = place.environment.for_others
    if shown == place.text and prefix is not None:
        storage.again = (_storage_again, (place.text, prefix, storage.root))
    return storage


@lru_cache(_STORAGES)
def _storage_again(text: str, prefix: str, root: str) -> RemoteStorage:
    """A place in object storage as another process opens it, by its own environment.

    When it is first used: what keeps it from being opened is told of that.
    """
    from mlporter.bundle.storage.remote import Later, RemoteStorage  # noqa: PLC0415 -- likewise

    def system() -> object:
        return cast("RemoteStorage", storage_of(locate(text, prefix or None))).system

    storage = RemoteStorage(Later(system), root, text)
    storage.again = (_storage_again, (text, prefix, root))
    return storage


def is_stored_bundle(place: Address) -> bool:
    """Whether a place in object storage holds a bundle, whole or not, and no repository.

    Its address does not say. The first thing that is asked is enough for a bundle that is whole.

    Raises:
        UnreachableError: it does not answer.
        UnsupportedError: the package for its scheme is not installed.
    """
    storage = storage_of(place)
    if storage.size(MANIFEST) is not None:
        return True
    return not is_repository(storage) and is_bundle(storage)


def repository_storage(place: Address) -> Storage:
    """The place of a repository, or of what may become one.

    Raises:
        UsageError: it is something else.
        UnsupportedError: the package for its scheme is not installed.
    """
    if place.kind is AddressKind.SNAPSHOT:
        raise UsageError(
            "names one snapshot",
            subject=str(place),
            hint=f"name the repository: {place.repository}",
        )
    if place.kind not in {AddressKind.REPOSITORY, AddressKind.BUNDLE, AddressKind.FILESTORE}:
        raise UsageError("is no place for a repository", subject=str(place))
    return storage_of(place)


def open_repository(place: Address) -> Repository:
    """Open the repository of an address.

    Raises:
        UsageError: it is none.
        AccessDeniedError: it is encrypted, and there is no key for it.
        UnsupportedError: it is of a later format, or a package is not installed.
    """
    return Repository.open(repository_storage(place), identity_of(place))


def identity_of(place: Address) -> Path | None:
    """The file of the private key that the variables of a side name, or None."""
    named = place.environment.get(IDENTITY)
    return Path(named).expanduser() if named else None


def _s3_options(side: Environment) -> dict[str, Any]:
    """What s3fs takes, from the variables by which this side is reached."""
    client: dict[str, Any] = {}
    if region := side.get("AWS_DEFAULT_REGION") or side.get("AWS_REGION"):
        client["region_name"] = region
    if side.is_true("MLFLOW_S3_IGNORE_TLS"):
        client["verify"] = False
    elif bundle := side.get("AWS_CA_BUNDLE"):
        client["verify"] = bundle
    style = side.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE") or "auto"
    retries = {"max_attempts": _ATTEMPTS, "mode": "standard"}
    options: dict[str, Any] = {
        "client_kwargs": client,
        "config_kwargs": {"retries": retries, "s3": {"addressing_style": style}},
        "endpoint_url": next(filter(None, map(side.get, _ENDPOINTS)), None),
    }
    named = {
        "key": "AWS_ACCESS_KEY_ID",
        "secret": "AWS_SECRET_ACCESS_KEY",
        "token": "AWS_SESSION_TOKEN",
        "profile": "AWS_PROFILE",
    }
    return options | {word: value for word, name in named.items() if (value := side.get(name))}


def _google_options(side: Environment) -> dict[str, Any]:
    """What gcsfs takes; it finds by itself what is set for the process."""
    return {"token": side.get(_GOOGLE_KEY)} if side.owns(GOOGLE) else {}


def _azure_options(side: Environment) -> dict[str, Any]:
    """What adlfs takes; it finds by itself what is set for the process.

    Raises:
        UnreachableError: a side has other variables of its own, which the process's would complete.
    """
    if not side.owns(AZURE):
        return {}
    if _CONNECTION not in side.own:
        raise UnreachableError(
            "a log-in of one side alone goes to Azure's package as a connection string only",
            hint=f"set {side.prefix}{_CONNECTION}",
        )
    return {"connection_string": side.get(_CONNECTION)}


_OPTIONS = {"s3": _s3_options, "gcs": _google_options, "azure": _azure_options}
"""By extra: what its package is told."""
