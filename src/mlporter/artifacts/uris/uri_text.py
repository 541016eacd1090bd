r"""Artifact URIs as text: join, compare, map, redact. Nothing here touches a file or a network.

MLflow writes one place in many spellings: ``/srv/x``, ``file:/srv/x``, ``file:///srv/x``,
``./x``, ``C:\x``, ``file:///C:/x``, ``s3://bucket/x/``. `canonical` brings them to one shape,
which is what `strip_root`, `UriMap` and `mlporter.artifacts.uris.ownership` compare.

Local spellings are percent-decoded, bare paths too, because that is how MLflow resolves them
(`mlflow.utils.file_utils.local_file_uri_to_path`); other schemes are not, because MLflow does not.
"""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import ParseResult, quote, unquote, urlparse, urlunparse

from mlporter.errors import UsageError
from mlporter.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Canonical",
    "UriMap",
    "canonical",
    "is_windows_path",
    "join",
    "local_path",
    "safe_relative",
    "scheme_of",
    "strip_root",
    "uri_below",
    "uri_of_path",
]

_DRIVE = re.compile(r"^[A-Za-z]:")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(?:[./][A-Za-z0-9_-]+)*")
"""Paths that are safe on any platform at first sight, as almost all are."""
_FILE_DRIVE = re.compile(r"^file:/*[A-Za-z][:|]", re.IGNORECASE)
_LOCAL_HOSTS = ("", ".", "localhost", "127.0.0.1")
_MAX_DECODINGS = 10
_PARSED = 256
"""URIs of which it is remembered what they are made of: of one owner, it is asked several times."""


@dataclass(frozen=True, slots=True)
class Canonical:
    """A URI in one shape.

    Attributes:
        store: What the path lies in: "" (this machine, absolute), "." (relative), ``c:`` (a
            Windows drive), ``//`` (a Windows share), or ``s3://bucket``; a query string or
            fragment is part of it.
        path: Segments joined by ``/``, without a slash at either end.
        local: Whether the path was percent-decoded (it is a file system's).
    """

    store: str
    path: str
    local: bool

    def below(self, root: Canonical) -> str | None:
        """The path below `root` ("" if they are equal), or None if it does not lie there."""
        if self.store != root.store:
            return None
        if not root.path:
            rest = self.path
        elif self.path == root.path:
            rest = ""
        elif self.path.startswith(root.path + "/"):
            rest = self.path[len(root.path) + 1 :]
        else:
            return None
        return None if ".." in rest.split("/") else rest


def is_windows_path(uri: str) -> bool:
    r"""Whether it names a Windows drive or share: ``C:\x``, ``C:/x``, ``\\host\x``, ``file:///C:/``."""
    return bool(_DRIVE.match(uri) or _FILE_DRIVE.match(uri)) or uri.startswith("\\\\")


def scheme_of(uri: str) -> str:
    """The URI's scheme in lower case; "" for a path, a Windows path included."""
    if is_windows_path(uri):
        return ""
    return _parse(uri).scheme


def canonical(uri: str, base: Path | None = None) -> Canonical:
    """The URI in the shape in which URIs are compared; relative paths against `base` if given."""
    if _is_plain(uri):
        return Canonical("", uri[1:], local=True)
    if is_windows_path(uri):
        return _canonical_windows(uri)
    parsed = _parse(uri)
    if parsed.scheme in ("", "file"):
        return _canonical_local(uri, parsed, base)
    query = f"?{parsed.query}" if parsed.query else ""
    fragment = f"#{parsed.fragment}" if parsed.fragment else ""
    authority = f"//{parsed.netloc}" if parsed.netloc else ""
    # One slash parts authority and path; a second one is part of an object's key.
    path = parsed.path.removeprefix("/").rstrip("/")
    params = f";{parsed.params}" if parsed.params else ""
    return Canonical(f"{parsed.scheme}:{authority}{params}{query}{fragment}", path, local=False)


def _is_plain(uri: str) -> bool:
    """Whether it is an absolute path with nothing in it that means anything in a URI."""
    return uri.startswith("/") and _PLAIN_PATH.fullmatch(uri, 1) is not None


@lru_cache(_PARSED)
def _parse(uri: str) -> ParseResult:
    try:
        return urlparse(uri)
    except ValueError:
        # An unbalanced "[" in a bare path is no IPv6 address.
        return ParseResult("", "", uri, "", "", "")


