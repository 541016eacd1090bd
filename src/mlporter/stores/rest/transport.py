"""Connections to one server that stay open, and what goes wrong on the way."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

import requests
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from urllib3.exceptions import HTTPError, NewConnectionError

from mlporter.errors import UnreachableError
from mlporter.redaction import remember_password
from mlporter.stopping import when_stopped
from mlporter.stores.rest.answer_log import AnswerLog
from mlporter.stores.rest.answers import TransientError, shortened
from mlporter.stores.rest.hints import speaks_tls, tls_hint
from mlporter.stores.rest.prompt_adapter import PromptAdapter, cut_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.stores.rest.access import Access

__all__ = ["Transport", "way_error"]

_CONNECT_SECONDS = 15

_PLAIN = frozenset({"accept", "accept-encoding", "connection", "range", "user-agent"})
"""Headers that tell nothing of who asks."""


@dataclass(eq=False)
class Transport:
    """Connections to one server, for all threads and workspaces."""

    access: Access
    retry_time: float
    given_answers: AnswerLog | None = None
    free: list[requests.Session] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)
    closed: Event = field(default_factory=Event)
    reached: bool = False
    beside: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.answers = AnswerLog() if self.given_answers is None else self.given_answers
        when_stopped(self)

    @contextmanager
    def session(self) -> Iterator[requests.Session]:
        """A session that nobody else uses for now."""
        with self.lock:
            session = self.free.pop() if self.free else None
        session = session or self._new()
        try:
            yield session
        finally:
            with self.lock:
                self.free.append(session)
            if self.closed.is_set():
                self.close()

    @contextmanager
    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        stream: bool,
        **kwargs: Any,  # noqa: ANN401 -- as `requests` takes them
    ) -> Iterator[requests.Response]:
        """Send a request once; what goes wrong on the way is a `TransientError`, or final."""
        try:
            with self.session() as session:
                response = session.request(
                    method,
                    self.access.url + path,
                    headers={**self.access.headers(), **headers},
                    auth=self.access.auth(),
                    timeout=(_CONNECT_SECONDS, MLFLOW_HTTP_REQUEST_TIMEOUT.get()),
                    allow_redirects=method in ("GET", "OPTIONS"),
                    stream=stream,
                    **kwargs,
                )
                self.reached = True
                with response:
                    yield response
        except (requests.RequestException, HTTPError) as error:
            unreached = "" if self.reached else self.access.url
            subject = f"{self.access.subject} {path}"
            raise way_error(error, subject, url=unreached) from None

    def _new(self) -> requests.Session:
        session = _Session()
        # Once for all requests, which are to one host: what the environment says of proxies and
        # certificates. A `.netrc` counts where MLflow's settings name nobody.
        found = session.merge_environment_settings(
            self.access.url, {}, None, self.access.verify, self.access.certificate
        )
        session.proxies, session.verify = found["proxies"], found["verify"]
        if own := self.access.proxies():
            session.proxies = own
        for proxy in session.proxies.values():
            remember_password(proxy)
        session.cert = found["cert"]
        if self.access.is_anonymous:
            session.auth = requests.utils.get_netrc_auth(self.access.url)
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, PromptAdapter(pool_connections=1, pool_maxsize=1))
        return session

    def abort(self) -> None:
        """Cut all connections; nothing is tried again."""
        self.closed.set()
        cut_all()

    def close(self) -> None:
        """Close all connections; whoever waits to try again gives up."""
        self.closed.set()
        if self.given_answers is None:
            self.answers.close()
        with self.lock:
            while self.free:
                self.free.pop().close()


class _Session(requests.Session):
    """Sends nothing that tells who asks to another host than the one that was meant."""

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """What goes along where a server sends us elsewhere.

        `requests` leaves out ``Authorization`` only; plug-ins and signatures have other headers.
        """
        url, asked = prepared_request.url or "", response.request.url or ""
        if self.should_strip_auth(asked, url):  # type: ignore[no-untyped-call]
            for name in [name for name in prepared_request.headers if name.lower() not in _PLAIN]:
                del prepared_request.headers[name]


def way_error(
    error: requests.RequestException | HTTPError, subject: str, *, url: str = ""
) -> UnreachableError:
    """What went wrong on the way.

    Args:
        error: What came.
        subject: Server and endpoint, for people.
        url: Of a server that was never reached, and is not waited for; without credentials.
    """
    text = shortened(_cause(error))
    lasting = _lasting(error, text, url)
    if lasting:
        return UnreachableError(lasting[0], subject=subject, hint=lasting[1])
    if isinstance(error, requests.Timeout) and not isinstance(error, requests.ConnectTimeout):
        hint = "set MLFLOW_HTTP_REQUEST_TIMEOUT to more seconds"
        return TransientError("no answer in time", subject=subject, done=True, hint=hint)
    done = not _is_connecting(error)
    return TransientError(f"the connection failed: {text}", subject=subject, done=done)


def _lasting(error: Exception, text: str, url: str) -> tuple[str, str | None] | None:
    """What goes wrong again if it is tried again, and what to do; None if it may pass."""
    if isinstance(error, requests.exceptions.SSLError):
        return f"TLS failed: {text}", tls_hint(url, text)
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
        return f"is not a usable web address: {text}", None
    return _at_first(error, text, url) if url else None


def _at_first(error: Exception, text: str, url: str) -> tuple[str, str | None] | None:
    """The same of a server that was never reached."""
    if isinstance(error, requests.exceptions.ProxyError):
        hint = "check HTTP_PROXY and HTTPS_PROXY; NO_PROXY names hosts that need none"
        return f"the proxy failed: {text}", hint
    if _is_connecting(error):
        return f"cannot be reached: {text}", "check the address, and that the server is running"
    if not isinstance(error, requests.Timeout) and speaks_tls(url):
        return "speaks TLS on this port", f"https{url.removeprefix('http')}"
    return None


def _is_connecting(error: BaseException) -> bool:
    """Whether there was no connection at all, so that nothing was sent."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, NewConnectionError)


def _cause(error: BaseException) -> str:
    """The innermost reason: `requests` wraps urllib3's, which wraps the system's."""
    inner = error.args[0] if error.args else None
    inner = getattr(inner, "reason", None) or inner
    return _CONNECTION.sub("", str(inner if isinstance(inner, BaseException) else error))


_CONNECTION = re.compile(r"^(?:<[^>]*>|\w+\([^()]*\)): ")
"""How urllib3 names the connection itself, in front of what went wrong."""
