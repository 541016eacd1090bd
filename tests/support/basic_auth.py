"""MLflow's own log-in in front of a server: options and settings for `mlflow_server`."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from base64 import b64encode
from contextlib import closing
from typing import TYPE_CHECKING

from werkzeug.security import generate_password_hash

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


def hash_quickly(folder: Path, *users: tuple[str, str]) -> None:
    """Keep the passwords of users of a running server as sums that are checked at once.

    MLflow checks the password at each request, with what takes a tenth of a second on purpose.
    """
    with closing(sqlite3.connect(folder / "auth.db")) as database, database:
        for name, password in users:
            changed = database.execute(
                "UPDATE users SET password_hash = ? WHERE username = ?",
                (generate_password_hash(password, "pbkdf2:sha256:1"), name),
            )
            assert changed.rowcount == 1, name


def make_ann(address: str, experiment: str, folder: Path) -> None:
    """Make a user who may read one experiment, of a server with the `settings` in the folder."""
    hash_quickly(folder, ADMIN)
    user = {"username": ANN[0], "password": ANN[1]}
    _call(address, "/api/2.0/mlflow/users/create", user)
    hash_quickly(folder, ANN)
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
