"""A registry behind a tracking server, read over MLflow's REST API."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from mlporter.catalogue import HEAD_REVISION, release_of
from mlporter.closing import closed_on_error
from mlporter.errors import LeftOut
from mlporter.progress import silent
from mlporter.stores.database.history.shape import OLDEST_RELEASE, revision_for
from mlporter.stores.database.scratch_registry import ScratchRegistry
from mlporter.stores.protocols import USERS_NOT_SEEN, Description
from mlporter.stores.rest.client import RETRY_TIME, Client
from mlporter.stores.rows.unknown_fields import said_of
from mlporter.stores.server.artifact_files import server_files
from mlporter.stores.server.capabilities import (
    Capabilities,
    capabilities_of,
    refuse_others,
)
from mlporter.stores.server.reading.fetching import Fetcher
from mlporter.stores.server.reading.not_shown import not_shown
from mlporter.wording import NEWER, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.progress import OnProgress
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Among, ArtifactFile, Keep, Report
    from mlporter.stores.rest.answer_log import AnswerLog

__all__ = ["ServerSource"]


class ServerSource:
    """`mlporter.stores.protocols.Source` over a tracking server. Nothing is ever written.

    Opening it asks what the server can do, and nothing else; tables are fetched when they are
    first read or counted, as far as they are asked for, into a private database (a
    `ScratchRegistry`).

    Args:
        address: Where it is.
        uri_map: See `server_files`.
        workers: Requests at a time.
        retry_time: See `Client`.
        on_progress: Called with how far fetching is.
        can: What it can do, where that is known already.
        allowed: Folders of this machine that files may be read from.
        answers: Where its answers are noted; what is there already is not asked for.

    Raises (when opened):
        UnreachableError: no way to it, or it is no MLflow server.
        AccessDeniedError: it does not know us.
    """

    def __init__(  # noqa: PLR0913 -- as `open_source`, by keyword
        self,
        address: Address,
        *,
        uri_map: tuple[str, ...] = (),
        workers: int = 4,
        retry_time: float = RETRY_TIME,
        on_progress: OnProgress = silent,
        can: Capabilities | None = None,
        allowed: tuple[Path, ...] = (),
        answers: AnswerLog | None = None,
    ) -> None:
        self._client = Client(
            address.text,
            environment=address.environment,
            retry_time=retry_time,
            answers=answers,
        )
        with closed_on_error(self._client):
            self.can = capabilities_of(self._client, address, can)
            refuse_others(self._client, self.can)
            self._revision = revision_for(_release(self._client, self.can))
            self._scratch = ScratchRegistry(self._client.subject, self._revision)
        self.at_opening = dict(self._client.answers.digests)
        self._said: tuple[str, ...] | None = None
        with closed_on_error(self._client, self._scratch):
            self._filling = Fetcher(self._client, self.can, self._scratch, workers, on_progress)
            self._files = server_files(self, self._client, uri_map, workers, allowed)

    @property
    def description(self) -> Description:
        """What and where it is."""
        return Description(self._client.subject, "server", self._revision, "live", over_rest=True)

    @property
    def capabilities(self) -> Capabilities:
        """What the server is and can do."""
        return self.can

    @property
    def tables(self) -> tuple[Table, ...]:
        """The catalogue's at its revision, whatever the server's age."""
        return self._scratch.reader.tables

    @property
    def client(self) -> Client:
        """What sends requests about no workspace in particular."""
        return self._client

    def client_in(self, workspace: str) -> Client:
        """What sends requests about a workspace."""
        return self._client.within(workspace if self.can.workspaces else None)

    def says(self) -> Iterator[tuple[str, str]]:
        """What it is and can do, for people."""
        can = self.can
        version = can.version or ("Databricks" if self._client.databricks else "unknown")
        yield "MLflow", version + (f", {NEWER}" if can.is_newer else "")
        yield "offers", ", ".join(name for name, has in can.has.items() if has)
        lacking = [name for name, has in can.has.items() if has is False]
        if lacking:
            yield "has not", ", ".join(lacking)
        untold = [name for name, has in can.has.items() if has is None]
        if untold:
            yield "does not say", ", ".join(untold)
        yield from ((f"{kind}, not read", said) for kind, said in can.unread.items())
        if can.workspaces:
            yield "workspaces", ", ".join(can.workspaces)

    def narrow(self, experiments: Iterable[int]) -> None:
        """Leave everything outside of some experiments where it is, but for what is named by id."""
        self._filling.narrow(experiments)

    def leave_histories(self, runs: Iterable[str]) -> frozenset[str]:
        """Leave the points of some runs where they are: `metrics` is read without them.

        Returns:
            Runs that are left; the points of others were read before.
        """
        return self._filling.histories.leave(runs)

    def take_up_histories(self, runs: Iterable[str]) -> None:
        """Read the points of some runs after all."""
        self._filling.histories.take_up(runs)

    @property
    def incomplete_histories(self) -> frozenset[str]:
        """Runs some of whose points could not be read."""
        return frozenset(self._filling.histories.failed)

    def count(self, table: str) -> int:
        """Rows of a table."""
        self._filling.need(table, None)
        return self._scratch.reader.count(table)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        self._filling.need(table, among)
        return self._scratch.reader.read(table, columns, among)

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every artifact file that can be found; the rest goes to `report`."""
        return self._files.scan(report, keep)

    def outside(self) -> Iterator[LeftOut]:
        """Owners whose place is nobody's artifact root: their files are not read."""
        return self._files.outside()

    def open_file(self, file: ArtifactFile) -> AbstractContextManager[BinaryIO]:
        """The bytes of an artifact file."""
        return self._files.open(file)

    def unknown_fields(self) -> Iterator[pa.RecordBatch]:
        """What came with the rows that were read so far, and is not known."""
        yield from self._filling.unknown.batches()

    def losses(self) -> Iterator[LeftOut]:
        """What the API does not show, and what of the rest could not be read so far."""
        yield from self._filling.failed
        yield from self._filling.unknown.losses()
        for (asked, name), count in sorted(self._client.beside.items()):
            sentence = f"{plural(count, 'answer')} held it beside {asked}: it is not read"
            yield LeftOut("answer", asked, name, "unknown", sentence)
        for kind, why in self.can.unread.items():
            yield LeftOut("object", kind, "", "unknown", why)
        yield from not_shown(self._scratch.reader)
        if self._filling.deleted:
            sentence = f"of {len(self._filling.deleted)} deleted experiments: not shown"
            for table in ("scorers", "label_schemas", "review_queues"):
                yield LeftOut("table", table, "deleted", "hidden", sentence, expected=True)
        if self._filling.unlisted:
            sentence = (
                f"{plural(self._filling.unlisted, 'experiment')}: to list them, MLflow would write "
                "a default one; only those in review queues were read"
            )
            yield LeftOut("table", "label_schemas", "", "hidden", sentence, expected=True)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a server keeps to itself, and what it has of a newer MLflow."""
        fields = said_of(self) if self._said is None else self._said
        return (USERS_NOT_SEEN, *self._newer(), *fields)

    def _newer(self) -> Iterator[str]:
        if self.can.is_newer:
            yield (
                f"The server's MLflow {self.can.version} is newer than this release knows "
                f"({release_of(HEAD_REVISION)}): kinds of objects that came later are not seen."
            )

    def close(self) -> None:
        """Forget what was read, and close all connections."""
        if self._said is None:
            self._said = said_of(self)  # people are told when all is done
        self._client.close()
        self._filling.unknown.close()
        self._scratch.close()


def _release(client: Client, can: Capabilities) -> str | None:
    """The MLflow that a place may hold things of; what Databricks has, all releases have."""
    return OLDEST_RELEASE if client.databricks else can.release
