"""The environment variables that one side of a transfer sees.

With a prefix such as ``DEV_`` every ``DEV_MLFLOW_TRACKING_TOKEN``, ``DEV_AWS_ACCESS_KEY_ID`` or
``DEV_PGPASSWORD`` is for one side only. The environment of the process is never changed: what
opens a place is given these variables, and says them to the driver itself.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlporter.bundle.storage.encrypted import IDENTITY
from mlporter.errors import UsageError
from mlporter.redaction import remember_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = [
    "AWS_ENDPOINT",
    "AWS_LOGIN",
    "AZURE",
    "DATABRICKS",
    "GOOGLE",
    "KNOWN",
    "LIBPQ",
    "LOGIN",
    "PROCESS",
]
__all__ += ["PROXIES", "S3", "SECRETS", "TLS", "TRACKING_URI", "Environment", "environment_of"]

_log = logging.getLogger(__name__)

TRACKING_URI = "MLFLOW_TRACKING_URI"

LOGIN = frozenset(
    {
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_TRACKING_AUTH",
        "MLFLOW_TRACKING_AWS_SIGV4",
    }
)
"""Who asks a tracking server."""

TLS = frozenset({"MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_TRACKING_SERVER_CERT_PATH"})
"""How a tracking server's certificate is checked."""

AWS_LOGIN = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_SHARED_CREDENTIALS_FILE",
    }
)
"""Who asks an object store."""

AWS_ENDPOINT = frozenset({"MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"})
"""Where the object store is."""

_AWS_REGION = frozenset({"AWS_DEFAULT_REGION", "AWS_REGION"})
_S3_SETTINGS = frozenset(
    {
        "AWS_CA_BUNDLE",
        "AWS_CONFIG_FILE",
        "MLFLOW_S3_IGNORE_TLS",
        "MLFLOW_S3_UPLOAD_EXTRA_ARGS",
        "MLFLOW_S3_EXPECTED_BUCKET_OWNER",
        "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE",
        "MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION",
    }
)
S3 = AWS_LOGIN | AWS_ENDPOINT | _AWS_REGION | _S3_SETTINGS
"""All that matters to an object store that speaks S3."""

PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})

LIBPQ: Mapping[str, str] = MappingProxyType(
    {
        "PGUSER": "user",
        "PGPASSWORD": "password",
        "PGPASSFILE": "passfile",
        "PGHOST": "host",
        "PGHOSTADDR": "hostaddr",
        "PGPORT": "port",
        "PGDATABASE": "dbname",
        "PGSERVICE": "service",
        "PGOPTIONS": "options",
        "PGAPPNAME": "application_name",
        "PGCONNECT_TIMEOUT": "connect_timeout",
        "PGCHANNELBINDING": "channel_binding",
        "PGSSLMODE": "sslmode",
        "PGSSLROOTCERT": "sslrootcert",
        "PGSSLCERT": "sslcert",
        "PGSSLKEY": "sslkey",
        "PGSSLCRL": "sslcrl",
        "PGKRBSRVNAME": "krbsrvname",
        "PGTARGETSESSIONATTRS": "target_session_attrs",
    }
)
"""PostgreSQL's variables, and what each is called in an address."""

_PG_LOGIN = frozenset({"PGUSER", "PGPASSWORD", "PGPASSFILE"})
_MYSQL = frozenset({"MYSQL_PWD", "MLFLOW_MYSQL_SSL_CA", "MLFLOW_MYSQL_SSL_CERT"})
_MYSQL |= {"MLFLOW_MYSQL_SSL_KEY"}
GOOGLE = frozenset({"GOOGLE_APPLICATION_CREDENTIALS"})
AZURE = frozenset(
    {
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_CLIENT_ID",
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_SECRET",
    }
)
DATABRICKS = frozenset({"DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CONFIG_PROFILE"})

_TOGETHER = (LOGIN, TLS, AWS_LOGIN, AWS_ENDPOINT, _AWS_REGION, PROXIES, _PG_LOGIN, AZURE)
"""Who has one of these by a prefix sees none of the others without it: a token of one side and a
password that is meant for the other are no pair."""

KNOWN = frozenset(
    {
        IDENTITY,
        TRACKING_URI,
        "MLFLOW_TRACKING_CLIENT_CERT_PATH",
        *S3,
        *LIBPQ,
        *_MYSQL,
        *GOOGLE,
        *DATABRICKS,
    }
).union(*_TOGETHER)
SECRETS = frozenset(
    name
    for name in KNOWN
    if re.search(r"PASSWORD|TOKEN|SECRET|ACCESS_KEY$|MYSQL_PWD|CONNECTION_STRING", name)
)
_FAMILIES = ("MLFLOW_", "AWS_", "PG", "MYSQL_", "AZURE_", "GOOGLE_", "DATABRICKS_")
_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXAMPLE = "MLFLOW_TRACKING_TOKEN"


