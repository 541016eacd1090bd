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

from mlporter.errors import AccessDeniedError, UsageError
from mlporter.redaction import redact
from mlporter.stores.address import is_databricks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from requests.auth import AuthBase

__all__ = ["Access", "access_to", "stranger_at"]


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

            signing: AuthBase = AWSSigV4("execute-api")
            return signing
        if self.creds.auth:
            from mlflow.tracking.request_auth.registry import fetch_auth  # noqa: PLC0415

            plugin: AuthBase = fetch_auth(self.creds.auth)
            return plugin
        return None

    @property
    def is_anonymous(self) -> bool:
        """Whether MLflow's settings and the address name nobody."""
        return not (self._authorization or self.creds.use_databricks_sdk or self.creds.auth)

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


def access_to(address: str) -> Access:
    """How to reach a server, by MLflow's own rules.

    Args:
        address: ``http(s)://…``, ``databricks`` or ``databricks://profile``.

    Raises:
        AccessDeniedError: there are no credentials for it.
        UsageError: MLflow's settings contradict each other.
    """
    databricks = is_databricks(address)
    find: Callable[[str], MlflowHostCreds] = (
        get_databricks_host_creds if databricks else get_default_host_creds
    )
    try:
        creds = find(address)
    except MlflowException as error:
        kind = AccessDeniedError if databricks else UsageError
        hint = "check Databricks' or MLflow's own settings: profile, token, MLFLOW_TRACKING_*"
        raise kind(redact(str(error)), subject=redact(address), hint=hint) from None
    url, user_info = _split(creds.host)
    return Access(url, redact(address), databricks, creds, user_info)


def stranger_at(address: str) -> Access:
    """How to reach a server that MLflow's credentials are not meant for: by its address alone.

    What plug-ins put into headers, and the client's own certificate, are not for it either.
    """
    known = get_default_host_creds(address)
    creds = MlflowHostCreds(
        host=address,
        ignore_tls_verification=known.ignore_tls_verification,
        server_cert_path=known.server_cert_path,
    )
    url, user_info = _split(address)
    return Access(url, redact(address), databricks=False, creds=creds, user_info=user_info, own={})


def _split(url: str) -> tuple[str, tuple[str, str] | None]:
    """A URL without its user and password, and these."""
    parts = urlsplit(url)
    plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    if parts.username is None:
        return plain.rstrip("/"), None
    return plain.rstrip("/"), (unquote(parts.username), unquote(parts.password or ""))
