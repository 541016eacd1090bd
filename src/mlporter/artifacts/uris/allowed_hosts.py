"""Which hosts an artifact URI may make this machine talk to. Pure: nothing here asks anybody.

An artifact URI stands in a row, and anybody who may write a run may write any URI. Who exports has
credentials, and is often in a network that others cannot reach. So a host that only a row names is
not asked, as a folder that only a row names is not read
(`mlporter.artifacts.uris.allowed_folders`).

S3, Google's and Azure's stores are not among these: their hosts come from the settings of this
machine, or are the provider's own.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from mlporter.artifacts.uris.uri_text import Canonical, canonical, scheme_of
from mlporter.errors import OutsideError
from mlporter.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PROXY", "Hosts", "Proxy", "is_web"]

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
"""Where a tracking server sends and takes artifacts."""

_PORTS = {"http": 80, "https": 443}
_ARTIFACTS = "mlflow-artifacts"
_FILE_SYSTEMS = frozenset({"ftp", "sftp", "hdfs", "viewfs"})
"""File systems of other machines. What MLflow sends them is of the URI, or proves who asks without
telling a secret: a host counts if an experiment's files lie there."""
_CONFIGURED = frozenset({"hdfs", "viewfs"})
"""Without a host, they are the one that the settings of this machine name."""
_PROVIDERS = {
    "abfss": (
        ".dfs.core.windows.net",
        ".dfs.core.chinacloudapi.cn",
        ".dfs.core.usgovcloudapi.net",
        ".dfs.storage.azure.net",
        ".dfs.fabric.microsoft.com",
    ),
    "r2": (".r2.cloudflarestorage.com",),
    "b2": (".backblazeb2.com",),
}
"""Object stores whose URI names the host that gets a token, and the hosts of those who run them."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A tracking server that is asked for files.

    Attributes:
        url: Scheme, host and path prefix; may hold a user and a password, so it is never shown.
        has_settings: Whether the credentials in MLflow's settings are meant for it.
        is_home: Whether ``mlflow-artifacts:/…`` lies there.
    """

    url: str
    has_settings: bool = True
    is_home: bool = False

    def path_of(self, uri: str) -> str | None:
        """The path that a URI has behind this server; None if it lies elsewhere."""
        parts, mine = _split(uri), _split(self.url)
        if parts is None or mine is None:
            return None
        rest = uri.partition(":")[2].removeprefix(f"//{parts.netloc}")
        if parts.scheme == _ARTIFACTS:
            is_here = _origin(parts, mine.scheme) == _origin(mine) if parts.netloc else self.is_home
        else:
            before = f"{mine.path.rstrip('/')}{PROXY}"
            is_here = _origin(parts) == _origin(mine) and f"{rest}/".startswith(f"{before}/")
            rest = rest.removeprefix(before)
        return rest.strip("/") if is_here else None


