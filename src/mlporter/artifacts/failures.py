"""What MLflow and the storage drivers raise, as our errors and with credentials taken out.

Drivers are never imported for this: an exception of a module that is not loaded cannot come.
"""

from __future__ import annotations

import contextlib
import errno
import re
import sys
from enum import Enum
from typing import TYPE_CHECKING

from mlporter.errors import AccessDeniedError, UnreachableError
from mlporter.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["codes_of", "known_errors", "reading_one_file", "text_of", "translated"]

_DRIVER_ERRORS = (
    ("mlflow.exceptions", "MlflowException"),
    ("botocore.exceptions", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("boto3.exceptions", "Boto3Error"),
    ("requests.exceptions", "RequestException"),
    ("urllib3.exceptions", "HTTPError"),
    ("google.api_core.exceptions", "GoogleAPIError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "AzureError"),
    ("paramiko.ssh_exception", "SSHException"),
    ("ftplib", "Error"),
)

_DENIED = frozenset(
    {
        "401",
        "403",
        "AccessDenied",
        "Forbidden",
        "Unauthorized",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "AllAccessDisabled",
        "AccountProblem",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "PermissionError",
        "DefaultCredentialsError",
        "AuthenticationException",
        "ClientAuthenticationError",
    }
)
_ABSENT = frozenset(
    {
        "404",
        "NoSuchKey",
        "NoSuchBucket",
        "NotFound",
        "RESOURCE_DOES_NOT_EXIST",
        "FileNotFoundError",
        "ResourceNotFoundError",
        "ContainerNotFound",
        "BlobNotFound",
    }
)
_PACKAGES = {
    "azure": "azure-identity azure-storage-blob azure-storage-file-datalake",
    "boto3": "boto3",
    "botocore": "boto3",
    "google": "google-cloud-storage",
    "mlflow": "mlflow",
    "pysftp": "pysftp",
    "paramiko": "pysftp",
}
_IN_TEXT = re.compile(r"\((\w+)\) when calling the \w+ operation")
_LONGEST = 500


class _What(Enum):
    DENIED = "access denied"
    ABSENT = "no such thing"
    OTHER = "failed"


def known_errors() -> tuple[type[Exception], ...]:
    """The exceptions that loaded drivers raise, for an ``except`` clause.

    `ValueError` is one of them: boto3 raises it for an endpoint that is no URL.
    """
    loaded = (getattr(sys.modules.get(module), name, None) for module, name in _DRIVER_ERRORS)
    drivers = tuple(kind for kind in loaded if isinstance(kind, type))
    return (OSError, ImportError, EOFError, ValueError, *drivers)


@contextlib.contextmanager
def translated(uri: str) -> Iterator[None]:
    """Run a driver's code; what it raises comes out as UnreachableError or AccessDeniedError.

    The cause is not chained: its text may hold credentials.
    """
    try:
        yield
    except known_errors() as error:
        kind = AccessDeniedError if _what(error) is _What.DENIED else UnreachableError
        raise kind(text_of(error), subject=redact(uri), hint=_hint(error)) from None


@contextlib.contextmanager
def reading_one_file(uri: str) -> Iterator[None]:
    """Run a driver's code that reads one file; what it raises comes out as an OSError.

    That is PermissionError, FileNotFoundError, or OSError itself.
    """
    try:
        yield
    except known_errors() as error:
        what, text = _what(error), text_of(error)
        if what is _What.DENIED:
            raise PermissionError(errno.EACCES, text, redact(uri)) from None
        if what is _What.ABSENT:
            raise FileNotFoundError(errno.ENOENT, text, redact(uri)) from None
        raise OSError(errno.EIO, text, redact(uri)) from None


def _what(error: Exception) -> _What:
    codes = codes_of(error)
    if codes & _DENIED:
        return _What.DENIED
    return _What.ABSENT if codes & _ABSENT else _What.OTHER


def codes_of(error: Exception) -> set[str]:
    """Every code that an exception has: its class, HTTP status, S3 or MLflow error code."""
    codes = {kind.__name__ for kind in type(error).__mro__}
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        codes.add(str(response.get("Error", {}).get("Code", "")))
    else:
        codes.add(str(getattr(response, "status_code", "")))
    codes.update(str(getattr(error, name, "")) for name in ("error_code", "status_code", "code"))
    return codes | set(_IN_TEXT.findall(str(error)))


def text_of(error: Exception) -> str:
    """What an exception says, for people: without credentials, and not endless."""
    text = redact(" ".join(str(error).split()))
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}…"
    return f"{text or 'no reason given'} ({type(error).__name__})"


def _hint(error: Exception) -> str | None:
    if isinstance(error, ImportError) and error.name:
        package = error.name.partition(".")[0]
        return f"pip install {_PACKAGES.get(package, package)}"
    if _what(error) is _What.DENIED:
        return (
            "set the credentials of the artifact store, as for MLflow itself; for one side only, "
            "with --source-env or --target-env"
        )
    return None
