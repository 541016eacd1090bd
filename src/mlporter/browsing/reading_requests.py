"""Which requests to MLflow's server only read, as data; all others that might write are refused.

What MLflow adds is refused until it stands here: a test holds these lists against its own routes.
"""

from __future__ import annotations

import json
import re

__all__ = ["READING_POSTS", "REFUSED_GETS", "REFUSED_STATUS", "is_refused", "refusal"]

REFUSED_STATUS = 403

READING_POSTS = frozenset(
    {
        "/2.0/mlflow/artifacts/presigned-download-url",
        "/2.0/mlflow/experiments/search",
        "/2.0/mlflow/experiments/search-datasets",
        "/2.0/mlflow/logged-models/search",
        "/2.0/mlflow/registered-models/get-latest-versions",
        "/2.0/mlflow/runs/search",
        "/2.0mlflow/experiments/search-datasets",  # MLflow's own spelling
        "/3.0/jobs/search",
        "/3.0/mlflow/datasets/search",
        "/3.0/mlflow/issues/search",
        "/3.0/mlflow/prompt-optimization/jobs/search",
        "/3.0/mlflow/traces/batchGetInfos",
        "/3.0/mlflow/traces/calculate-filter-correlation",
        "/3.0/mlflow/traces/metrics",
        "/3.0/mlflow/traces/search",
        "/graphql",  # its mutations are searches, too
    }
)
"""Paths that are posted to and change nothing: searches, whose criteria are too long for a URL."""

REFUSED_GETS = (
    "/2.0/mlflow/gateway-proxy",  # asks another server
    "/3.0/mlflow/assistant/",  # starts programs on this machine
)
"""Beginnings of paths that do something although they are only got."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_API = re.compile(r"/(?:ajax-)?api(?=/)")
_PORT = re.compile(r":[0-9]*\Z")


def is_refused(method: str, path: str, host: str) -> str | None:
    """Why a request is refused, or None to let it through.

    Args:
        method: ``GET`` and the like.
        path: Of the URL, decoded.
        host: What the header ``Host`` says: a page of somebody else's, which gave its own name this
            machine's address, comes with that name.
    """
    if _PORT.sub("", host).lower() not in _HOSTS:
        return f"it is for the host {host[:100]!r}, and this is 127.0.0.1"
    below = _API.sub("", path, count=1).rstrip("/") if _API.match(path) else path
    if method in _READING:
        acts = any(f"{below}/".startswith(start) for start in REFUSED_GETS)
        return f"{method} {path} does more than read" if acts else None
    if method == "POST" and below in READING_POSTS:
        return None
    return f"{method} {path} may write"


def refusal(why: str) -> bytes:
    """The body of a refusal: an error as MLflow's clients and its UI read one."""
    message = f"Read-only: this is `mlporter browse`, and {why}. Nothing was changed."
    return json.dumps({"error_code": "PERMISSION_DENIED", "message": message}).encode()
