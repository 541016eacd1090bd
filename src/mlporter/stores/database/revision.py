"""Schema revisions: which ones can be read and written here, and what to say of the others."""

from __future__ import annotations

import re
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.catalogue import HEAD_REVISION, is_older, release_of
from mlporter.errors import RevisionError

if TYPE_CHECKING:
    from mlporter.stores.address import Address

__all__ = ["check_revision", "installed_head", "installed_mlflow", "is_as_it_is"]

_ID = re.compile(r"^revision\s*=\s*[\"'](\w+)[\"']", re.MULTILINE)
_DOWN = re.compile(r"^down_revision\s*=\s*(.+)$", re.MULTILINE)


def installed_mlflow() -> str | None:
    """The version of the installed MLflow, or None; MLflow is not imported."""
    try:
        return metadata.version("mlflow")
    except metadata.PackageNotFoundError:
        return None


@cache
def installed_head() -> str | None:
    """The newest schema revision of the installed MLflow, read from its migration scripts.

    MLflow itself is not imported: that takes seconds, and a source needs none of its code.
    """
    spec = find_spec("mlflow")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "store" / "db_migrations" / "versions"
    revisions: set[str] = set()
    replaced: set[str] = set()
    for script in folder.glob("*.py"):
        text = script.read_text(encoding="utf-8")
        revisions.update(_ID.findall(text))
        for line in _DOWN.findall(text):
            replaced.update(re.findall(r"[\"'](\w+)[\"']", line))
    heads = revisions - replaced
    return heads.pop() if len(heads) == 1 else None


def is_as_it_is(revision: str) -> bool:
    """Whether a schema is read and written as it is.

    That is the catalogue's revision, or the installed MLflow's: what the catalogue does not know
    of that one is read by reflection.
    """
    return revision in {HEAD_REVISION, installed_head()}


def check_revision(revision: str, address: Address, *, older: bool = False) -> None:
    """Let a database pass whose schema is the newest that is known here, or `older` than that.

    Raises:
        RevisionError: it is older (the hint is the very command that upgrades it) or newer.
    """
    if is_as_it_is(revision) or (older and is_older(revision)):
        return
    release = release_of(revision)
    name = f"{revision} (MLflow {release})" if release else f"{revision}, which is not known here"
    newest = f"{HEAD_REVISION} (MLflow {release_of(HEAD_REVISION)})"
    if release and is_older(revision):
        raise RevisionError(
            f"its schema is at revision {name}; this release reads {newest}",
            subject=str(address),
            hint=f"on a copy of it, run: {address.upgrade_command}",
        )
    raise RevisionError(
        f"its schema is at revision {name}; this release reads {newest}",
        subject=str(address),
        hint="it was made by a newer MLflow: pip install --upgrade mlporter mlflow",
    )
