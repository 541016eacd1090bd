"""What a server answered to what it was asked: digests, by which a later look tells a change."""

from __future__ import annotations

import json
import tempfile
from hashlib import blake2b
from os import SEEK_END
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from mlporter.catalogue import source_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AnswerLog", "Hashing", "Question", "only_reads"]

_BYTES = 16
_MOST = 20_000
"""Questions that are kept; a server of which more is asked is simply asked again."""
_IN_MEMORY = 1 << 20
_EXPERIMENTS = "/experiments/search"
_OF_POINTS_AND_FILES = ("/metrics/get-history", "/mlflow-artifacts/", "/mlflow/artifacts/")
"""What is asked of single runs, models and traces where something of them changed."""


class Question(NamedTuple):
    """A request that changes nothing.

    Attributes:
        method: ``GET``, ``OPTIONS``, or ``POST`` of a search.
        path: From ``/api/…``.
        workspace: In which it is asked; None where a server has none.
        query: As JSON.
        body: As JSON.
    """

    method: str
    path: str
    workspace: str | None
    query: str
    body: str

    @classmethod
    def of(
        cls,
        method: str,
        path: str,
        workspace: str | None,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Question:
        """What a request asks."""
        return cls(method, path, workspace, json.dumps(query), json.dumps(body))

    @classmethod
    def from_text(cls, text: str) -> Question:
        """What `text` gave."""
        return cls(*json.loads(text))

    @property
    def text(self) -> str:
        """All of it."""
        return json.dumps(self)

    @property
    def comes_late(self) -> bool:
        """Whether it is put only after a look that it changes nothing.

        MLflow makes a default label schema where it lists them and there is none.
        """
        return self.path.endswith("/label-schemas/list")

    @property
    def is_told(self) -> bool:
        """Whether it is about more than single things."""
        return not any(part in self.path for part in _OF_POINTS_AND_FILES)


def only_reads(method: str, path: str) -> bool:
    """Whether a request surely changes nothing that is asked for."""
    return method in {"GET", "OPTIONS"} or (method == "POST" and path.endswith("/search"))


class Hashing:
    """The digest of an answer, part by part."""

    def __init__(self, status: int) -> None:
        self._digest = blake2b(f"{status}\n".encode(), digest_size=_BYTES)

    def update(self, part: bytes) -> None:
        """More of the body."""
        self._digest.update(part)

    @property
    def text(self) -> str:
        """Of all that came."""
        return self._digest.hexdigest()


class AnswerLog:
    """The answers of one server, from however many threads; and some that were fetched ahead.

    Attributes:
        digests: Of the answers that were asked for, by question.
        is_steady: Whether nothing was written, no question got two answers, and all are there.
    """

    def __init__(self) -> None:
        self.digests: dict[Question, str] = {}
        self.is_steady = True
        self._ahead: dict[Question, tuple[int, int]] = {}
        self._ahead_digests: dict[Question, str] = {}
        self._bodies: IO[bytes] | None = None
        self._lock = Lock()

    def note(self, question: Question, status: int, body: bytes) -> None:
        """Note an answer."""
        if question.is_told:
            self.note_digest(question, _digest(question, status, body))

    def note_digest(self, question: Question, digest: str) -> None:
        """Note an answer that went by in parts."""
        with self._lock:
            if len(self.digests) >= _MOST or self.digests.get(question, digest) != digest:
                self.is_steady = False
                self.digests.clear()
            if self.is_steady:
                self.digests[question] = digest

    def forget(self) -> None:
        """Something is written: what was answered before says nothing any more."""
        with self._lock:
            self.is_steady = False
            self.digests.clear()
            self._ahead.clear()
            self._ahead_digests.clear()

    # --- Answers ahead of the question ------------------------------------------------------------

    def digest_of(self, question: Question) -> str | None:
        """Of an answer that came, whoever asked for it; None if there was none."""
        with self._lock:
            return self.digests.get(question) or self._ahead_digests.get(question)

    def put_ahead(self, question: Question, status: int, body: bytes) -> None:
        """Keep an answer for whoever asks next."""
        digest = _digest(question, status, body)
        is_good = 200 <= status < 300 and question.method != "OPTIONS"  # noqa: PLR2004 -- success
        with self._lock:
            self._ahead_digests[question] = digest
            if not is_good:
                return
            if self._bodies is None:
                self._bodies = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 -- `close`
            start = self._bodies.seek(0, SEEK_END)
            self._bodies.write(body)
            self._ahead[question] = (start, len(body))

    def take(self, question: Question) -> bytes | None:
        """The body of an answer that is there already; each once."""
        with self._lock:
            start, size = self._ahead.pop(question, (0, -1))
            if size < 0 or self._bodies is None:
                return None
            self._bodies.seek(start)
            body, digest = self._bodies.read(size), self._ahead_digests[question]
        self.note_digest(question, digest)
        return body

    def close(self) -> None:
        """Free the temporary space."""
        with self._lock:
            self._ahead.clear()
            bodies, self._bodies = self._bodies, None
        if bodies is not None:
            bodies.close()


def _digest(question: Question, status: int, body: bytes) -> str:
    found = Hashing(status)
    found.update(_without_receipts(body) if question.path.endswith(_EXPERIMENTS) else body)
    return found.text


def _without_receipts(body: bytes) -> bytes:
    """Experiments without what a transfer notes there at its end, and the time of that.

    The time says nothing by itself: what changes an experiment shows in its other fields.
    """
    try:
        answer = json.loads(body)
    except ValueError:
        return body
    experiments = answer.get("experiments", ()) if isinstance(answer, dict) else ()
    for experiment in experiments:
        experiment.pop("last_update_time", None)
        tags: list[dict[str, Any]] = experiment.pop("tags", [])
        experiment["tags"] = [tag for tag in tags if tag.get("key") != source_tags.METRICS]
    return json.dumps(answer, sort_keys=True).encode()
