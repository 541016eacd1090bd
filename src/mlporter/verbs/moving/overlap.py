"""Places that a transfer reads and writes must not lie in one another: pure checks of addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.artifacts.uris.uri_text import local_path
from mlporter.errors import UsageError
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.addresses.same_place import is_same_place
from mlporter.wording import command_line

if TYPE_CHECKING:
    from pathlib import Path

    from mlporter.execute.options import TransferOptions
    from mlporter.stores.addresses.address import Address

__all__ = ["check_apart", "check_outside"]


def check_apart(source: Address, target: Address, options: TransferOptions | None = None) -> None:
    """Refuse to copy a place onto itself.

    Args:
        source: Where from.
        target: Where to.
        options: What was asked for, where there is a way to have it all the same.

    Raises:
        UsageError: both addresses name one place; the hint is the way round.
    """
    if is_same_place(source, target):
        raise UsageError(
            "source and target are the same",
            subject=str(target),
            hint="name two databases" if options is None else _way_round(source, target, options),
        )


_BETWEEN = "part/"


def _way_round(source: Address, target: Address, options: TransferOptions) -> str:
    """The commands that make a copy within one place: through a bundle, under another name."""
    part = options.selection.options() if options.selection else ""
    policy = options.policy
    root = "" if target.kind is AddressKind.SERVER else options.artifact_root or "DIR"
    words: list[tuple[str, str | bool]] = [
        *(("rename", pair) for pair in policy.renames),
        ("rename-prefix", policy.rename_prefix),
        ("to-workspace", policy.to_workspace or ""),
    ]
    if not any(value for _, value in words):
        words = [("rename", "OLD=NEW")]
    words += [("on-conflict", "rename"), ("artifact-root", root)]
    words.append(("target-env", options.target_env or ""))
    side: list[tuple[str, str | bool]] = [("source-env", options.source_env or "")]
    export = command_line("export", [source.as_typed, _BETWEEN], side, part)
    into = command_line("import", [_BETWEEN, target.as_typed], words)
    return f"for a copy under another name go through a bundle: {export} && {into}"


def check_outside(bundle: Address, place: str | Path | None, what: str) -> None:
    """Refuse to write into a bundle: it would no longer be one.

    Args:
        bundle: Where the bundle is; another kind of place is passed over.
        place: A path or an artifact URI; one that is not of this machine lies outside.
        what: What it is, for the message: "the target", say.

    Raises:
        UsageError: `place` lies in the bundle.
    """
    path = local_path(place) if isinstance(place, str) else place
    if bundle.kind is not AddressKind.BUNDLE or bundle.path is None or path is None:
        return
    if path.resolve().is_relative_to(bundle.path.resolve()):
        raise UsageError(
            f"{what} is inside the bundle, which that would damage",
            subject=str(path),
            hint="choose another directory",
        )
