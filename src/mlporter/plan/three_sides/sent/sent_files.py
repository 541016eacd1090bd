"""Files that were sent, owner by owner, as a base remembers them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from mlporter.catalogue.file_owners import FILE_OWNERS
from mlporter.plan.three_sides.files import COLUMNS, FILES, Sent, SentRows, content_of, unpack
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlporter.plan.three_sides.sent.base import Base
    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["Owner", "files_sent", "group_of", "keep_rows", "keep_sent", "owners_sent"]
__all__ += ["remember_files"]

Owner = tuple[str, str]
"""The kind of an owner, and its id."""


def group_of(owner: Owner) -> str:
    """Under which name the files of an owner are remembered."""
    return "\x1f".join(owner)


def files_sent(base: Base, owner: Owner) -> dict[int, Sent] | None:
    """What is remembered of the files of an owner; None if nothing is."""
    group = base.groups(FILES, [group_of(owner)]).get(group_of(owner))
    return None if group is None else unpack(group)


def owners_sent(base: Base, kind: str, ids: Iterable[str]) -> set[str]:
    """Those of some owners of whose files something is remembered."""
    names = {group_of((kind, id_)): id_ for id_ in ids}
    return {names[name] for name in base.groups(FILES, list(names))}


def keep_sent(
    base: Base, owner: Owner, files: Iterable[tuple[str, Sent]], older: Mapping[int, Sent]
) -> None:
    """Remember the files of an owner.

    Args:
        base: Where to.
        owner: Whose they are.
        files: What both sides have now, with the path of each.
        older: What stays remembered of others.
    """
    rows = SentRows()
    for path, sent in files:
        rows.add(path, sent)
    keep_rows(base, owner, rows, older)


def keep_rows(base: Base, owner: Owner, rows: SentRows, older: Mapping[int, Sent]) -> None:
    """The same of files that were put together one by one."""
    base.put(FILES, COLUMNS, group_of(owner), rows.packed(older))


def remember_files(
    base: Base,
    snapshot: Source,
    called: Callable[[str, str], str | None],
    content: Callable[[ArtifactFile], tuple[str, int]] | None = None,
) -> None:
    """Remember the files of a snapshot, as if they had been sent.

    What changes if a file does is not known of them: another place tells it in another way.

    Args:
        base: Where to.
        snapshot: Its files have SHA-256s.
        called: What an owner (its kind, its id) is called where it is remembered; None leaves it.
        content: The SHA-256 of a file as it was sent, and its bytes, where it was sent otherwise.
    """
    if snapshot.description.artifacts != "copy":
        return
    for kind in ("logged_model", "run"):
        owners = FILE_OWNERS[kind]
        for (id_,) in rows_of(snapshot, owners.table, (owners.key,)):
            name = called(kind, id_)
            if name is not None:
                keep_sent(base, (kind, name), (), {})
    found = snapshot.files(lambda _: None, lambda kind, _: kind in FILE_OWNERS)
    for (kind, id_), files in groupby(found, lambda file: (file.owner_kind, file.owner_id)):
        name = called(kind, id_)
        if name is not None:
            keep_sent(base, (kind, name), (_sent(file, content) for file in files), {})


def _sent(
    file: ArtifactFile, content: Callable[[ArtifactFile], tuple[str, int]] | None
) -> tuple[str, Sent]:
    digest, size = (file.sha256 or "", file.size) if content is None else content(file)
    return file.path, Sent(0, content_of(digest), size)
