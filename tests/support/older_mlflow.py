"""An MLflow that is older than the installed one, as far as its schema goes.

Its scripts are the installed MLflow's, up to a revision; so it makes the tables of that one.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from mlporter.stores.database.schema import creation, scripts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest


def older_mlflow(revision: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """While it lasts, the installed MLflow's schema ends at a revision.

    Args:
        revision: Its newest one.
        folder: For what it says of itself.
        patch: To be undone by whoever owns it.
    """
    known = scripts.installed_scripts().revisions
    versions = folder / "store" / "db_migrations" / "versions"
    versions.mkdir(parents=True)
    before = None
    for one in known[: known.index(revision) + 1]:
        (versions / f"{one}.py").write_text(f"revision = {one!r}\ndown_revision = {before!r}\n")
        before = one
    place = SimpleNamespace(submodule_search_locations=[str(folder)])
    patch.setattr(scripts, "find_spec", lambda _: place)
    # What makes tables of the newest revision would make those of the MLflow that is there.
    patch.setattr(creation, "installed_head", lambda: None)
    scripts.installed_scripts.cache_clear()
    yield
    patch.undo()
    scripts.installed_scripts.cache_clear()
