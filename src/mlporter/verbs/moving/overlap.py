"""Places that a transfer reads and writes must not lie in one another: pure checks of addresses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlporter.artifacts.uris.uri_text import local_path
from mlporter.errors import UsageError
from mlporter.redaction import redact_address
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.addresses.same_place import is_same_place
from mlporter.wording import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.execute.options import TransferOptions
    from mlporter.stores.protocols import Source

__all__ = ["check_apart", "check_outside", "check_outside_files"]


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


_KEPT = {
    AddressKind.BUNDLE: "bundle",
    AddressKind.REPOSITORY: "repository",
    AddressKind.SNAPSHOT: "repository",
}
"""Places in which nothing else may lie."""


def check_outside(source: Address, place: Address | str | Path | None, what: str) -> None:
    """Refuse to write into a bundle or a repository: it would no longer be one.

    Args:
        source: Where that is; another kind of place is passed over.
        place: An address, a path or an artifact URI.
        what: What it is, for the message: "the target", say.

    Raises:
        UsageError: `place` lies in it.
    """
    whole = _KEPT.get(source.kind)
    if whole is not None and _lies_in(place, source):
        raise UsageError(
            f"{what} is inside the {whole}, which that would damage",
            subject=redact_address(place) if isinstance(place, str) else str(place),
            hint="choose another place",
        )


def check_outside_files(source: Source, origin: Address, place: Address, what: str) -> None:
    """Refuse to write a bundle or a repository where a source keeps its experiments' files.

    Nothing there would be changed, but MLflow would take what is added for an experiment, or show
    it as a run's files.

    Args:
        source: The registry that is read.
        origin: Where that is; servers are passed over, as their folders are another machine's.
        place: Where something is to be written.
        what: What that is, for the message: "the bundle", say.

    Raises:
        UsageError: `place` lies in such a folder.
    """
    if place.path is None or origin.kind is AddressKind.SERVER:
        return
    into = place.path.resolve()
    for folder in _folders(source, origin):
        if into.is_relative_to(folder.resolve()):
            raise UsageError(
                f"{what} is inside a folder of the source's files, {folder}",
                subject=str(place),
                hint="choose another place",
            )


def _folders(source: Source, origin: Address) -> Iterator[Path]:
    """The folders of this machine in which a source keeps files, and nobody else does.

    An experiment may be told to keep its files anywhere: in "/", at home, or around its database.
    """
    if origin.kind is AddressKind.FILESTORE and origin.path is not None:
        yield origin.path
    holder = None if origin.path is None else origin.path.parent
    shared = [path.resolve() for path in (Path("/"), Path.home(), holder) if path is not None]
    for batch in source.read("experiments", ("artifact_location",)):
        for uri in batch.column(0).to_pylist():
            folder = local_path(uri or "", holder)
            if folder is not None and not any(
                path.is_relative_to(folder.resolve()) for path in shared
            ):
                yield folder


def _lies_in(place: Address | str | Path | None, source: Address) -> bool:
    path: Path | None
    if isinstance(place, Address):
        path, text = place.path, place.text if place.is_in_object_storage else ""
    elif isinstance(place, str):
        path, text = local_path(place), place
    else:
        path, text = place, ""
    if source.path is not None:
        return path is not None and path.resolve().is_relative_to(source.path.resolve())
    one, other = urlsplit(text), urlsplit(source.text)
    below = f"{other.path.strip('/')}/".lstrip("/")
    same = (one.scheme, one.netloc) == (other.scheme, other.netloc)
    return same and f"{one.path.strip('/')}/".startswith(below)
