"""The skill registry, where MLflow has one: since 3.18."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.tracking._tracking_service.utils import _get_store

from .mlflow_session import join_uri
from .rich_runs import AWKWARD_TEXT

HAS_SKILLS = find_spec("mlflow.entities.skill") is not None
SKILL_NAME = "review"
ORGANIZATION = "acme.tools"
TOKENS = ("0" * 31 + "1", "0" * 31 + "2")
"""As MLflow names the folders of what was uploaded."""
SKILL_FILES = {
    "SKILL.md": "---\nname: review\n---\n🦆 Read it twice.\n",
    "scripts/a.sh": "true\n",
}


def build_skills(artifact_root: str) -> None:
    """Skills of nobody and of an organization: uploaded and remote versions, one deleted."""
    if not HAS_SKILLS:
        return
    store = _get_store()
    icons = [
        {"src": "https://1.1.1.1/duck.png", "mimeType": "image/png"}
    ]  # an address is not looked up
    store.create_skill(SKILL_NAME, description=AWKWARD_TEXT, icons=icons, created_by="zoë")
    store.create_skill("without-versions")
    for organization, token in zip(("", ORGANIZATION), TOKENS, strict=True):
        above = f"skills/@{organization}" if organization else "skills"
        source = join_uri(artifact_root, above, SKILL_NAME, token)
        digest = _write(source, organization)
        for kind, place, ref, of_it in (
            ("git", "https://localhost:9/skills.git", "v1", "ab" * 32),
            ("mlflow", source, None, digest),
            ("oci", "localhost:9/skills:v3", None, None),
        ):
            store.create_skill_version(
                SKILL_NAME,
                organization,
                source_type=kind,
                source=place,
                ref=ref,
                subpath="skills/review" if kind == "git" else None,
                digest=of_it,
                status="draft" if kind == "oci" else "active",
                created_by="ann",
            )
        store.set_skill_alias(SKILL_NAME, "stable", 2, organization)
        store.set_skill_tag(SKILL_NAME, "team", "ünit", organization)
        store.set_skill_version_tag(SKILL_NAME, 2, "empty", "", organization)
    store.delete_skill_version(SKILL_NAME, 3, ORGANIZATION)


def _write(uri: str, organization: str) -> str:
    """Write the files of a version into a folder of this machine; their digest as MLflow has it."""
    from mlflow.genai.skill_content.digest import compute_tree_digest  # noqa: PLC0415 -- 3.18

    with TemporaryDirectory() as scratch:
        folder = Path(scratch if "://" in uri else uri.removeprefix("file:"))
        for name, content in SKILL_FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content + organization, encoding="utf-8")
        return str(compute_tree_digest(folder))
