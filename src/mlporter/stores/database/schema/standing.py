"""Three revisions apart: the source's, the target's, and the installed MLflow's. Pure decisions.

Rows go into a schema of their own revision, or into an older one as far as that holds them. They
never go straight into a newer one: what MLflow fills in there when it upgrades would be lacking.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from mlporter.catalogue import comes_before, described, release_of
from mlporter.errors import RevisionError, UnsupportedError

if TYPE_CHECKING:
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.database.schema.scripts import Scripts

__all__ = ["Standing", "check_standing", "how_to_hold", "revision_to_make", "standing_of"]


class Standing(Enum):
    """How a target's schema stands to that of the rows that are to go into it."""

    SAME = "the same"
    OLDER = "older than the source's"
    NEWER = "newer than the source's"
    UNRELATED = "unrelated to the source's"


def standing_of(target: str, source: str, scripts: Scripts) -> Standing:
    """How a target stands to a source, by their revisions."""
    if target == source:
        return Standing.SAME
    before = comes_before(target, source, scripts.revisions)
    if before is None:
        return Standing.UNRELATED
    return Standing.OLDER if before else Standing.NEWER


def check_standing(target: str, source: str, scripts: Scripts, address: Address) -> None:
    """Refuse rows of an older schema than the target's, or of one that nobody can order.

    Raises:
        RevisionError: they are.
    """
    standing = standing_of(target, source, scripts)
    if standing in {Standing.SAME, Standing.OLDER}:
        return
    hint = "use one MLflow release for both: mlflow db upgrade on a copy of the older one"
    if standing is Standing.NEWER:
        hint = (
            "import it into a new database, which MLflow upgrades when the rows are in it, and "
            "copy from there; this needs the target's version of MLflow"
        )
    raise RevisionError(
        f"its schema is at revision {described(target)}, {standing.value}: {described(source)}",
        subject=str(address),
        hint=hint,
    )


def revision_to_make(source: str, scripts: Scripts, address: Address) -> str:
    """The revision at which a new target is made for rows of a revision.

    That is the rows' own, where the installed MLflow knows it: MLflow upgrades the target when they
    are in it. An older MLflow makes what it can, which may not hold everything.

    Raises:
        UnsupportedError: MLflow is not installed.
        RevisionError: the installed MLflow neither knows the revision nor is older.
    """
    head = scripts.head
    if head is None:
        raise UnsupportedError(
            "a new database is made by MLflow's own code, and MLflow is not installed",
            subject=str(address),
            hint="pip install mlflow",
        )
    if source in scripts.revisions:
        return source
    if comes_before(head, source, scripts.revisions):
        return head
    raise RevisionError(
        f"the installed MLflow would create a schema at revision {described(head)}; the "
        "source is at "
        f"{described(source)}, which it does not know",
        subject=str(address),
        hint=_install(source),
    )


def how_to_hold(source: str, scripts: Scripts, address: Address) -> str:
    """What to do for a target to hold all of a newer source."""
    if source in scripts.revisions:
        return f"upgrade a copy of it: {address.upgrade_command}"
    return f"{_install(source)}; a target that is there then needs {address.upgrade_command}"


def _install(source: str) -> str:
    release = release_of(source)
    if release:
        return f"install an MLflow that knows it: pip install 'mlflow>={release}'"
    return "install the source's version of MLflow, or a newer one: pip install --upgrade mlflow"
