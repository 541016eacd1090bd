"""Workspaces that a transfer into a server needs: made where the server has any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.errors import RefusedError
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source

__all__ = ["make_workspaces"]

_DEFAULT = "default"


def make_workspaces(context: ServerContext, place: Address, there: Collection[str]) -> None:
    """Make the workspaces that are needed.

    Args:
        context: The transfer; its maps of workspaces are filled in.
        place: The server.
        there: Its workspaces; none if it runs without.

    Raises:
        RefusedError: it has none, and some are needed.
    """
    used = {name or _DEFAULT for name in _workspaces(context.source)}
    to = context.policy.to_workspace
    if to is not None:
        context.ids.workspaces.update({name: to for name in used if name != to})
        context.back.workspaces.update(zip([to], used - {to}, strict=False))
        used = {to}
    if there:
        texts = dict(rows_of(context.source, "workspaces", ("name", "description")))
        for name in sorted(used - set(there)):
            context.writer_of(_DEFAULT).create_workspace(name, texts.get(name))
    elif used - {_DEFAULT}:
        raise RefusedError(
            f"has no workspaces, and these are needed: {', '.join(sorted(used))}",
            subject=str(place),
            hint="start it with --enable-workspaces, or bring one with --workspace NAME "
            "--to-workspace default",
        )


def _workspaces(source: Source) -> set[str]:
    found = {name for (name,) in rows_of(source, "experiments", ("workspace",))}
    return found | {name for (name,) in rows_of(source, "registered_models", ("workspace",))}
