"""The skill registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlporter.stores.server.reading.rows import Json, Rows, new_rows
from mlporter.stores.server.reading.unknown_fields import keep_unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["search_text", "skill"]

_VERSION = ("version", "source_type", "source", "ref", "subpath", "digest", "status")


def skill(found: Json, versions: Iterable[Json], workspace: str) -> Rows:
    """A skill with its versions, tags and aliases."""
    rows = new_rows()
    name, description, icons = found["name"], found.get("description"), found.get("icons")
    own = {"workspace": workspace, "organization": found.get("organization", ""), "name": name}
    rows["skills"].append(
        {
            **own,
            "description": description,
            "icons": None if icons is None else json.dumps(icons),
            "search_text": search_text(name, description),
            **_made(found),
        }
    )
    keep_unknown(rows, "skills", found)
    for key, value in (found.get("tags") or {}).items():
        rows["skill_tags"].append({**own, "key": key, "value": value})
    for alias in found.get("aliases") or ():
        row = {"alias": alias["alias"], "version": alias["version"]}
        rows["skill_aliases"].append(own | row)
    for version in versions:
        row = {column: version.get(column) for column in _VERSION}
        rows["skill_versions"].append({**own, **row, **_made(version)})
        keep_unknown(rows, "skill_versions", version)
        for key, value in (version.get("tags") or {}).items():
            row = {"version": version["version"], "key": key, "value": value}
            rows["skill_version_tags"].append(own | row)
    return rows


def _made(found: Json) -> dict[str, Any]:
    return {
        "created_by": found.get("created_by"),
        "last_updated_by": found.get("last_updated_by"),
        "created_at": found.get("creation_timestamp"),
        "last_updated_at": found.get("last_updated_timestamp"),
    }


def search_text(name: str, description: str | None) -> str:
    r"""What MLflow searches a skill by: its name and description, without runs of white space.

    >>> search_text("review", " twice\n  read ")
    'review twice read'
    """
    return " ".join(f"{name} {description or ''}".split())
