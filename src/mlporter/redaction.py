"""No password leaves by accident: what is shown, logged or written down goes through here."""

from __future__ import annotations

import re

__all__ = ["hide_passwords", "redact"]

_URL_PASSWORD = re.compile(
    # ://user:password@, where the password may hold any sign but white space; what follows a
    # port (://host:5000/path@alias) is no password.
    r"(://[^:/@\s\"']*):(?!\d+(?:[/\s\"']|$))[^\s\"'<>]+@"
)
_WORDS = (
    r"password|passwd|pwd|token|secret|sig|signature|credential|access_?key|account_?key|"
    r"api_?key|auth|sas"
)
_PARAMETER = re.compile(rf"([?&;](?:[^=&#\s]*(?:{_WORDS})[^=&#\s]*))=[^&#\s\"']*", re.IGNORECASE)
_VALUE = re.compile(
    r"(\b[\w-]*(?:password|passwd|secret|token)[\w-]*\s*[=:]\s*)[^\s&'\",;]+", re.IGNORECASE
)


def hide_passwords(text: str) -> str:
    """Hide the passwords of all URLs in a text, and nothing else: for values and ids.

    >>> hide_passwords("s3://me:pass@bucket/x")
    's3://me:***@bucket/x'
    """
    return _URL_PASSWORD.sub(r"\1:***@", text)


def redact(text: str) -> str:
    """Hide all that may be a credential in an address, a message, a log line or a traceback.

    >>> redact("s3://me:pass@bucket/x?token=abc&v=1 password=xyz")
    's3://me:***@bucket/x?token=***&v=1 password=***'
    """
    return _VALUE.sub(r"\1***", _PARAMETER.sub(r"\1=***", hide_passwords(text)))
