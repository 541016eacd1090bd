"""What to do where something else than MLflow answers, or MLflow somewhere else."""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import requests

__all__ = ["is_of_others", "log_in_hint", "page_hint", "prefix_hint", "speaks_tls", "tls_hint"]
__all__ += ["what_is_there"]

_SECONDS = 3
_NO_TLS = re.compile(
    r"wrong.version.number|record.layer|unknown.protocol|http.request", re.IGNORECASE
)
_WANTS_TLS = re.compile(r"HTTP request (was sent )?to (an )?HTTPS", re.IGNORECASE)
_HOST_REFUSED = re.compile(r"invalid host header|dns rebinding", re.IGNORECASE)


def log_in_hint(response: requests.Response) -> str:
    """What to do where a server does not know who asks."""
    sides = "a side has its own as DEV_MLFLOW_TRACKING_TOKEN with --source-env DEV_ (--target-env)"
    if response.status_code == 407:  # noqa: PLR2004 -- a proxy's
        return "the proxy requires a login: user:pass@ in HTTP_PROXY or HTTPS_PROXY"
    if "Authorization" in response.request.headers:
        return f"the login was refused: check user and password, or the token; {sides}"
    return (
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN; or "
        f"write user:pass@ before the host; {sides}"
    )


def is_of_others(response: requests.Response) -> str | None:
    """What to do about a 403 that is not MLflow's word on one thing; None if it is."""
    if "AirTunes" in response.headers.get("Server", ""):
        return "macOS itself has this port (AirPlay): start MLflow on another port, or turn it off"
    if _HOST_REFUSED.search(response.text):
        host = urlsplit(str(response.url)).netloc
        return f"the server does not accept this host name: start it with --allowed-hosts {host}"
    return None


def what_is_there(response: requests.Response, said: str) -> str | None:
    """What to do about an answer that leads elsewhere; None if it does not.

    Args:
        response: It has no success.
        said: Its words.
    """
    if response.is_redirect:
        return _redirected(response.headers.get("Location", ""), str(response.url))
    if response.status_code == 400 and _WANTS_TLS.search(said):  # noqa: PLR2004 -- a bad request
        return "it speaks TLS on this port: begin the address with https://"
    return None


def _redirected(location: str, url: str) -> str:
    there, here = urlsplit(location), urlsplit(url)
    if there.scheme == "https" and here.scheme == "http" and there.hostname == here.hostname:
        return "it is reached by TLS only: begin the address with https://"
    where = f"{there.scheme}://{there.hostname}{there.path}" if there.hostname else there.path
    return (
        f"it leads to {where}: name the address behind it; if that is a login page, set "
        "MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    )


def page_hint(response: requests.Response) -> str:
    """What to do where a page for people came."""
    if response.history:
        return _redirected(str(response.url), str(response.history[0].url))
    return (
        "check that the address is an MLflow server's, with its path prefix if it has one "
        "(https://host/mlflow); a proxy may show its login page"
    )


def prefix_hint(url: str) -> str:
    """What to do where a server has none of MLflow's endpoints."""
    parts = urlsplit(url)
    if parts.path.strip("/"):
        root = f"{parts.scheme}://{parts.netloc}"
        return f"check the path prefix {parts.path}, or try {root} without one"
    return f"a server behind a proxy often has a path prefix, such as {url}/mlflow"


def tls_hint(url: str, text: str) -> str:
    """What to do where TLS failed, by what was said."""
    if url and _NO_TLS.search(text):
        return f"it speaks no TLS on this port: http{url.removeprefix('https')}"
    return (
        "MLFLOW_TRACKING_SERVER_CERT_PATH names the certificates to trust, "
        "MLFLOW_TRACKING_CLIENT_CERT_PATH the client's own"
    )


def speaks_tls(url: str) -> bool:
    """Whether TLS is spoken where plain HTTP was tried, and no answer came."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        return False
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((parts.hostname, parts.port or 80), _SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname),
        ):
            return True
    except ssl.SSLError as error:
        # A server that wants a certificate of ours speaks it, too.
        return "ALERT" in str(error).upper()
    except OSError:
        return False
