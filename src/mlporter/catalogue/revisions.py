"""The revisions of MLflow's schema, oldest first, as Alembic chains them."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "HEAD_REVISION",
    "OLDEST_SHAPE",
    "RETIRED_COLUMNS",
    "REVISIONS",
    "comes_before",
    "described",
    "is_newer",
    "is_newer_release",
    "is_older",
    "minor_of",
    "release_of",
]

HEAD_REVISION = "f4a9b2c7d1e6"
"""The revision that the catalogue describes (MLflow 3.18)."""
OLDEST_SHAPE = "dc11669786a5"
"""Rows are never brought to an older shape (MLflow 3.17): readers know one place for each thing."""

# Releases were found by sampling wheels, mostly x.y.0, from 1.9.0 on. So the release beside a
# revision certainly has it; one between two samples may have had it first.
REVISIONS: tuple[tuple[str, str], ...] = (
    ("451aebb31d03", "1.9.0"),
    ("90e64c465722", "1.9.0"),
    ("181f10493468", "1.9.0"),
    ("df50e92ffc5e", "1.9.0"),
    ("7ac759974ad8", "1.9.0"),
    ("89d4b8295536", "1.9.0"),
    ("2b4d017a5e9b", "1.9.0"),
    ("cfd24bdc0731", "1.9.0"),
    ("0a8213491aaa", "1.9.0"),
    ("728d730b5ebd", "1.10.0"),
    ("27a6a02d2cf1", "1.10.0"),
    ("84291f40a231", "1.13.0"),
    ("a8c4a736bde6", "1.13.0"),
    ("39d1c3be5f05", "1.15.0"),
    ("c48cb773bb87", "1.16.0"),
    ("bd07f7e963c5", "1.28.0"),
    ("0c779009ac13", "1.28.0"),
    ("cc1f77228345", "1.28.0"),
    ("97727af70f4d", "1.29.0"),
    ("3500859a5d39", "2.3.0"),
    ("7f2a7d5fae7d", "2.4.0"),
    ("2d6e25af4d3e", "2.8.0"),
    ("acf3f17fdcc7", "2.8.0"),
    ("867495a8f9d4", "2.13.0"),
    ("5b0e9adcef9c", "2.14.0"),
    ("4465047574b1", "2.15.0"),
    ("f5a4f2784254", "2.17.0"),
    ("0584bdc529eb", "2.18.0"),
    ("400f98739977", "3.0.0"),
    ("6953534de441", "3.0.0"),
    ("bda7b8c39065", "3.2.0"),
    ("cbc13b556ace", "3.2.0"),
    ("770bee3ae1dd", "3.2.0"),
    ("a1b2c3d4e5f6", "3.3.0"),
    ("de4033877273", "3.3.0"),
    ("1a0cddfcaa16", "3.3.0"),
    ("534353b11cbc", "3.4.0"),
    ("71994744cf8e", "3.4.0"),
    ("3da73c924c2f", "3.5.0"),
    ("bf29a5ff90ea", "3.5.0"),
    ("1bd49d398cd23", "3.8.0"),
    ("b7c8d9e0f1a2", "3.9.0"),
    ("5d2d30f0abce", "3.9.0"),
    ("c9d4e5f6a7b8", "3.9.0"),
    ("2c33131f4dae", "3.9.0"),
    ("d3e4f5a6b7c8", "3.9.0"),
    ("d0e1f2a3b4c5", "3.10.0"),
    ("c8d9e0f1a2b3", "3.10.0"),
    ("1b5f0d9ad7c1", "3.10.0"),
    ("e1f2a3b4c5d6", "3.11.0"),
    ("76601a5f987d", "3.11.0"),
    ("c3d6457b6d8a", "3.11.0"),
    ("a5b4c3d2e1f0", "3.12.0"),
    ("ae8bbe7743c9", "3.12.0"),
    ("7d34483879f0", "3.12.0"),
    ("da6fb0208061", "3.13.0"),
    ("89d3d66ed43f", "3.14.0"),
    ("b7e4c1a90f23", "3.14.0"),
    ("a8b9c0d1e2f3", "3.15.0"),
    ("c1d2e3f4a5b6", "3.15.0"),
    ("c3d9e7f1a2b4", "3.15.0"),
    ("6f8d9c3b2a1e", "3.15.0"),
    ("1971f2d9a75b", "3.16.0"),
    ("17e22815139b", "3.16.0"),
    ("b7e2c1a4d9f3", "3.16.0"),
    ("75868b020152", "3.17.0"),
    ("dc11669786a5", "3.17.0"),
    ("e7d1f4b2a9c6", "3.18.0"),
    ("8b6ad64cb8f5", "3.18.0"),
    ("f4a9b2c7d1e6", "3.18.0"),
)
"""Every revision known, with the first release known to have it."""

RETIRED_COLUMNS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        # Renamed `job_name`.
        ("jobs", "function_fullname"): "5d2d30f0abce",
        # JSON with the model and its provider, which are now `model_name` and `model_provider`.
        ("spans", "dimension_attributes"): "75868b020152",
    }
)
"""(table, column) that older schemas have and the newest has not, by the revision that removed it.
No table was ever removed."""

_RELEASES = dict(REVISIONS)
_POSITIONS = {revision: position for position, (revision, _) in enumerate(REVISIONS)}


def release_of(revision: str) -> str | None:
    """The first MLflow release known to have `revision`, or None if it is unknown."""
    return _RELEASES.get(revision)


def described(revision: str) -> str:
    """A revision in a sentence, with the release that it is of."""
    release = release_of(revision)
    return f"{revision} (MLflow {release})" if release else f"{revision}, which is not known here"


def is_newer_release(version: str) -> bool:
    """Whether a release is of a later minor version than the one that has `HEAD_REVISION`.

    >>> is_newer_release("99.1.0.dev0"), is_newer_release("2.9.2"), is_newer_release("")
    (True, False, False)
    """
    return minor_of(version) > minor_of(_RELEASES[HEAD_REVISION])


def minor_of(version: str) -> tuple[int, ...]:
    """The first two numbers of a release, to be compared; () where there are none."""
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def is_older(revision: str) -> bool | None:
    """Whether `revision` comes before `HEAD_REVISION`; None if it is unknown."""
    position = _POSITIONS.get(revision)
    return None if position is None else position < _POSITIONS[HEAD_REVISION]


def is_newer(revision: str) -> bool:
    """Whether the catalogue does not describe `revision`: a later one, or one that is unknown."""
    position = _POSITIONS.get(revision)
    return position is None or position > _POSITIONS[HEAD_REVISION]


def comes_before(one: str, two: str, chain: Sequence[str] = ()) -> bool | None:
    """Whether a revision is older than another one; None if nobody can say.

    Args:
        one: A revision.
        two: Another one.
        chain: Revisions that the installed MLflow knows, oldest first. What neither that nor the
            catalogue knows is newer than all that they know.
    """
    for order in (_POSITIONS, {revision: place for place, revision in enumerate(chain)}):
        if one in order and two in order:
            return order[one] < order[two]
    known = [revision in _POSITIONS or revision in chain for revision in (one, two)]
    if known[0] == known[1]:
        # Both unknown; or one of the catalogue's alone and one of the chain's alone.
        return None if not known[0] else one in _POSITIONS
    return known[0]