def _canonical_windows(uri: str) -> Canonical:
    path = uri
    if uri[:5].lower() == "file:":
        path = unquote(uri[5:]).lstrip("/")
    path = path.replace("\\", "/")
    if path.startswith("//"):
        return Canonical("//", _squeeze(path), local=True)
    return Canonical(f"{path[0].lower()}:", _squeeze(path[2:]), local=True)


def _canonical_local(uri: str, parsed: ParseResult, base: Path | None) -> Canonical:
    if parsed.scheme == "file" and not _is_local_host(parsed):
        return Canonical("//", _squeeze(f"{parsed.netloc}/{unquote(parsed.path)}"), local=True)
    path = unquote(parsed.path if parsed.scheme == "file" else uri)
    if not path.startswith("/"):
        if base is None:
            return Canonical(".", _squeeze(path), local=True)
        path = os.path.normpath(base / path)
        if is_windows_path(path):
            return _canonical_windows(path)
    return Canonical("", _squeeze(path), local=True)


def _is_local_host(parsed: ParseResult) -> bool:
    host = (parsed.hostname or "").lower()
    return host in _LOCAL_HOSTS


def _squeeze(path: str) -> str:
    """File systems ignore repeated slashes and single dots; so do we."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def local_path(uri: str, base: Path | None = None) -> Path | None:
    """The local path that MLflow would use for an artifact URI, or None if it is no local URI.

    Args:
        uri: A path, or a ``file:`` URI. Percent escapes are decoded, in bare paths too.
        base: What relative paths are relative to (the folder of a SQLite file); None for the
            current directory.

    Returns:
        An absolute path; None for other schemes, for ``file://otherhost/``, and for Windows
        drives and shares on a machine that has none.
    """
    if os.name != "nt" and _is_plain(uri):
        return Path(uri)
    if is_windows_path(uri):
        return _local_windows_path(uri) if os.name == "nt" else None
    parsed = _parse(uri)
    if parsed.scheme not in ("", "file") or not uri:
        return None
    if parsed.scheme == "file" and not _is_local_host(parsed):
        return None
    path = unquote(parsed.path if parsed.scheme == "file" else uri)
    if "\0" in path:
        return None
    return (base or Path.cwd()).absolute() / path


def _local_windows_path(uri: str) -> Path:
    if uri[:5].lower() == "file:":
        return Path(unquote(uri[5:]).lstrip("/").replace("|", ":", 1))
    return Path(uri)


def uri_of_path(path: Path) -> str:
    """The bare spelling of a local path that MLflow resolves to that very path."""
    return path.as_posix().replace("%", "%25")


def join(root_uri: str, *parts: str) -> str:
    """`parts` appended to the path of `root_uri`, exactly as MLflow's `append_to_uri_path` does.

    Raises:
        UsageError: `root_uri` has a query string with ``..``, which MLflow refuses.
    """
    path = ""
    for part in parts:
        path = _append(path, part)
    parsed = urlparse(root_uri)
    if ".." in _decoded(parsed.query):
        raise UsageError("its query string contains ..", subject=redact(root_uri))
    if not parsed.scheme:
        return _append(root_uri, path)
    prefix = ""
    if not parsed.path.startswith("/"):
        # urlunparse would make the relative path of "file:x" an absolute one.
        prefix = f"{parsed.scheme}:"
        parsed = parsed._replace(scheme="")
    return prefix + urlunparse(parsed._replace(path=_append(parsed.path, path)))


def _append(prefix: str, suffix: str) -> str:
    return posixpath.join(prefix, suffix.lstrip("/")) if prefix else suffix


def _decoded(query: str) -> str:
    for _ in range(_MAX_DECODINGS):
        decoded = unquote(query)
        if decoded == query:
            break
        query = decoded
    return query


def uri_below(root_uri: str, path: str) -> str:
    """The URI of an artifact path, as it is spelt on disk or in a store, below `root_uri`.

    Unlike `join` it escapes what the root's kind of URI would decode, so that `local_path` of the
    result is the path itself, and `strip_root` gives the path back.
    """
    return join(root_uri, _encode(path, root_uri)) if path else root_uri


def strip_root(uri: str, root: str, base: Path | None = None) -> str | None:
    """The path of `uri` below `root`: "" if they are the same place, None if it lies elsewhere.

    Slashes at the end do not count, nor does ``file:///x`` against ``/x``. The answer is
    percent-decoded where the URI is local. A path that climbs (``..``) lies nowhere.
    """
    return canonical(uri, base).below(canonical(root, base))


@dataclass(frozen=True)
class UriMap:
    """Where files are whose recorded URI cannot be reached from here: ``--map-uri FROM=TO``.

    The longest FROM that a URI lies in wins; it matches whole path segments only. ``file:``
    URIs, bare paths and Windows paths match each other's spellings.
    """

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> UriMap:
        """Read ``FROM=TO`` strings; a relative TO is taken from the current directory.

        Raises:
            UsageError: a text has no ``=``, an empty side, a side that is no place of files
                (``runs:``, ``models:``), or a FROM that is already mapped elsewhere.
        """
        seen: dict[Canonical, tuple[str, str]] = {}
        for text in texts:
            source, target = _split_pair(text)
            key = canonical(source)
            if seen.get(key, (source, target))[1] != target:
                raise UsageError(f"--map-uri maps {redact(source)} twice, to different places")
            seen[key] = (source, target)
        longest = sorted(seen, key=lambda c: (-len(c.path), c.path, c.store))
        return cls(tuple(seen[key] for key in longest))

    @property
    def targets(self) -> tuple[str, ...]:
        """The places that the user named."""
        return tuple(target for _, target in self.pairs)

    def folders(self, base: Path | None = None) -> tuple[Path, ...]:
        """The folders of this machine that files are to be found in."""
        found = (local_path(target, base) for _, target in self.pairs)
        return tuple(folder for folder in found if folder is not None)

    def apply(self, uri: str) -> str:
        """The URI to look at instead of `uri`: itself where nothing maps it."""
        if not self.pairs:
            return uri
        place = canonical(uri)
        for source, target in self.pairs:
            rest = place.below(canonical(source))
            if rest is not None:
                return uri_below(target, rest)
        return uri


def _split_pair(text: str) -> tuple[str, str]:
    """FROM may hold "=" (``/data/day=3``): cut where TO looks like an address, if anywhere."""
    cuts = [i for i, char in enumerate(text) if char == "="]
    good = [i for i in cuts if re.match(r"[/.~\\]|[A-Za-z][A-Za-z0-9+.-]*:", text[i + 1 :])]
    if not cuts:
        raise UsageError(f"--map-uri needs FROM=TO, not {redact(text)!r}")
    cut = (good or cuts)[0]
    source, target = text[:cut].strip(), text[cut + 1 :].strip()
    if not source or not target:
        raise UsageError(f"--map-uri needs FROM=TO, and one side of {redact(text)!r} is empty")
    for side in (source, target):
        if scheme_of(side) in ("runs", "models"):
            raise UsageError(f"--map-uri maps file locations, and {redact(side)!r} is none")
    if target == "~" or target.startswith("~/"):
        target = uri_of_path(Path(target).expanduser())
    elif scheme_of(target) == "" and not target.startswith("/") and not is_windows_path(target):
        target = posixpath.normpath(posixpath.join(uri_of_path(Path.cwd()), target))
    return source, target


def _encode(rest: str, target: str) -> str:
    """A decoded path so that `target`'s kind of URI decodes to it again."""
    scheme = scheme_of(target)
    if scheme == "file" or _FILE_DRIVE.match(target):
        return quote(rest, safe="/!$&'()*+,;=:@-._~")
    return rest.replace("%", "%25") if scheme == "" else rest


def safe_relative(path: str) -> bool:
    r"""Whether `path` may be joined to an artifact root and stays in it, on every platform.

    It is relative, ``/`` separated, not empty, valid Unicode, without NUL, without empty, ``.``
    or ``..`` segments, and without a Windows drive. A backslash is an ordinary character (it is
    one on POSIX and in object stores, and refusing it would lose files), unless reading it as a
    separator would make the path climb or absolute.
    """
    if _PLAIN_PATH.fullmatch(path):
        return True
    if not path or "\0" in path or path[0] in "/\\" or _DRIVE.match(path):
        return False
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    if any(part in ("", ".", "..") for part in path.split("/")):
        return False
    return ".." not in path.replace("\\", "/").split("/")
