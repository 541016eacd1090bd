"""Things as people call them: ``run 0123…``, ``version fraud/3``, ``alias fraud/champion``."""

from __future__ import annotations

from mlporter.cli.render.text import words

__all__ = ["singular", "thing"]

_OF_MODELS = ("registered_model", "model_version")
_DEFAULT = "default/"
_SINGULAR = {
    "registered_model_aliases": "alias",
    "model_versions": "version",
    "model_version": "version",
    "trace_info": "trace",
    "entity_associations": "association",
    "budget_policies": "budget policy",
}


def singular(kind: str) -> str:
    """A table of things as one of them: ``registered_models`` is ``registered model``."""
    return _SINGULAR.get(kind) or words(kind).removesuffix("s")


def thing(kind: str, name: str) -> str:
    """One thing; the workspace of a model is named where it is another one than the default."""
    if kind.startswith(_OF_MODELS) and "/" in name:
        name = name.removeprefix(_DEFAULT)
    return f"{singular(kind)} {name}"
