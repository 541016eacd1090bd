"""What MySQL's errors mean, in our words: by number, as the texts are in the server's language."""

from __future__ import annotations

from mlporter.errors import AccessDeniedError, MlporterError, RowRefusedError, UnreachableError
from mlporter.redaction import redact

__all__ = ["connect_error", "mysql_error"]

_DENIED = frozenset({1044, 1045, 1142, 1143, 1227, 1251, 1370, 1698, 4151})
_HINTS = {
    1021: "free up some space, and run it again",
    1040: "wait until some clients disconnect, or raise max_connections",
    1041: "give the server more memory",
    1049: "create the database first: CREATE DATABASE name CHARACTER SET utf8mb4",
    1114: "free up some space, and run it again",
    1153: "raise max_allowed_packet in the server's settings",
    1205: "another transaction holds what this one needs: wait until it ends",
    1206: "raise innodb_buffer_pool_size in the server's settings",
    1213: "another transaction got in the way: run it again",
    1412: "its tables were changed in the meantime: run it again",
    2006: "the server may have been stopped, or refused a statement longer than max_allowed_packet",
    2013: "the server may have been stopped, or refused a statement longer than max_allowed_packet",
}
_RULES = frozenset({1022, 1048, 1062, 1169, 1216, 1264, 1265, 1292, 1366, 1406, 1452, 3819, 4025})


def mysql_error(error: Exception, subject: str) -> MlporterError:
    """An error of PyMySQL as one of ours, without credentials."""
    number, message = _said(error)
    if number in _DENIED:
        hint = "the user needs SELECT on the database, and all rights on one to import into"
        return AccessDeniedError(message, subject=subject, hint=hint)
    if number in _RULES:
        hint = "the rows violate MLflow's schema; for a bundle, `mlporter verify` says more"
        return RowRefusedError(message, subject=subject, hint=hint)
    hint = _HINTS.get(number, "see the database's own log")
    return UnreachableError(message, subject=subject, hint=hint)


def connect_error(error: Exception, subject: str) -> MlporterError:
    """Why there is no connection."""
    number, message = _said(error)
    if number in _DENIED or "cryptography" in message:
        hint = "check user and password; both may stand in a file: ?read_default_file=~/.my.cnf"
        if "cryptography" in message:
            hint = "pip install 'pymysql[rsa]', or connect with TLS: ?ssl_ca=…"
        return AccessDeniedError(message, subject=subject, hint=hint)
    hint = _HINTS.get(number, "check host, port or socket, and that the server is running")
    return UnreachableError(message, subject=subject, hint=hint)


def _said(error: Exception) -> tuple[int, str]:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1]) if number and len(error.args) > 1 else str(error)
    lines = [line.strip() for line in redact(text).splitlines() if line.strip()]
    return number, lines[0] if lines else type(error).__name__
