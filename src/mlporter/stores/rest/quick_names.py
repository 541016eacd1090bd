"""Names of a tracking server's experiments and models, asked once and without MLflow's client.

For a shell that completes a word: who waits for it would rather have nothing than wait for long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from mlporter.stores.addresses.address import Address

__all__ = ["quick_names"]

_MOST = 1000
_REQUESTS = {
    "experiments": ("POST", "experiments/search"),
    "registered_models": ("GET", "registered-models/search"),
}
_OTHER_WAYS = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")


def quick_names(place: Address, table: str, patience: float) -> list[str]:
    """The names of the first thousand of a kind; none where the server does not answer.

    Args:
        place: The server.
        table: ``experiments`` or ``registered_models``.
        patience: Seconds to wait for it.
    """
    seen = place.environment
    if not place.text.startswith("http") or any(map(seen.get, _OTHER_WAYS)):
        return []
    token, user = seen.get("MLFLOW_TRACKING_TOKEN"), seen.get("MLFLOW_TRACKING_USERNAME")
    is_trusting = seen.is_true("MLFLOW_TRACKING_INSECURE_TLS")
    method, path = _REQUESTS[table]
    try:
        answer = requests.request(
            method,
            f"{place.text.rstrip('/')}/api/2.0/mlflow/{path}",
            params={"max_results": _MOST} if method == "GET" else None,
            json={"max_results": _MOST} if method == "POST" else None,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            auth=(user, seen.get("MLFLOW_TRACKING_PASSWORD") or "") if user else None,
            verify=not is_trusting and (seen.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True),
            timeout=patience,
            allow_redirects=False,
        )
        answer.raise_for_status()
        return [str(one["name"]) for one in answer.json().get(table, [])]
    except (requests.RequestException, ValueError, AttributeError, KeyError, TypeError):
        return []