@dataclass(frozen=True, eq=False)
class Environment:
    """The variables that a side sees.

    Attributes:
        variables: Its own ones, by their names without the prefix, and what else is set.
        prefix: What the names of its own ones begin with; "" where it has none.
        own: The names of its own ones.
        told: Those of them that were not set, but told in another way.
    """

    variables: Mapping[str, str] = field(repr=False)
    prefix: str = ""
    own: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()

    @property
    def for_others(self) -> str | None:
        """The prefix by which another process reaches the same object stores.

        None where it would reach others: what was told only here is not among its variables.
        """
        return None if self.told & (S3 | GOOGLE | AZURE) else self.prefix

    def get(self, name: str) -> str | None:
        """The value of a variable; None where it is not set, or empty."""
        return self.variables.get(name) or None

    def named(self, name: str) -> str:
        """What a variable is called where the user sets it."""
        return f"{self.prefix}{name}" if name in self.own else name

    def is_true(self, name: str) -> bool:
        """Whether a variable says yes, as MLflow reads it."""
        return (self.get(name) or "").lower() in ("true", "1")

    def owns(self, names: Collection[str]) -> bool:
        """Whether it has one of some variables of its own."""
        return not self.own.isdisjoint(names)

    def libpq(self) -> dict[str, str]:
        """What PostgreSQL's client is given, as it reads only the process's environment.

        A word of a log-in that is not this side's is set to be empty, so that another side's
        is not taken.
        """
        login = _PG_LOGIN if self.owns(_PG_LOGIN) else frozenset()
        return {
            word: self.variables.get(name, "")
            for name, word in LIBPQ.items()
            if name in self.own or name in login
        }


PROCESS = Environment(os.environ)
"""What is seen without a prefix: the environment of the process, as it is at the time."""


def environment_of(
    prefix: str,
    variables: Mapping[str, str] | None = None,
    said: Callable[[frozenset[str]], Mapping[str, str]] | None = None,
) -> Environment:
    """What the side with a prefix sees.

    Args:
        prefix: Such as ``DEV_``; "" is the process's own environment.
        variables: Of the process.
        said: Other variables of its own, but for those of the given names: they have been set
            with the prefix.

    Raises:
        UsageError: it is no prefix, or there is no variable with it.

    >>> side = environment_of("DEV_", {"DEV_PGPASSWORD": "a", "PGUSER": "b", "PGPORT": "1"})
    >>> sorted(side.variables), sorted(side.own)
    (['DEV_PGPASSWORD', 'PGPASSWORD', 'PGPORT'], ['PGPASSWORD'])
    """
    _remember_secrets(os.environ)
    if not prefix and said is None:
        return PROCESS
    given = dict(os.environ if variables is None else variables)
    own = _prefixed(prefix, given) if prefix else {}
    told = {} if said is None else said(frozenset(own))
    own |= told
    _remember_secrets(own)
    hidden = frozenset[str]().union(*(names for names in _TOGETHER if not names.isdisjoint(own)))
    seen = {name: value for name, value in given.items() if name not in hidden}
    return Environment(seen | own, prefix, frozenset(own), frozenset(told))


def _prefixed(prefix: str, given: Mapping[str, str]) -> dict[str, str]:
    """A side's own variables, by their names without the prefix."""
    if not _PREFIX.fullmatch(prefix):
        raise UsageError(
            f"{prefix!r} is nothing that the name of a variable begins with",
            hint=f"such as DEV_, for DEV_{_EXAMPLE}",
        )
    own = {
        name.removeprefix(prefix): value
        for name, value in given.items()
        if name.startswith(prefix) and name.removeprefix(prefix) in KNOWN
    }
    if not own:
        raise _nothing_set(prefix, given)
    for name in sorted(given):
        rest = name.removeprefix(prefix)
        if name.startswith(prefix) and rest.startswith(_FAMILIES) and rest not in KNOWN:
            _log.warning("%s is not used: a side cannot have %s of its own", name, rest)
    return own


def _remember_secrets(variables: Mapping[str, str]) -> None:
    for name in SECRETS:
        if value := variables.get(name):
            remember_secret(value)


def _nothing_set(prefix: str, given: Mapping[str, str]) -> UsageError:
    longer = f"{prefix}_"
    meant = any(n.startswith(longer) and n.removeprefix(longer) in KNOWN for n in given)
    return UsageError(
        f"no variable that begins with {prefix} is set, of those that say how a place is reached",
        hint=f"did you mean {longer}?"
        if meant
        else f"set {prefix}{_EXAMPLE}, {prefix}AWS_ACCESS_KEY_ID, {prefix}PGPASSWORD or the like; "
        "or leave the prefix out",
    )
