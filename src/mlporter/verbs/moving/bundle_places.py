"""Bundles that verbs write and check, in a directory or in object storage."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlporter.bundle.documents.manifest import load_manifest
from mlporter.bundle.folder.state import State, refuse_used, state_of
from mlporter.bundle.replacing import new_place
from mlporter.bundle.signing import check_manifest, sign_manifest
from mlporter.bundle.storage.bundle_place import refuse_used_place
from mlporter.bundle.storage.publishing import StagedBundle
from mlporter.bundle.writer import BundleWriter
from mlporter.errors import UsageError
from mlporter.progress import OnProgress, silent
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.bundles.repository_places import storage_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.bundle.writer import Mode
    from mlporter.stores.addresses.address import Address

__all__ = ["check_free", "check_signed", "no_signature", "replaced_bundle", "written_bundle"]


@contextmanager
def written_bundle(
    place: Address,
    mode: Mode,
    source: str,
    *,
    workers: int,
    key: str | None,
    on_progress: OnProgress = silent,
) -> Iterator[BundleWriter]:
    """What writes a bundle, which the body finishes; it is signed and sent then.

    Args:
        place: Where to.
        mode: What is done where the place is used.
        source: The redacted address of what is exported.
        workers: Objects that are sent at a time.
        key: The file of the private key that it is signed with.
        on_progress: Called with how far sending is.

    Raises:
        RefusedError: the place is used otherwise; nothing was changed.
        UnsupportedError: a bundle in object storage would have to be replaced.
        BundleInUseError: another process is writing there.
        UnreachableError: it cannot be written to.
    """
    if place.path is not None:
        with BundleWriter.create(place.path, mode, source=source) as writer:
            yield writer
        if key is not None:
            sign_manifest(place.path, key)
        return
    with StagedBundle.create(storage_of(place), mode, workers) as staged:
        with BundleWriter.create(staged.folder, source=source, contents=staged.contents) as writer:
            yield writer
        if key is not None:
            sign_manifest(staged.folder, key)
        staged.publish(load_manifest(staged.folder), on_progress)


def check_free(place: Address, mode: Mode) -> None:
    """Refuse a place for a bundle that is used otherwise; nothing is written.

    Raises:
        RefusedError, UnsupportedError, BundleInUseError: as `written_bundle`.
    """
    if place.path is None:
        refuse_used_place(storage_of(place), mode)
        return
    beside = new_place(place.path.resolve())
    goes_on = mode == "resume" and not beside.is_symlink() and beside.exists()
    is_beside = goes_on and state_of(beside) is State.UNFINISHED
    refuse_used(beside if is_beside else place.path, mode)


def replaced_bundle(place: Address, mode: Mode) -> str | None:
    """The id of the bundle that a new one would take the place of, if there is one."""
    if place.path is None or mode != "restart" or state_of(place.path) is not State.FINISHED:
        return None
    return load_manifest(place.path).bundle_id


def check_signed(place: Address, key: str) -> None:
    """Refuse a bundle that is not signed with the private key of a public one.

    Raises:
        UsageError: it is no bundle: nothing else is signed as a whole.
        RefusedError: it is not signed, or the signature does not hold.
    """
    if place.kind is not AddressKind.BUNDLE:
        raise no_signature(place)
    check_manifest(storage_of(place), key)


def no_signature(place: Address) -> UsageError:
    """What is said where a signature is required of what can have none."""
    what = "a snapshot" if place.kind is AddressKind.SNAPSHOT else f"a {place.kind.value}"
    return UsageError(
        f"--require-signature is for bundles: {what} is not signed as a whole",
        subject=str(place),
        hint="`mlporter export --sign KEY` writes a signed bundle of it",
    )
