"""`history`: the promotions that brought the versions of a model, from their receipts."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlporter.errors import RefusedError
from mlporter.notebooks import Shown
from mlporter.progress import OnProgress, silent
from mlporter.promotion.checks.model_names import ModelName, find_versions
from mlporter.promotion.target.target_model import read_target
from mlporter.stores.addresses.locating import locate
from mlporter.stores.opening import open_source
from mlporter.stores.rest.retrying import RETRY_TIME

if TYPE_CHECKING:
    from mlporter.stores.addresses.address import Place

__all__ = ["History", "PromotedVersion", "history"]


@dataclass(frozen=True)
class PromotedVersion:
    """A version that was promoted.

    Attributes:
        version: Its number.
        at: When, in UTC as ISO 8601.
        by: By whom: user and machine.
        source: From where, redacted.
        of: What it is called there: ``churn/3``.
        digest: SHA-256 of what ``sha256sum`` prints of the model's files, sorted by path.
        gates: How many gates it passed, and how many there were: ``3/3``.
        aliases: Aliases that the promotion moved to it.
        stage: The stage that the promotion put it into, or None.
        undone: When the promotion was undone; "" if it was not.
        receipt: Where its receipt is.
    """

    version: int
    at: str
    by: str
    source: str
    of: str
    digest: str
    gates: str
    aliases: tuple[str, ...]
    stage: str | None
    undone: str
    receipt: str


@dataclass(frozen=True)
class History(Shown):
    """The promotions of a model, oldest first."""

    address: str
    model: str
    versions: tuple[PromotedVersion, ...]
    unfinished: tuple[int, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "verb": "history",
            "address": self.address,
            "model": self.model,
            "promotions": [asdict(one) for one in self.versions],
            "unfinished": list(self.unfinished),
        }


def history(
    model: str,
    place: Place,
    *,
    env: str | None = None,
    retry_time: float = RETRY_TIME,
    on_progress: OnProgress = silent,
) -> History:
    """The promotions that brought the versions of a registered model.

    Args:
        model: ``models:/NAME``, or one version of it.
        place: The registry that they were promoted to.
        env: What the names of its own variables begin with.
        retry_time: Seconds after which a server that keeps failing is given up.
        on_progress: Called with how far it is.

    Raises:
        RefusedError: there is no such model or version.
        UnreachableError: it cannot be reached.
    """
    asked, address = ModelName.parse(model), locate(place, env)
    with closing(
        open_source(address, retry_time=retry_time, part=True, on_progress=on_progress)
    ) as source:
        keys = find_versions(source, asked, source.description.address)
        wanted = {key[2] for key in keys}
        workspaces = {key[0] for key in keys}
        if len(workspaces) > 1:
            raise RefusedError(
                f"is in several workspaces: {', '.join(sorted(workspaces))}", subject=str(asked)
            )
        there = read_target(source, workspaces.pop(), asked.model)
    promoted = [one for one in there.promoted() if one.number in wanted]
    found = [
        PromotedVersion(
            one.number,
            str(one.noted.get("at", "")),
            str(one.noted.get("by", "")),
            str(one.noted.get("from", "")),
            str(one.noted.get("version", one.of)),
            str(one.noted.get("digest", "")),
            str(one.noted.get("gates", "")),
            tuple(map(str, one.noted.get("aliases", ()))),
            one.noted.get("stage"),
            str(one.noted.get("undone", "")),
            str(one.noted.get("receipt", "")),
        )
        for one in promoted
        if one.noted
    ]
    found.sort(key=lambda one: (one.at, one.version))
    unfinished = tuple(one.number for one in promoted if not one.noted)
    return History(str(address), asked.model, tuple(found), unfinished)
