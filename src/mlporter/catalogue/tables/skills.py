"""The skill registry: instructions for agents, their versions and where their files are (3.18)."""

from __future__ import annotations

from mlporter.catalogue.tables.columns import WORKSPACE, bigint, foreign_key, integer, json, text
from mlporter.catalogue.types import Place, Reference, Table

__all__ = ["TABLES"]

_SKILL = ("workspace", "organization", "name")
_VERSION = (*_SKILL, "version")
_SKILL_COLUMNS = (
    text("workspace", 63, null=False),
    text("organization", 64, null=False),
    text("name", 128, null=False),
)

SKILLS = Table(
    name="skills",
    key=_SKILL,
    columns=(
        *_SKILL_COLUMNS,
        text("description"),
        json("icons"),
        text("search_text"),
        text("created_by", 256),
        text("last_updated_by", 256),
        bigint("created_at", null=False),
        bigint("last_updated_at", null=False),
    ),
    references=(WORKSPACE,),
    bulky=True,
    workspace=True,
)
"""Skills. An empty ``organization`` is none. ``search_text`` is made of name and description."""

SKILL_VERSIONS = Table(
    name="skill_versions",
    key=_VERSION,
    columns=(
        *_SKILL_COLUMNS,
        integer("version", null=False),
        text("source_type", 20),
        text("source", 2048),
        text("ref", 2048),
        text("subpath", 2048),
        text("digest", 64),
        text("status", 20, null=False),
        text("created_by", 256),
        text("last_updated_by", 256),
        bigint("created_at", null=False),
        bigint("last_updated_at", null=False),
    ),
    parent="skills",
    references=(foreign_key(_SKILL, "skills"),),
    places=(Place("source", where=("source_type", "mlflow")),),
    workspace=True,
)
"""Versions of skills. ``source`` is a Git repository, an image or an archive somewhere; or, where
``source_type`` is ``mlflow``, the place below the artifact root that the files were uploaded to.
``subpath`` is the part of the source that is the skill."""

SKILL_TAGS = Table(
    name="skill_tags",
    key=(*_SKILL, "key"),
    columns=(*_SKILL_COLUMNS, text("key", 250, null=False), text("value")),
    parent="skills",
    references=(foreign_key(_SKILL, "skills"),),
    bulky=True,
    workspace=True,
)
"""Tags of skills."""

SKILL_VERSION_TAGS = Table(
    name="skill_version_tags",
    key=(*_VERSION, "key"),
    columns=(
        *_SKILL_COLUMNS,
        integer("version", null=False),
        text("key", 250, null=False),
        text("value"),
    ),
    parent="skill_versions",
    references=(foreign_key(_VERSION, "skill_versions"),),
    bulky=True,
    workspace=True,
)
"""Tags of versions of skills."""

SKILL_ALIASES = Table(
    name="skill_aliases",
    key=(*_SKILL, "alias"),
    columns=(
        *_SKILL_COLUMNS,
        text("alias", 256, null=False),
        integer("version", null=False),
    ),
    parent="skills",
    references=(
        foreign_key(_SKILL, "skills"),
        Reference(_VERSION, "skill_versions", _VERSION, enforced=False),
    ),
    workspace=True,
)
"""Aliases; MLflow deletes them with the version that they name."""

TABLES = (SKILLS, SKILL_VERSIONS, SKILL_TAGS, SKILL_VERSION_TAGS, SKILL_ALIASES)
"""In an order in which parents come before children."""
