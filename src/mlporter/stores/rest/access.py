"""How a server is reached: MLflow's own hosts, credentials, headers and certificates.

Everything here is resolved by MLflow's helpers, so that whatever works for ``mlflow`` works here:
`MLFLOW_TRACKING_*` variables, ``~/.mlflow/credentials``, Databricks profiles, and plug-ins for
request headers and for authentication.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from mlflow.exceptions import MlflowException
from mlflow.tracking.request_header.registry import (
    _request_header_provider_registry as _providers,
)
from mlflow.tracking.request_header.registry import resolve_request_headers
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.databricks_utils import get_databricks_host_creds
from mlflow.utils.rest_utils import MlflowHostCreds
from requests.utils import should_bypass_proxies

from mlporter.errors import AccessDeniedError, UsageError
from mlporter.redaction import redact
from mlporter.stores.addresses.address import is_databricks
from mlporter.stores.addresses.environment import (
    DATABRICKS,
    LOGIN,
    PROCESS,
    PROXIES,
    TLS,
    Environment,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from requests.auth import AuthBase

__all__ = ["Access", "access_to", "stranger_at"]

_WEB = ("http", "https")


@dataclass(frozen=True)
class Access:
    """Where requests go, and what goes along with each.

    Attributes:
        url: Scheme, host and path prefix, without credentials and without a last slash.
        subject: The address as it may be shown.
        databricks: Whether Databricks is behind it.
        own: Headers instead of those that MLflow's plug-ins give.
    """

    url: str
    subject: str
    databricks: bool
    creds: MlflowHostCreds = field(repr=False)
    user_info: tuple[str, str] | None = field(default=None, repr=False)
    environment: Environment = field(default=PROCESS, repr=False)
    own: Mapping[str, str] | None = field(default=None, repr=False)

    def headers(self) -> Mapping[str, str]:
        """Headers of the next request; tokens may change from one to the next."""
        given = self.own if self.own is not None else self._own_headers
        headers = dict(resolve_request_headers() if given is None else given)
        if self.creds.use_databricks_sdk:
            headers.update(self._databricks.config.authenticate())
        elif self._authorization:
            headers["Authorization"] = self._authorization
        organisation = getattr(self.creds, "workspace_id", None)
        if organisation:
            headers["x-databricks-org-id"] = str(organisation)
        return headers

    def auth(self) -> AuthBase | None:
        """What signs the next request, or None."""
        if self.creds.aws_sigv4:
            from requests_auth_aws_sigv4 import AWSSigV4  # noqa: PLC0415 -- an extra of MLflow

            signing: AuthBase = AWSSigV4("execute-api", **self._signing_keys())
            return signing
        if self.creds.auth:
            from mlflow.tracking.request_auth.registry import fetch_auth  # noqa: PLC0415

            plugin: AuthBase = fetch_auth(self.creds.auth)
            return plugin
        return None

    def _signing_keys(self) -> dict[str, str]:
        """A side's own keys for what signs requests; else it looks for them itself."""
        side = self.environment
        if not side.owns({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}):
            return {}
        named = {
            "aws_access_key_id": side.get("AWS_ACCESS_KEY_ID"),
            "aws_secret_access_key": side.get("AWS_SECRET_ACCESS_KEY"),
            "aws_session_token": side.get("AWS_SESSION_TOKEN"),
            "region": side.get("AWS_DEFAULT_REGION") or side.get("AWS_REGION"),
        }
        return {name: value for name, value in named.items() if value}

    @property
    def is_anonymous(self) -> bool:
        """Whether MLflow's settings and the address name nobody."""
        return not (self._authorization or self.creds.use_databricks_sdk or self.creds.auth)

    def proxies(self) -> dict[str, str]:
        """The proxies of a side that has its own; empty where those of the process count."""
        side = self.environment
        if not side.owns(PROXIES):
            return {}
        skipped = side.get("NO_PROXY")
        if skipped and should_bypass_proxies(self.url, skipped):
            return {"no_proxy": skipped}
        named = {s: side.get(f"{s.upper()}_PROXY") or side.get("ALL_PROXY") for s in _WEB}
        return {scheme: proxy for scheme, proxy in named.items() if proxy} or {"no_proxy": "*"}

    @property
    def verify(self) -> bool | str:
        """Whether certificates are checked, or the bundle that they are checked by."""
        verify: bool | str = self.creds.verify
        return verify

    @property
    def certificate(self) -> str | None:
        """The client's own certificate."""
        path: str | None = self.creds.client_cert_path
        return path

    @cached_property
    def _own_headers(self) -> dict[str, str] | None:
        """What MLflow's own providers say, once: it takes them milliseconds, and never changes.

        None where there are plug-ins, which are asked for each request, as MLflow does.
        """
        if all(type(found).__module__.startswith("mlflow.") for found in _providers):
            return dict(resolve_request_headers())
        return None

    @cached_property
    def _authorization(self) -> str | None:
        user, password = self.user_info or (self.creds.username, self.creds.password)
        if user and password:
            pair = base64.standard_b64encode(f"{user}:{password}".encode()).decode()
            return f"Basic {pair}"
        return f"Bearer {self.creds.token}" if self.creds.token else None

    @cached_property
    def _databricks(self) -> Any:  # noqa: ANN401 -- a client of the SDK, which may be absent
        from mlflow.utils.rest_utils import get_workspace_client  # noqa: PLC0415

        creds = self.creds
        return get_workspace_client(
            creds.use_secret_scope_token, creds.host, creds.token, creds.databricks_auth_profile
        )


