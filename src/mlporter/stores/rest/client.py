"""MLflow's REST API: plain JSON in and out, over connections that stay open.

No store classes of MLflow: what a newer server says and an older MLflow does not know is read too.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from urllib.parse import quote

import requests

from mlporter import stopping
from mlporter.errors import UnreachableError
from mlporter.stores.addresses.environment import PROCESS, Environment
from mlporter.stores.rest.access import access_to, stranger_at
from mlporter.stores.rest.answer_log import Question, only_reads
from mlporter.stores.rest.answers import RETRIED, check, json_of, parsed
from mlporter.stores.rest.retrying import RETRY_TIME, persist
from mlporter.stores.rest.streams import Download, Form, Sized
from mlporter.stores.rest.transport import Transport

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from mlporter.stores.rest.answer_log import AnswerLog

__all__ = ["RETRY_TIME", "Client", "Json", "quoted_path"]

Json = dict[str, Any]
"""A JSON object, as the API sends and takes it."""

WORKSPACE_HEADER = "X-MLFLOW-WORKSPACE"

_T = TypeVar("_T")


class Client:
    """One server, in one workspace. Safe to use from several threads.

    Whatever may be transient (429, 500, 502, 503, 504, a connection that is cut, no answer in
    time) is tried again, with growing and random pauses or when the server says so, for at most
    `retry_time` seconds; what is not fails at once, with what the server said.

    Args:
        address: ``http(s)://…``, ``databricks`` or ``databricks://profile``; credentials are
            found as MLflow finds them.
        environment: The variables that its side sees.
        retry_time: Seconds after which something that keeps failing is given up.
        has_settings: Whether the credentials in MLflow's settings are meant for this server.
        answers: Where what it answers is noted; answers that are there already are not asked for.

    Raises (from all methods that send):
        UnreachableError: no way to the server, or it answers nothing that MLflow would.
        AccessDeniedError: it does not allow this.
        ApiError: it refused (`.code` says why); MissingEndpointError: it has no such endpoint.
    """

    def __init__(
        self,
        address: str,
        *,
        environment: Environment = PROCESS,
        retry_time: float = RETRY_TIME,
        has_settings: bool = True,
        answers: AnswerLog | None = None,
    ) -> None:
        reach = access_to if has_settings else stranger_at
        self._transport = Transport(reach(address, environment), retry_time, answers)
        self.workspace: str | None = None

    @property
    def subject(self) -> str:
        """The address, as it may be shown."""
        return self._transport.access.subject

    @property
    def url(self) -> str:
        """Scheme, host and path prefix, without credentials and without a last slash."""
        return self._transport.access.url

    @property
    def tracking_uri(self) -> str:
        """The address by which MLflow's own code finds this server."""
        return self.subject if self.databricks else self.url

    @property
    def environment(self) -> Environment:
        """The variables that its side sees."""
        return self._transport.access.environment

    @property
    def databricks(self) -> bool:
        """Whether Databricks is behind it, whose rules are stricter."""
        return self._transport.access.databricks

    @property
    def answers(self) -> AnswerLog:
        """What it answered so far."""
        return self._transport.answers

    def within(self, workspace: str | None) -> Client:
        """The same server and connections, in a workspace; None for a server without."""
        other = object.__new__(Client)
        other._transport = self._transport
        other.workspace = workspace
        return other

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    # ------------------------------------------------------------------------------------- JSON

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Json:
        """The answer of a GET; `path` begins with ``/api/…``."""
        return self._json("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, object], *, again: bool = True) -> Json:
        """The answer of a POST.

        Args:
            path: From ``/api/…``.
            body: Becomes JSON.
            again: Whether it does no harm if it is carried out twice. If it does, it is sent
                again only when the server surely did not carry it out.

        Raises:
            LostAnswerError: with `again` False, it may or may not have been carried out.
        """
        return self._json("POST", path, body=body, again=again)

    def patch(self, path: str, body: Mapping[str, object], *, again: bool = True) -> Json:
        """The answer of a PATCH; see `post`."""
        return self._json("PATCH", path, body=body, again=again)

    def delete(
        self, path: str, body: Mapping[str, object] | None = None, *, again: bool = True
    ) -> Json:
        """The answer of a DELETE; see `post`."""
        return self._json("DELETE", path, body=body, again=again)

    def put(self, path: str, body: Mapping[str, object], *, again: bool = True) -> Json:
        """The answer of a PUT with JSON; see `post`."""
        return self._json("PUT", path, body=body, again=again)

    def pages(
        self, path: str, body: Mapping[str, object], items: str, *, method: str = "POST"
    ) -> Iterator[list[Json]]:
        """Pages of a list, as the server cuts them; an empty one is left out.

        Args:
            path: From ``/api/…``.
            body: The request of every page (``page_token`` is added); a query with GET.
            items: Where the answer holds the list.
            method: ``POST`` or ``GET``.
        """
        asked = dict(body)
        while True:
            answer = self.get(path, asked) if method == "GET" else self.post(path, asked)
            found = self._only(answer, items) or []
            if found:
                yield found
            token = answer.get("next_page_token")
            if not token:
                return
            if token == asked.get("page_token"):
                raise UnreachableError(
                    "its pages never end: two have the same token", subject=self._named(path)
                )
            asked["page_token"] = token

    def part(self, path: str, items: str, query: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401
        """What is asked for of the answer of a GET, where it holds nothing else; None without."""
        return self._only(self.get(path, query), items)

    def _only(self, answer: Json, items: str) -> Any:  # noqa: ANN401 -- JSON
        for name, value in answer.items():
            if name not in (items, "next_page_token") and value not in (None, "", [], {}):
                with self._transport.lock:
                    self.beside[items, name] += 1
        return answer.get(items)

    @property
    def beside(self) -> Counter[tuple[str, str]]:
        """Fields of answers beside what was asked for, which is named first: how many answers."""
        return self._transport.beside

    def exists(self, path: str) -> bool | None:
        """Whether the server has an endpoint, without calling it; None if it does not tell."""

        def ask() -> bool | None:
            with self._answer("OPTIONS", path) as response:
                self._note(Question.of("OPTIONS", path, self.workspace), response)
                if response.status_code == requests.codes.not_found:
                    return False
                return True if response.ok else None

        return self._persist(ask, again=True)

    def text(self, path: str) -> str:
        """The answer of a GET that is no JSON, as ``/version``."""
        subject = self._named(path)

        def ask() -> str:
            with self._answer("GET", path) as response:
                self._note(Question.of("GET", path, self.workspace), response)
                check(response, subject)
                return response.text

        return self._persist(ask, again=True)

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
        again: bool = True,
    ) -> Json:
        subject = self._named(path)
        question = None
        if only_reads(method, path):
            question = Question.of(method, path, self.workspace, query, body)
            ahead = self.answers.take(question)
            if ahead is not None and (known := parsed(ahead)) is not None:
                return known

        def ask() -> Json:
            with self._answer(method, path, params=query, json=body) as response:
                if question is not None:
                    self._note(question, response)
                check(response, subject)
                return json_of(response, subject)

        return self._persist(ask, again=again)

    # ---------------------------------------------------------------------------------- answers

    def _note(self, question: Question, response: requests.Response) -> None:
        if response.status_code not in RETRIED:
            self.answers.note(question, response.status_code, response.content)

    def ask_ahead(self, question: Question) -> None:
        """Have the answer to a question there for whoever puts it next."""
        if question.workspace != self.workspace:
            self.within(question.workspace).ask_ahead(question)
            return
        query, body = json.loads(question.query), json.loads(question.body)

        def ask() -> None:
            with self._answer(question.method, question.path, params=query, json=body) as response:
                if response.status_code in RETRIED:
                    check(response, self._named(question.path))
                self.answers.put_ahead(question, response.status_code, response.content)

        self._persist(ask, again=True)

    # ------------------------------------------------------------------------------------ bytes

    def download(
        self, path: str, query: Mapping[str, object] | None = None
    ) -> AbstractContextManager[BinaryIO]:
        """The bytes behind an endpoint, streamed; a connection that is cut is taken up again.

        A file must not change meanwhile: of a second answer, what was already read is skipped.
        """
        question = Question.of("GET", path, self.workspace, query)
        return Download(
            partial(self._answer, "GET", path, params=query, stream=True),
            partial(self._persist, again=True),
            self._named(path),
            partial(self.answers.note_digest, question) if question.is_told else None,
        )

    def upload(
        self,
        path: str,
        size: int,
        open_bytes: Callable[[], AbstractContextManager[BinaryIO]],
        *,
        query: Mapping[str, object] | None = None,
        method: str = "PUT",
    ) -> None:
        """Send `size` bytes to an endpoint, streamed, from their start at each try.

        Args:
            path: From ``/api/…``, quoted.
            size: In bytes.
            open_bytes: Opens them.
            query: Of the URL.
            method: ``PUT`` or ``POST``.
        """
        subject = self._named(path)

        def ask() -> None:
            with (
                open_bytes() as stream,
                self._answer(
                    method,
                    path,
                    params=query,
                    data=Sized(stream, size) if size else b"",
                    headers={"Content-Type": "application/octet-stream"},
                ) as response,
            ):
                check(response, subject)

        self._persist(ask, again=True)

    def post_form(
        self,
        path: str,
        metadata: Mapping[str, object],
        size: int,
        open_bytes: Callable[[], AbstractContextManager[BinaryIO]],
    ) -> Json:
        """POST a form of JSON (``metadata``) and a streamed file (``content``), once only.

        Raises:
            LostAnswerError: it may or may not have been carried out.
        """
        subject = self._named(path)

        def ask() -> Json:
            with open_bytes() as stream:
                form = Form(metadata, stream, size)
                sent = {"Content-Type": form.content_type}
                with self._answer("POST", path, data=form, headers=sent) as response:
                    check(response, subject)
                    return json_of(response, subject)

        return self._persist(ask, again=False)

    def send(self, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        """POST some bytes that are in memory; it must do no harm if they are sent twice."""
        subject = self._named(path)

        def ask() -> None:
            with self._answer("POST", path, data=body, headers=headers) as response:
                check(response, subject)

        self._persist(ask, again=True)

    # ---------------------------------------------------------------------------------- sending

    def _named(self, path: str) -> str:
        return f"{self.subject} {path}"

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        **kwargs: Any,  # noqa: ANN401 -- as `requests` takes them
    ) -> Iterator[requests.Response]:
        """Send a request once; what goes wrong on the way is a `TransientError`, or final."""
        transport, sent = self._transport, dict(headers or {})
        if not only_reads(method, path):
            transport.answers.forget()
        if self.workspace is not None and "/mlflow/workspaces" not in path:
            sent[WORKSPACE_HEADER] = self.workspace
        with transport.send(method, path, headers=sent, stream=stream, **kwargs) as response:
            yield response

    def _persist(self, ask: Callable[[], _T], *, again: bool) -> _T:
        transport = self._transport

        def once() -> _T:
            stopping.check()
            return ask()

        return persist(once, again=again, seconds=transport.retry_time, stopped=transport.closed)


def quoted_path(*parts: object) -> str:
    """Parts of a path, each quoted, slashes too."""
    return "/".join(quote(str(part), safe="") for part in parts)
