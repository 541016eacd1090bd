"""What a server is and can do: asked once, without calling anything that might change it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from mlporter.catalogue import is_newer_release, minor_of
from mlporter.errors import UnreachableError
from mlporter.stopping import Pool
from mlporter.stores.rest.answers import ApiError, MissingEndpointError
from mlporter.stores.rest.hints import prefix_hint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.stores.addresses.address import Address
    from mlporter.stores.rest.client import Client

__all__ = ["FAMILIES", "UNREAD", "Capabilities", "asking_once", "capabilities_of"]

UNREAD: dict[str, tuple[str, str, str]] = {}
"""Objects of newer servers that this release does not read: since when there are any, an endpoint
that lists them, and where its answer has them. What is there is named, so that nobody takes an
export for all of it."""

FAMILIES = {
    "runs": "/api/2.0/mlflow/runs/search",
    "metric histories in bulk": "/ajax-api/2.0/mlflow/metrics/get-history-bulk",
    "registered models": "/api/2.0/mlflow/registered-models/search",
    "proxied artifacts": "/api/2.0/mlflow-artifacts/artifacts",
    "old traces": "/api/2.0/mlflow/traces",
    "traces": "/api/3.0/mlflow/traces/search",
    "spans as stored": "/ajax-api/2.0/mlflow/get-trace-artifact",
    "logged models": "/api/2.0/mlflow/logged-models/search",
    "webhooks": "/api/2.0/mlflow/webhooks",
    "evaluation datasets": "/api/3.0/mlflow/datasets/search",
    "scorers": "/api/3.0/mlflow/scorers/list",
    "online scoring": "/api/3.0/mlflow/scorers/online-configs",
    "issues": "/api/3.0/mlflow/issues/search",
    "label schemas": "/api/3.0/mlflow/label-schemas/list",
    "review queues": "/api/3.0/mlflow/review-queues/list",
    "gateway": "/api/3.0/mlflow/gateway/endpoints/list",
    "budgets": "/api/3.0/mlflow/gateway/budgets/list",
    "guardrails": "/api/3.0/mlflow/gateway/guardrails/list",
    "MCP servers": "/api/3.0/mlflow/mcp-servers",
    "skills": "/api/3.0/mlflow/skills",
    "workspaces": "/api/3.0/mlflow/workspaces",
}
"""What releases of MLflow differ in, by an endpoint that stands for it."""

_ASKED_FOR_REAL = frozenset({"MCP servers", "skills"})
"""Endpoints outside of MLflow's Flask application, which do not answer to OPTIONS."""
_AT_ONCE = 4


@dataclass(frozen=True)
class Capabilities:
    """What a server is and can do.

    Attributes:
        version: Of MLflow, as the server says; "" if it does not.
        has: By name of `FAMILIES`: there or not; None where the server does not tell.
        workspaces: Names of its workspaces; empty where it has none.
        unread: What it holds of `UNREAD`, and a sentence that says so.
    """

    version: str
    has: dict[str, bool | None]
    workspaces: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_newer(self) -> bool:
        """Whether the server's MLflow is later than the catalogue's."""
        return is_newer_release(self.version)

    @property
    def release(self) -> str | None:
        """The MLflow that the server may hold things of; None if it may be any.

        What does not say its version, and has no skills, is none that came after MLflow 3.17.
        """
        return self.version or ("3.17" if self.has.get("skills") is False else None)

    def may(self, family: str) -> bool:
        """Whether it is worth trying; an endpoint that is missing all the same says so itself."""
        return self.has.get(family) is not False

    def renewed(self, client: Client) -> Capabilities:
        """The same with the workspaces that there are by now, which is all that may change."""
        return replace(self, workspaces=_workspaces(client, self.has))


_KNOWN: ContextVar[list[tuple[Address, Capabilities]] | None] = ContextVar("known", default=None)


