"""Where the files of versions of skills lie, found in the tables of any source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlporter.artifacts.uris.ownership import find_file_owners
from mlporter.catalogue.tables.own import skill_owner_id
from mlporter.stores.rows.version_locations import owner_roots, rows_of

if TYPE_CHECKING:
    from mlporter.stores.rows.version_locations import TableReader

__all__ = ["SkillPlace", "skill_places"]

_COLUMNS = ("workspace", "organization", "name", "version", "source_type", "source", "status")
_BY_ID = ("runs:/", "models:/")
_UPLOADED = "mlflow-artifacts:/"
_DEFAULT = "default"
_TOKEN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class SkillPlace:
    """The place of a version whose files were uploaded, and lie in no run and no logged model.

    Attributes:
        workspace: Of the skill.
        organization: "" for none.
        name: Of the skill.
        version: Its number.
        source: As it is recorded.
        is_deleted: Whether it is marked as deleted; MLflow keeps its files.
    """

    workspace: str
    organization: str
    name: str
    version: int
    source: str
    is_deleted: bool

    @property
    def owner(self) -> str:
        """The id that it owns files by."""
        return skill_owner_id(self.workspace, self.organization, self.name, self.version)

    @property
    def uri(self) -> str:
        """Where its files are: MLflow records places behind its proxy without the workspace."""
        rest = self.source.removeprefix(_UPLOADED)
        is_bare = self.source.startswith(_UPLOADED) and not rest.startswith("workspaces/")
        if self.workspace == _DEFAULT or not is_bare:
            return self.source
        return f"{_UPLOADED}workspaces/{self.workspace}/{rest}"

    @property
    def folder(self) -> str:
        """The name of its folder among those of its skill: MLflow gives each upload a token."""
        last = self.source.rstrip("/").rpartition("/")[2]
        return last if _TOKEN.fullmatch(last) else str(self.version)


def skill_places(source: TableReader) -> dict[str, SkillPlace]:
    """By owner id; memory grows with the versions of skills only."""
    found = [
        SkillPlace(workspace or _DEFAULT, organization, name, version, uri, status == "deleted")
        for workspace, organization, name, version, kind, uri, status in rows_of(
            source, "skill_versions", _COLUMNS
        )
        if kind == "mlflow" and uri and not uri.startswith(_BY_ID)
    ]
    if not found:
        return {}
    others = find_file_owners({place.source for place in found}, owner_roots(source))
    return {place.owner: place for place in found if place.source not in others}
