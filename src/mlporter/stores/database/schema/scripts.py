"""What the code of the installed MLflow says of its schema: its revisions and its tables.

It is read as text. MLflow itself is not imported: that takes seconds, and a source needs none of
its code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Scripts", "in_chain", "installed_head", "installed_mlflow", "installed_scripts"]

_ID = re.compile(r"^revision\s*(?::[^=]*)?=\s*[\"'](\w+)[\"']", re.MULTILINE)
_DOWN = re.compile(r"^down_revision\s*(?::[^=]*)?=\s*(.+)$", re.MULTILINE)
_TABLE = re.compile(r"^\s*__tablename__\s*=\s*[\"'](\w+)[\"']", re.MULTILINE)


@dataclass(frozen=True)
class Scripts:
    """The schema of an MLflow.

    Attributes:
        revisions: Those that lead to its newest one, oldest first.
        tables: Names of all its tables.
    """

    revisions: tuple[str, ...] = ()
    tables: frozenset[str] = frozenset()

    @property
    def head(self) -> str | None:
        """The newest revision."""
        return self.revisions[-1] if self.revisions else None


def installed_mlflow() -> str | None:
    """The version of the installed MLflow, or None; MLflow is not imported."""
    try:
        return metadata.version("mlflow")
    except metadata.PackageNotFoundError:
        return None


@cache
def installed_scripts() -> Scripts:
    """The schema of the installed MLflow; nothing where there is none."""
    spec = find_spec("mlflow")
    if spec is None or not spec.submodule_search_locations:
        return Scripts()
    store = Path(spec.submodule_search_locations[0]) / "store"
    before: dict[str, tuple[str, ...]] = {}
    for script in sorted((store / "db_migrations" / "versions").glob("*.py")):
        text = script.read_text(encoding="utf-8")
        down = tuple(id_ for line in _DOWN.findall(text) for id_ in re.findall(r"[\"'](\w+)", line))
        before.update(dict.fromkeys(_ID.findall(text), down))
    models = (path.read_text(encoding="utf-8") for path in sorted(store.rglob("dbmodels/*.py")))
    tables = (name for text in models for name in _TABLE.findall(text))
    return Scripts(in_chain(before), frozenset(tables))


def installed_head() -> str | None:
    """The newest schema revision of the installed MLflow."""
    return installed_scripts().head


def in_chain(before: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Revisions in an order in which each comes after those before it; none if there are two heads.

    Args:
        before: By revision, those that it follows.
    """
    heads = set(before) - {id_ for ids in before.values() for id_ in ids}
    if len(heads) != 1:
        return ()
    order: dict[str, None] = {}
    waiting = [heads.pop()]
    while waiting:
        revision = waiting[-1]
        missing = [id_ for id_ in before.get(revision, ()) if id_ not in order]
        if missing:
            waiting += missing
        else:
            order[waiting.pop()] = None
    return tuple(order)
