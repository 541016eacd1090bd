"""MLflow's own log-in in front of a server: options and settings for `mlflow_server`."""

from __future__ import annotations

import json
import urllib.request
from base64 import b64encode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ADMIN = "admin", "password12345"
ANN = "ann", "annpassword12"
OPTIONS = ("--app-name", "basic-auth")


def settings(folder: Path, admin: tuple[str, str] = ADMIN) -> dict[str, str]:
    """Variables for the server; whoever has no permission has none."""
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
        f"database_uri = sqlite:///{folder / 'auth.db'}\n"
        f"admin_username = {admin[0]}\nadmin_password = {admin[1]}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of these tests",
    }


def make_ann(address: str, experiment: str) -> None:
    """Make a user who may read one experiment."""
    user = {"username": ANN[0], "password": ANN[1]}
    _call(address, "/api/2.0/mlflow/users/create", user)
    granted = {
        "username": ANN[0],
        "resource_type": "experiment",
        "resource_id": experiment,
        "permission": "READ",
    }
    _call(address, "/api/3.0/mlflow/users/permissions/grant", granted)


def _call(address: str, path: str, body: object) -> None:
    token = b64encode(":".join(ADMIN).encode()).decode()
    request = urllib.request.Request(  # noqa: S310 -- http
        address + path,
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Basic {token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        assert answer.status == 200