@dataclass(frozen=True)
class Hosts:
    """The hosts that may be asked for artifacts.

    Attributes:
        proxies: Tracking servers.
        named: Other places that the user named.
        recorded: Places that rows record for the files of many.
    """

    proxies: tuple[Proxy, ...] = ()
    named: tuple[Canonical, ...] = ()
    recorded: tuple[Canonical, ...] = ()

    @classmethod
    def of(
        cls,
        home: str | None,
        named: Iterable[str] = (),
        recorded: Iterable[tuple[str, str]] = (),
        *,
        tracking: str | None = None,
    ) -> Hosts:
        """The hosts of a registry.

        Args:
            home: The tracking server that it is behind, if it is.
            named: URIs that the user wrote.
            recorded: Of experiments their ids and places, already mapped; "" for other ids.
            tracking: The server that MLflow's settings name, where there is no `home`.
        """
        known = home or (tracking if tracking and scheme_of(tracking) in _PORTS else None)
        texts = tuple(named)
        servers = {uri: _server_of(uri, known) for uri in texts}
        urls = filter(None, servers.values())
        # The settings' credentials are for the server that they name, and for no other.
        theirs = [
            Proxy(url, known is None or _same_origin(url, known)) for url in dict.fromkeys(urls)
        ]
        own = [Proxy(known, is_home=home is not None)] if known else []
        places = tuple(canonical(uri) for uri, url in servers.items() if url is None)
        roots = tuple(root for id_, uri in recorded for root in _roots(id_, uri))
        return cls((*own, *theirs), places, tuple(dict.fromkeys(roots)))

    def find(self, uri: str) -> tuple[Proxy, str] | None:
        """The tracking server behind a URI, and the path there; None if none is.

        Raises:
            OutsideError: it names a host that only a row names, or climbs out of the artifacts.
        """
        if not is_web(uri):
            self._check(uri)
            return None
        for proxy in self.proxies:
            path = proxy.path_of(uri)
            if path is not None:
                if ".." in unquote(path).split("/"):
                    raise OutsideError("leads out of the server's artifacts", subject=redact(uri))
                return proxy, path
        is_relative = scheme_of(uri) == _ARTIFACTS and not uri.partition(":")[2].startswith("//")
        if not is_relative and not _is_below(uri, self.named):
            raise _outside(uri)
        return None  # no address of artifacts, or nobody knows of which server

    def _check(self, uri: str) -> None:
        """Refuse a host of another kind that only a row names."""
        scheme, parts = scheme_of(uri), _split(uri)
        if scheme in _FILE_SYSTEMS:
            if scheme in _CONFIGURED and not (parts is None or parts.netloc):
                return
            allowed = (*self.named, *self.recorded)
        elif scheme in _PROVIDERS:
            before, _, host = parts.netloc.rpartition("@") if parts else ("", "", "")
            if "@" not in before and host.lower().endswith(_PROVIDERS[scheme]):
                return
            allowed = self.named
        else:
            return
        if not _is_below(uri, allowed):
            raise _outside(uri)


def is_web(uri: str) -> bool:
    """Whether files at a URI are asked for over HTTP, of a server that it names."""
    return scheme_of(uri) in _PORTS or scheme_of(uri) == _ARTIFACTS


def _is_below(uri: str, roots: Iterable[Canonical]) -> bool:
    place = canonical(uri)
    return any(place.below(root) is not None for root in roots)


def _outside(uri: str) -> OutsideError:
    shown = redact(uri).rstrip("/")
    to = shown
    if scheme_of(uri) == _ARTIFACTS:
        host, _, path = shown.partition("://")[2].partition("/")
        to = f"https://{host}{PROXY}/{path}".rstrip("/")
    return OutsideError(
        "is on a host that only this row names, so it is not contacted",
        subject=redact(uri),
        hint=f"--map-uri {_quoted(f'{shown}={to}')} takes its files",
        is_there=False,
    )


def _quoted(text: str) -> str:
    """In quotes in any case: the hint stands in a sentence."""
    quoted = shlex.quote(text)
    return quoted if quoted != text else f"'{text}'"


def _split(uri: str) -> SplitResult | None:
    """The parts of a URI; None where programs would disagree on which host it names."""
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    odd = any(sign == "\\" or sign.isspace() or not sign.isprintable() for sign in uri)
    return None if odd and (parts.netloc or "\\" in uri) else parts


_Origin = tuple[str, str, int | None]


def _origin(parts: SplitResult, scheme: str | None = None) -> _Origin:
    """Scheme, host and port: what is the same is the same host."""
    known = scheme or parts.scheme
    return known, (parts.hostname or "").lower().rstrip("."), parts.port or _PORTS.get(known)


def _same_origin(one: str, other: str) -> bool:
    parts, others = _split(one), _split(other)
    return parts is not None and others is not None and _origin(parts) == _origin(others)


def _server_of(uri: str, home: str | None) -> str | None:
    """The tracking server that a URI names; None if it names none."""
    parts = _split(uri)
    if parts is None or not parts.netloc or not is_web(uri):
        return None
    if parts.scheme != _ARTIFACTS:
        before, proxy, _ = uri.partition(PROXY)
        return before if proxy else None
    # As MLflow has it: scheme and path prefix are those of the server that is known.
    known = _split(home) if home else None
    return f"{known.scheme}://{parts.netloc}{known.path.rstrip('/')}" if known else None


def _roots(id_: str, uri: str) -> list[Canonical]:
    """An experiment's place, and the one that experiments lie in under their numbers."""
    place = canonical(uri)
    above, _, last = place.path.rpartition("/")
    return [place, Canonical(place.store, above, place.local)] if last == id_ else [place]