@contextmanager
def asking_once() -> Iterator[None]:
    """Within it, a server that is opened again is only asked for what may have changed.

    A promotion opens its target five times, and would ask some hundred questions.
    """
    token = _KNOWN.set([])
    try:
        yield
    finally:
        _KNOWN.reset(token)


def capabilities_of(
    client: Client, address: Address, can: Capabilities | None = None
) -> Capabilities:
    """What a server is and can do.

    Args:
        client: Asks it.
        address: Where it is, and by which variables it is reached.
        can: What it said before, if that is known.

    Raises:
        UnreachableError: no way to it, or it is no MLflow server.
        AccessDeniedError: it does not know us.
    """
    known = _KNOWN.get()
    before = [
        found
        for place, found in known or ()
        if place == address and place.environment == address.environment
    ]
    if can is not None or before:
        return (can or before[0]).renewed(client)
    found = _ask(client)
    if known is not None:
        known.append((address, found))
    return found


def _ask(client: Client) -> Capabilities:
    """Ask a server what it is.

    Raises:
        UnreachableError: no way to it, or it is no MLflow server.
        AccessDeniedError: it does not know us.
    """
    version = _version(client)

    def ask(family: str) -> bool | None:
        return None if client.databricks else _has(client, family)

    with Pool(_AT_ONCE, thread_name_prefix="mlporter-ask") as pool:
        has = dict(zip(FAMILIES, pool.map(ask, FAMILIES), strict=True))
    if not has["runs"] and not client.databricks:
        # Not every proxy lets the question through: only the answer to a real one counts.
        try:
            client.post("/api/2.0/mlflow/experiments/search", {"max_results": 1})
        except MissingEndpointError as error:
            error.hint = prefix_hint(client.url)
            raise
        has["runs"] = None
    spaces = _workspaces(client, has)
    return Capabilities(version, has, spaces, _unread(client, version, spaces))


def _has(client: Client, family: str) -> bool | None:
    path = FAMILIES[family]
    if family not in _ASKED_FOR_REAL:
        return client.exists(path)
    try:
        client.get(path, {"max_results": 1})
    except MissingEndpointError:
        return False
    except UnreachableError:
        return None
    return True


def _unread(client: Client, version: str, workspaces: tuple[str, ...]) -> dict[str, str]:
    """What a newer server holds of `UNREAD`."""
    found = {}
    for kind, (since, path, items) in UNREAD.items():
        if minor_of(version) < minor_of(since):
            continue
        try:
            spaces = [client.within(name) for name in workspaces] or [client]
            pages = (one.pages(path, {"max_results": 100}, items, method="GET") for one in spaces)
            count = sum(len(page) for page in chain.from_iterable(pages))
        except MissingEndpointError:
            continue
        except UnreachableError as error:
            found[kind] = f"they cannot be counted, and this release does not read them: {error}"
            continue
        if count:
            found[kind] = f"{count:,} on the server: this release does not read them"
    return found


def _version(client: Client) -> str:
    if client.databricks:
        return ""
    try:
        text = client.text("/version").strip()
    except ApiError:
        return ""
    is_version = text[:1].isdigit() and len(text.splitlines()) == 1
    return text if is_version else ""


def _workspaces(client: Client, has: dict[str, bool | None]) -> tuple[str, ...]:
    """Names of workspaces: a server that runs without says so in its information."""
    if client.databricks or not has["workspaces"]:
        return ()
    try:
        if not client.get("/api/3.0/mlflow/server-info").get("workspaces_enabled"):
            return ()
    except ApiError:
        return ()
    found = client.get("/api/3.0/mlflow/workspaces").get("workspaces", ())
    return tuple(sorted(item["name"] for item in found))


def refuse_others(client: Client, found: Capabilities) -> None:
    """Refuse what is no MLflow server.

    Raises:
        UnreachableError: it is something else.
    """
    if found.has["runs"] is False:
        raise UnreachableError(
            "is not an MLflow tracking server",
            subject=client.subject,
            hint="name the address that MLFLOW_TRACKING_URI has",
        )