def access_to(address: str, environment: Environment = PROCESS) -> Access:
    """How to reach a server, by MLflow's own rules.

    Args:
        address: ``http(s)://…``, ``databricks`` or ``databricks://profile``.
        environment: What its side sees; its own variables go before those of the process.

    Raises:
        AccessDeniedError: there are no credentials for it.
        UsageError: MLflow's settings contradict each other, or a side's variables are of no use.
    """
    databricks = is_databricks(address)
    if databricks and environment.owns(DATABRICKS):
        raise UsageError(
            "Databricks' own code reads its variables, and knows of no sides",
            subject=redact(address),
            hint="give each workspace a profile in ~/.databrickscfg: databricks://PROFILE",
        )
    find: Callable[[str], MlflowHostCreds] = (
        get_databricks_host_creds if databricks else get_default_host_creds
    )
    try:
        creds = _of_side(find(address), environment)
    except MlflowException as error:
        kind = AccessDeniedError if databricks else UsageError
        hint = "check Databricks' or MLflow's own settings: profile, token, MLFLOW_TRACKING_*"
        raise kind(redact(str(error)), subject=redact(address), hint=hint) from None
    url, user_info = _split(creds.host)
    return Access(url, redact(address), databricks, creds, user_info, environment)


def _of_side(creds: MlflowHostCreds, side: Environment) -> MlflowHostCreds:
    """MLflow's settings, with what a side has of its own in the place of the process's."""
    if not side.own:
        return creds
    told = {
        "username": creds.username,
        "password": creds.password,
        "token": creds.token,
        "aws_sigv4": creds.aws_sigv4,
        "auth": creds.auth,
        "ignore_tls_verification": creds.ignore_tls_verification,
        "server_cert_path": creds.server_cert_path,
        "client_cert_path": side.get("MLFLOW_TRACKING_CLIENT_CERT_PATH") or creds.client_cert_path,
    }
    if side.owns(LOGIN):
        told |= {
            "username": side.get("MLFLOW_TRACKING_USERNAME"),
            "password": side.get("MLFLOW_TRACKING_PASSWORD"),
            "token": side.get("MLFLOW_TRACKING_TOKEN"),
            "aws_sigv4": side.is_true("MLFLOW_TRACKING_AWS_SIGV4"),
            "auth": side.get("MLFLOW_TRACKING_AUTH"),
        }
    if side.owns(TLS):
        told |= {
            "ignore_tls_verification": side.is_true("MLFLOW_TRACKING_INSECURE_TLS"),
            "server_cert_path": side.get("MLFLOW_TRACKING_SERVER_CERT_PATH"),
        }
    return MlflowHostCreds(creds.host, **told)


def stranger_at(address: str, environment: Environment = PROCESS) -> Access:
    """How to reach a server that MLflow's credentials are not meant for: by its address alone.

    What plug-ins put into headers, and the client's own certificate, are not for it either.
    """
    known = _of_side(get_default_host_creds(address), environment)
    creds = MlflowHostCreds(
        host=address,
        ignore_tls_verification=known.ignore_tls_verification,
        server_cert_path=known.server_cert_path,
    )
    url, user_info = _split(address)
    return Access(
        url,
        redact(address),
        databricks=False,
        creds=creds,
        user_info=user_info,
        environment=environment,
        own={},
    )


def _split(url: str) -> tuple[str, tuple[str, str] | None]:
    """A URL without its user and password, and these."""
    parts = urlsplit(url)
    plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    if parts.username is None:
        return plain.rstrip("/"), None
    return plain.rstrip("/"), (unquote(parts.username), unquote(parts.password or ""))
