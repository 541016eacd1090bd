"""Requests that make something on a server: sent once, even where the answer is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from mlporter.errors import UnreachableError
from mlporter.stores.rest.answers import ApiError, LostAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlporter.stores.rest.client import Client, Json

__all__ = ["Sender", "is_there_already", "tag_list"]

_TRIES = 5
_Made = TypeVar("_Made")


def tag_list(tags: Mapping[str, str] | Iterable[tuple[str, str]]) -> list[Json]:
    """Tags or parameters as the API takes them."""
    pairs = tags.items() if hasattr(tags, "items") else tags
    return [{"key": key, "value": value} for key, value in pairs]


def is_there_already(error: ApiError) -> bool:
    """Whether a server refused to make something that it has."""
    return error.code == "RESOURCE_ALREADY_EXISTS"


class Sender:
    """Sends requests into one workspace of a server. Safe to use from several threads."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def client(self) -> Client:
        """What it writes through."""
        return self._client

    @property
    def subject(self) -> str:
        """The address, as it may be shown."""
        return self._client.subject

    def _create(
        self, path: str, body: Json, made: Callable[[Json], _Made], find: Callable[[], _Made | None]
    ) -> _Made:
        """Create something, once; `find` looks for it where an answer was lost."""
        for _ in range(_TRIES):
            found = self._once(path, body, made) or find()
            if found is not None:
                return found
        raise UnreachableError(
            f"{_TRIES} answers to {path} were lost",
            subject=self.subject,
            hint="run the same command again: it finds what was done",
        )

    def _once(self, path: str, body: Json, made: Callable[[Json], _Made]) -> _Made | None:
        """Send it; None if the answer was lost."""
        try:
            return made(self._client.post(path, body, again=False))
        except LostAnswerError:
            return None
