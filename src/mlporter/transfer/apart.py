"""Places that a transfer reads and writes must not lie in one another: pure checks of addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.artifacts.uris import local_path
from mlporter.errors import UsageError
from mlporter.stores.address import AddressKind, is_same_place

if TYPE_CHECKING:
    from pathlib import Path

    from mlporter.stores.address import Address

__all__ = ["check_apart", "check_outside"]


def check_apart(source: Address, target: Address) -> None:
    """Refuse to copy a database onto itself.

    Raises:
        UsageError: both addresses name the same file, or are the same text.
    """
    if is_same_place(source, target):
        raise UsageError("source and target are the same", subject=str(target))


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
            f"{what} lies in the bundle, which would be damaged by it",
            subject=str(path),
            hint="choose another directory",
        )
