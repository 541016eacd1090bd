"""A sync of two servers that answer as they did: there is nothing to plan, and nothing is parsed.

What a transfer finds to do depends on what both servers answer, on what was last sent, and on what
was asked for. So where the last one ended with nothing left to do, the questions that it put are
put once more, to both servers at the same time, and only digests of the answers are compared. If
all are the same, the result is. If not, the answers are there already for the planning.

Not among the questions are the points and the files of runs that are over: those of each run are
taken for unchanged as long as its look is (`tracking.unchanged_runs`), and its look is an answer.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.prefetch import prefetched
from mlporter.errors import LeftOut
from mlporter.execute.result import (
    ActionsResult,
    FilesResult,
    LeftOutSummary,
    Result,
    TableResult,
)
from mlporter.plan.policy import Renamed
from mlporter.plan.three_sides.actions import Action, ActionKind
from mlporter.stopping import Pool
from mlporter.stores.protocols import remote_source
from mlporter.stores.rest.answer_log import AnswerLog, Question
from mlporter.stores.rest.client import Client
from mlporter.stores.server.source import ServerSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlporter.execute.options import TransferOptions
    from mlporter.plan.three_sides.actions import ActionBook
    from mlporter.plan.three_sides.sent.memory import Memory
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source

__all__ = ["SameAnswers"]

_ABOUT = "same answers"
_SIDES = ("answers of the source", "answers of the target")
_KEPT = ("tables", "files", "left_out", "notes", "fresh", "renamed")
"""What is remembered of a result."""
_MOST_ACTIONS = 1000


@dataclass
class SameAnswers:
    """What two servers answered when a transfer between them ended, and whether they still do.

    Attributes:
        source: What is copied.
        place: The target.
        options: What the caller asked for.
        memory: What was last sent; the answers are remembered there, too.
        answers: Of the target, as far as it was asked already.
    """

    source: Source
    place: Address
    options: TransferOptions
    memory: Memory
    answers: AnswerLog = field(default_factory=AnswerLog)

    @property
    def _server(self) -> ServerSource | None:
        """The server that is the source, if that is all there is to it."""
        found = remote_source(self.source)
        options = self.options
        plain = options.policy.is_quick and not (
            options.registry or options.orphans or options.strict_artifacts
        )
        is_server = plain and isinstance(found, ServerSource) and not found.client.databricks
        return found if is_server and isinstance(found, ServerSource) else None

    @property
    def _asked_for(self) -> str:
        """A digest of what was asked for, and of who carries it out; it may name passwords."""
        plain = replace(self.options, dry_run=False, expected=None)
        return sha256(f"{version('mlporter')} {plain!r}".encode()).hexdigest()

    def close(self) -> None:
        """Free the space of answers that nobody asked for."""
        self.answers.close()

    # --- Whether they still do --------------------------------------------------------------------

    def result(self, verb: str) -> Result | None:
        """What the last transfer ended with, if it is what another one would end with."""
        server, base = self._server, self.memory.base
        about = base.noted(_ABOUT)
        if server is None or self.options.expected or about.get("asked for") != self._asked_for:
            return None
        started = monotonic()
        target = Client(
            self.place.text,
            environment=self.place.environment,
            retry_time=self.options.retry_time,
            answers=self.answers,
        )
        try:
            is_same = self._ask((server.client, target))
        finally:
            target.close()
        if not is_same:
            return None
        return self._as_before(verb, json.loads(about["ended"]), monotonic() - started)

    def _as_before(self, verb: str, ended: dict[str, Any], seconds: float) -> Result:
        """What is remembered of a result, as the result of another transfer."""
        for action in ended["actions"]:
            self.memory.book.add(Action.from_dict(action))
        left_out = ended["left_out"]
        first = tuple(LeftOut(**item) for item in left_out["first"])
        return Result(
            verb=verb,
            source=self.source.description.address,
            target=str(self.place),
            tables=tuple(TableResult(**table) for table in ended["tables"]),
            files=FilesResult(**ended["files"]),
            left_out=LeftOutSummary(left_out["total"], left_out["unexpected"], first),
            notes=tuple(ended["notes"]),
            seconds=seconds,
            dry_run=self.options.dry_run,
            fresh=ended["fresh"],
            on_conflict=self.options.policy.on_conflict,
            renamed=tuple(Renamed(**one) for one in ended["renamed"]),
            actions=ActionsResult.of(self.memory.book),
        )

    def _ask(self, clients: tuple[Client, Client]) -> bool:
        """Put the questions to both servers at the same time; whether all answers are the same."""
        known = [_questions(self.memory.base.noted(side)) for side in _SIDES]
        for is_late in (False, True):
            asked = [[one for one in side if one.comes_late is is_late] for side in known]
            with Pool(len(_SIDES), thread_name_prefix="mlporter-side") as pool:
                list(pool.map(self._put, clients, asked))
            for client, side, questions in zip(clients, known, asked, strict=True):
                found = client.answers.digest_of
                if any(found(question) != side[question] for question in questions):
                    return False
        return True

    def _put(self, client: Client, questions: Iterable[Question]) -> None:
        """Put some questions to a server, but for those that it answered already."""
        known = client.answers.digest_of
        new = [question for question in questions if known(question) is None]
        for _ in prefetched(new, client.ask_ahead, self.options.workers):
            pass

    # --- The end of a transfer --------------------------------------------------------------------

    def forget(self) -> None:
        """What is remembered now is other than what the answers were about."""
        for kind in (_ABOUT, *_SIDES):
            self.memory.base.note(kind, {})

    def remember(self, ended: Result, book: ActionBook, target: Mapping[Question, str]) -> None:
        """Remember what both answered when nothing was left to do.

        Args:
            ended: What another transfer would end with.
            book: The actions that it would have.
            target: Digests of what the target answered.
        """
        server, base = self._server, self.memory.base
        if (
            server is None
            or ended.rows
            or ended.exit_code
            or not server.client.answers.is_steady
            or any(kind is not ActionKind.KEEP for _, kind in book.counts)
            or book.total > _MOST_ACTIONS
        ):
            return
        for kind, digests in zip(_SIDES, (server.client.answers.digests, target), strict=True):
            base.note(kind, {one.text: digest for one, digest in digests.items()})
        kept = {name: value for name, value in asdict(ended).items() if name in _KEPT}
        kept["actions"] = [json.loads(line) for line in book.lines()]
        about = {"asked for": self._asked_for, "ended": json.dumps(kept, ensure_ascii=False)}
        base.note(_ABOUT, about)
        base.commit()


def _questions(noted: Mapping[str, str]) -> dict[Question, str]:
    return {Question.from_text(text): digest for text, digest in noted.items()}
