"""No password leaves by accident: what is shown, logged or written down goes through here."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

__all__ = ["has_password", "hide_passwords", "needs_encoding", "redact", "redact_address"]
__all__ += ["redact_argument", "remember_password", "remember_secret"]

_URL_PASSWORD = re.compile(
    # ://user:password@, where the password may hold any sign but white space; what follows a
    # port (://host:5000/path@alias) is no password.
    r"(://[^:/\s\"']*):(?!\d+(?:[/\s\"']|$))[^\s\"'<>]+@"
)
_SIGNS = re.compile(r"[@/#?:%\s]")
"""Signs of a password that must be percent-encoded in an address."""
_DATABASES = ("postgres", "mysql", "mariadb")
_SHORTEST = 6
"""Characters of a password from which on it is hidden wherever it stands."""
_LONGER = 8
"""The same of one without signs that are rare in words."""
_MOST_REMEMBERED = 1000
_remembered: dict[str, None] = {}
_WORDS = (
    r"password|passwd|pwd|token|secret|sig|signature|credential|access_?key|account_?key|"
    r"api_?key|auth|sas"
)
_PARAMETER = re.compile(rf"([?&;](?:[^=&#\s]*(?:{_WORDS})[^=&#\s]*))=[^&#\s\"']*", re.IGNORECASE)
_WHOLE_PARAMETER = re.compile(rf"([?&;][^=&]*(?:{_WORDS})[^=&]*)=([^&]*)", re.IGNORECASE)
"""The same in a text that is an address and nothing else, whatever signs the value has."""
_WITHOUT_SCHEME = re.compile(r"^(--[\w-]+=)?((?:[a-z+\d]+:/?)?[^@/\s:=]{2,}):\S.*@", re.DOTALL)
"""User and password of an address that lacks its scheme, or slashes behind it."""
_VALUE = re.compile(
    r"(\b[\w-]*(?:password|passwd|secret|token)[\w-]*\s*[=:]\s*)"
    r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s&'\",;]+)",
    re.IGNORECASE,
)
_TOKEN_AS_USER = re.compile(r"(https?://)[^\s/@:?#\"'<>]{20,}@", re.IGNORECASE)
"""A token in the place of a user's name, without a password."""


def _userinfo(address: str) -> str:
    """What stands for user and password in an address, escaped as it should be or not; or ""."""
    scheme, separator, rest = address.partition("://")
    if not separator or "@" not in rest or scheme.startswith("sqlite"):
        return ""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if _goes_on(scheme, authority, rest[len(authority) :]):
        return rest.rpartition("@")[0]
    return authority.rpartition("@")[0]


def _goes_on(scheme: str, authority: str, behind: str) -> bool:
    """Whether the password goes on behind the place where a parser ends user, host and port.

    Args:
        scheme: Of the address.
        authority: What the parser takes for them.
        behind: Path, query and fragment.
    """
    if "@" not in behind:
        return False
    port = authority.rpartition("@")[2].partition(":")[2]
    if port and not port.isdecimal() and not port.endswith("]") and "]" not in authority:
        return True
    path = re.split(r"[?#]", behind, maxsplit=1)[0]
    if "@" in path:
        # A server's prefix and a bucket's key may hold one; a database's name hardly ever.
        return "@" in authority or scheme.startswith(_DATABASES)
    query = behind[len(path) :]
    return "=" not in query.partition("@")[0] or query.startswith("#")


def needs_encoding(address: str) -> bool:
    """Whether the password in an address holds signs that end it for a URL's parser.

    >>> needs_encoding("postgresql://me:p@ss/word@host/db")
    True
    >>> needs_encoding("postgresql://me:p%40ss%2Fword@host/db?options=a@b")
    False
    """
    password = _userinfo(address).partition(":")[2]
    return bool(re.search(r"[@/#?\s]|%(?![0-9A-Fa-f]{2})", password))


def remember_password(address: str) -> None:
    """Hide the passwords of an address from now on, as they read when they are decoded.

    A driver may show them as it understood them. One that is a word of the rest of the address,
    as a user or database of the same name, is found in too many messages.
    """
    userinfo = _userinfo(address)
    said = userinfo.partition(":")[2]
    rest = address.replace(f":{said}@", "@", 1) if said else address
    if said and said not in rest:
        remember_secret(unquote(said))
    for value in _parameters(address):
        remember_secret(unquote_plus(value))


def remember_secret(value: str) -> None:
    """Hide a value from now on: a password, or what a variable holds that is for secrets.

    One that is short, a mere word or a mere number would be found in messages that are about
    something else.
    """
    is_odd = len(value) >= _SHORTEST and _SIGNS.search(value)
    is_mixed = len(value) >= _LONGER and not value.isalpha() and not value.isdecimal()
    if is_odd or is_mixed:
        _remember(value)


def _remember(secret: str) -> None:
    if len(_remembered) >= _MOST_REMEMBERED:
        _remembered.clear()
    _remembered[secret] = None


def _parameters(address: str) -> list[str]:
    """The values of an address's parameters that are credentials by their names."""
    return [value for _, value in _WHOLE_PARAMETER.findall(address) if value]


def has_password(address: str) -> bool:
    """Whether an address holds a password or another secret, wherever in it.

    >>> has_password("postgresql://me:x@host/db"), has_password("postgresql://me@host/db?password=x")
    (True, True)
    >>> has_password("postgresql://me@host:5432/db?options=a")
    False
    """
    password = _userinfo(address).partition(":")[2]
    return bool(password or _parameters(address) or _TOKEN_AS_USER.search(address))


def redact_address(address: str) -> str:
    """An address for people: its password is hidden whatever it holds, and so are parameters.

    >>> redact_address("postgresql://me:a 'word'/@:@host/db?sslmode=require")
    'postgresql://me:***@host/db?sslmode=require'
    """
    userinfo = _userinfo(address)
    user, colon, password = userinfo.partition(":")
    shown = f"{user}{colon}***" if password else userinfo
    text = address.replace(userinfo, shown, 1) if userinfo else address
    if "://" in text:
        text = _WHOLE_PARAMETER.sub(r"\1=***", text)
    return redact(text)


def redact_argument(text: str) -> str:
    """An argument of a command line, which may be an address, an option with one, or half of one.

    >>> redact_argument("--auth=me:pass@host:5432/db"), redact_argument("http:me:pass@host")
    ('--auth=me:***@host:5432/db', 'http:me:***@host')
    """
    if "://" in text:
        return redact_address(text)
    return redact(_WITHOUT_SCHEME.sub(r"\1\2:***@", text, count=1))


def hide_passwords(text: str) -> str:
    """Hide the passwords of all URLs in a text, and nothing else: for values and ids.

    >>> hide_passwords("s3://me:pass@bucket/x")
    's3://me:***@bucket/x'
    """
    if "://" not in text:  # as hardly any does: values are looked at by the million
        return text
    return _TOKEN_AS_USER.sub(r"\1***@", _URL_PASSWORD.sub(r"\1:***@", text))


def redact(text: str) -> str:
    """Hide all that may be a credential in an address, a message, a log line or a traceback.

    >>> redact("s3://me:pass@bucket/x?token=abc&v=1 password=xyz")
    's3://me:***@bucket/x?token=***&v=1 password=***'
    """
    for password in sorted(_remembered, key=len, reverse=True):
        text = text.replace(password, "***")
    return _VALUE.sub(r"\1***", _PARAMETER.sub(r"\1=***", hide_passwords(text)))
